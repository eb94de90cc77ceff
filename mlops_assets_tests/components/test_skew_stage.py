"""A real log in a real Delta table beside the offline features: what differs is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.components.assets.predictions import build_predictions
from mlops_assets.components.stages.predictions import collect_predictions
from mlops_assets.components.stages.skew import measure_skew
from mlops_assets.lifecycle.skew import SkewReport
from mlops_assets_tests.adapters.prediction_lines import line

WEEK = "2013-05-20"
NOON = datetime(2013, 5, 21, 12, tzinfo=UTC)
ROWS = 40
KILOMETRES = 1.609344


@pytest.fixture
def tables(tmp_path) -> DeltaTables:
    return DeltaTables(str(tmp_path / "tables"))


@pytest.fixture
def telemetry(tmp_path) -> JsonlTelemetry:
    return JsonlTelemetry(tmp_path / "log")


@pytest.fixture
def write(telemetry):
    """Append lines to a file of the log."""

    def append(*lines: dict[str, Any]) -> None:
        path = telemetry.root / "flight_delays" / "20130521T12-1-a.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(json.dumps(each) + "\n" for each in lines)

    return append


def offline() -> pl.DataFrame:
    """What is built offline for flights an hour apart; every fourth has no temperature."""
    numbers = range(ROWS)
    return pl.DataFrame(
        {
            "flight_id": [f"f{n}" for n in numbers],
            "scheduled_departure": [NOON + timedelta(hours=n) for n in numbers],
            "carrier": [("UA", "AA", None)[n % 3] for n in numbers],
            "distance": [500.0 + 0.1 * n for n in numbers],
            "temp": [None if n % 4 == 0 else 60.0 + n / 3 for n in numbers],
        },
        schema_overrides={"scheduled_departure": pl.Datetime("us", "UTC")},
    )


def answered(number: int, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A line of the log: the row as it was asked about, or with features changed."""
    features = {name: row[name] for name in ("carrier", "distance", "temp")} | changes
    return line(
        NOON,
        request_id=f"r{number}",
        model="flight_delays",
        entity=[row["flight_id"]],
        time=[row["scheduled_departure"].isoformat()],
        features={name: [value] for name, value in features.items()},
    )


@pytest.fixture
def skew(world, tables, telemetry):
    """Collect and compare, with the offline features there or not."""

    def measure(*, built: bool = True) -> SkewReport:
        if built:
            tables.write("flight_delays/features", {WEEK: offline()})
        collect_predictions(world.model, [WEEK], telemetry, tables)
        return measure_skew(world.model, [WEEK], tables, world.ledger)

    return measure


def each_row() -> list[tuple[int, dict[str, Any]]]:
    return list(enumerate(offline().iter_rows(named=True)))


class TestSkew:
    def test_what_was_logged_as_it_is_built_equals_to_the_last_digit(self, write, skew):
        write(*(answered(n, row) for n, row in each_row()))
        report = skew()
        assert (report.compared, report.differing, report.alone) == (ROWS, 0, 0)
        assert report.verdict.passed

    def test_a_feature_that_was_computed_differently_online_fails_with_the_rows_that_differ(
        self, write, skew
    ):
        write(*(answered(n, row, distance=row["distance"] * KILOMETRES) for n, row in each_row()))
        report = skew()
        assert report.verdict.outcome == "failed"
        assert dict(report.features) == {"distance": ROWS}
        assert len(report.examples) == 20
        assert report.examples[3] == {
            "entity": "f3",
            "time": "2013-05-21T15:00:00+00:00",
            "version": "v1",
            "feature": "distance",
            "online": pytest.approx(500.3 * KILOMETRES),
            "offline": pytest.approx(500.3),
        }

    def test_a_default_in_place_of_what_is_missing_differs(self, write, skew):
        write(*(answered(n, row, temp=row["temp"] or 0.0) for n, row in each_row()))
        assert dict(skew().features) == {"temp": ROWS // 4}

    def test_an_old_value_looked_up_by_the_endpoint_differs(self, write, skew):
        stale = {n: {"temp": 59.0} if n == 7 else {} for n in range(ROWS)}
        write(*(answered(n, row, **stale[n]) for n, row in each_row()))
        report = skew()
        assert report.verdict.outcome == "failed"
        assert [row["entity"] for row in report.examples] == ["f7"]

    def test_a_feature_that_the_version_did_not_know_is_left_out(self, world, write, skew):
        known = {"importance": {"carrier": 0.1, "distance": 0.2}}
        write_once(world.ledger, "evaluation", world.name, "d", known, NOON)
        write(*(answered(n, row, temp=None) for n, row in each_row()))
        assert skew().verdict.passed

    def test_a_feature_that_is_not_built_offline_yet_is_left_out(self, write, skew, tables):
        tables.write("flight_delays/features", {WEEK: offline().drop("distance", "temp")})
        write(*(answered(n, row, distance=0.0) for n, row in each_row()))
        report = skew(built=False)
        assert (report.compared, report.differing) == (ROWS, 0)

    def test_the_policy_of_defs_yaml_says_how_much_may_differ(
        self, make_world, write, tables, telemetry
    ):
        world = make_world({"skew: {share: 0.001}": "skew: {share: 0.05}"})
        tables.write("flight_delays/features", {WEEK: offline()})
        write(*(answered(n, row, **({"temp": 1.0} if n == 7 else {})) for n, row in each_row()))
        collect_predictions(world.model, [WEEK], telemetry, tables)
        report = measure_skew(world.model, [WEEK], tables, world.ledger)
        assert (report.differing, report.verdict.outcome) == (1, "passed")


class TestCheck:
    @pytest.fixture
    def checked(self, world, tables, telemetry, resources):
        def materialize() -> dg.AssetCheckEvaluation:
            run = dg.materialize(
                [build_predictions(world.model)],
                partition_key=WEEK,
                resources={**resources(world), "tables": tables, "telemetry": telemetry},
            )
            assert run.success
            (check,) = run.get_asset_check_evaluations()
            return check

        return materialize

    def test_it_shows_the_rows_that_differ_and_blocks_nothing(self, write, tables, checked):
        tables.write("flight_delays/features", {WEEK: offline()})
        write(*(answered(n, row, **({"temp": 1.0} if n == 7 else {})) for n, row in each_row()))
        check = checked()
        assert (check.check_name, check.passed) == ("online_equals_offline", False)
        assert (check.severity, check.blocking) == (dg.AssetCheckSeverity.ERROR, False)
        shown = check.metadata["rows_that_differ"].value.splitlines()
        assert shown[0] == "| entity | time | version | feature | online | offline |"
        assert shown[2].startswith("| f7 | 2013-05-21T19:00:00+00:00 | v1 | temp | 1 | 62.33 |")

    def test_before_the_offline_features_are_there_it_warns(self, write, checked):
        write(*(answered(n, row) for n, row in each_row()))
        check = checked()
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert check.metadata["outcome"].value == "inconclusive"
        assert "the offline features are not there" in check.description
