"""Answers are estimated at once, and measured as far as labels have arrived."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryModelFiles, InMemoryTables
from mlops_assets.components.assets.performance import build_performance
from mlops_assets.components.stages import performance as stage
from mlops_assets.components.stages.predictions import collect_predictions
from mlops_assets.lifecycle.performance import PerformanceReport

WEEK = "2013-05-20"
MOMENT = pl.Datetime("us", "UTC")


@pytest.fixture
def tables() -> InMemoryTables:
    return InMemoryTables()


def logged(*rows: dict) -> pl.DataFrame:
    """Rows of a prediction log; what is not said is the same for all."""
    usual = {
        "model": "flight_delays",
        "version": "v1",
        "digest": "a" * 64,
        "arm": "primary",
        "routed": True,
        "row": 0,
        "received_at": datetime(2013, 5, 21, 12, tzinfo=UTC),
        "time": None,
        "entity": "e",
        "probability": 0.5,
        "milliseconds": 1.0,
        "carrier": "AA",
    }
    return pl.DataFrame(
        [{**usual, "request_id": f"r{n}", **row} for n, row in enumerate(rows)],
        schema_overrides={"received_at": MOMENT, "time": MOMENT},
    )


def collect(world, tables, *keys: str) -> None:
    collect_predictions(world.model, keys, world.telemetry, tables)


def measure(world, tables) -> dict:
    """The reports of the week; no version is registered, and none has files."""
    files = InMemoryModelFiles()
    return stage.measure_versions(world.model, [WEEK], tables, world.ledger, files, world.clock)


class TestPerformance:
    @pytest.fixture
    def measured(self, world, tables):
        """40 answers each of v1 and v2; v2's labels are all of one class so far."""
        rows = [
            {
                "version": version,
                "entity": f"{version}-{n}",
                "request_id": f"{version}-{n}",
                "probability": (n % 7) / 7,
            }
            for version in ("v1", "v2")
            for n in range(40)
        ]
        world.telemetry.frames["flight_delays"] = logged(*rows)
        collect(world, tables, WEEK)
        late = [n % 3 == 0 if row["version"] == "v1" else False for n, row in enumerate(rows)]
        entities = [row["entity"] for row in rows]
        labels = pl.DataFrame({"flight_id": entities, "late": late})
        tables.write("flight_delays/labels", {WEEK: labels})
        return world

    def test_each_version_is_measured_as_far_as_labels_have_arrived(self, measured, tables):
        reports = measure(measured, tables)
        assert set(reports) == {"v1", "v2"}
        assert (reports["v1"].predictions, reports["v1"].labelled) == (40, 40)
        assert set(reports["v1"].metrics) > {"auc", "brier"}
        assert "brier" in reports["v2"].metrics
        assert "auc" not in reports["v2"].metrics

    def test_what_a_version_answered_as_a_shadow_is_an_entry_of_its_own(self, measured, tables):
        copies = [
            {
                "version": "v2",
                "arm": "shadow",
                "routed": False,
                "entity": f"v1-{n}",
                "request_id": f"v1-{n}",
                "probability": 0.9 if n % 3 == 0 else 0.1,
            }
            for n in range(40)
        ]
        again = [{"version": "v1", "arm": None, "request_id": "v1-0", "entity": "v1-0"}]
        world = measured
        world.telemetry.frames["flight_delays"] = logged(*copies, *again)
        collect(world, tables, WEEK)
        reports = measure(world, tables)
        assert list(reports) == ["v1", "v2", "v2 (shadow)"]
        assert [report.predictions for report in reports.values()] == [40, 40, 40]
        assert reports["v2 (shadow)"].metrics["auc"] == 1.0
        assert stage.find_newest(reports) is reports["v2"]

    def test_given_requests_that_all_have_the_same_id_then_every_entity_counts(self, world, tables):
        rows = [{"request_id": "1", "entity": f"e{n}"} for n in range(40)]
        world.telemetry.frames["flight_delays"] = logged(*rows, rows[0])
        collect(world, tables, WEEK)
        assert measure(world, tables)["v1"].predictions == 40

    def test_with_copies_only_there_is_no_newest_version(self, measured, tables):
        reports = measure(measured, tables)
        assert stage.find_newest({"v2 (shadow)": reports["v1"]}) is None
        assert stage.find_newest({}) is None

    @pytest.mark.parametrize(
        ("v1", "v2", "said"),
        [
            (0.1, -0.1, ("failed", "v1: Brier score +0.1")),
            (-0.1, 0.1, ("failed", "v2: Brier score +0.1")),
            (-0.1, -0.2, ("passed", "v2: Brier score -0.2")),
            (0.1, None, ("failed", "v1: Brier score +0.1")),
            (-0.1, None, ("inconclusive", "v2: none of 40 predictions has a label yet")),
        ],
    )
    def test_given_a_canary_then_the_champion_beside_it_is_judged_as_well(self, v1, v2, said):
        reports = {}
        for entry, gap in (("v1", v1), ("v2", v2), ("v3 (shadow)", 0.5)):
            ends = gap and {"value": gap, "low": gap - 0.01, "high": gap + 0.01, "days": 7}
            reports[entry] = PerformanceReport(40, 40, 0.5, gap=ends)
        verdict = stage.judge_versions(reports)
        assert verdict.outcome == said[0]
        assert verdict.reason.startswith(said[1])

    def test_the_record_is_written_once(self, measured, tables):
        for _ in range(2):
            reports = measure(measured, tables)
            stage.record_performance(measured.model, WEEK, reports, measured.ledger, measured.clock)
        (row,) = measured.rows("performance", WEEK)
        assert row["v1"]["labelled"] == 40

    def test_given_a_version_with_one_class_so_far_then_the_asset_is_materialized(
        self, measured, tables
    ):
        assert shown(measured, tables)["versions"].value.count("\n") == 3

    def test_given_ten_versions_then_the_numbers_shown_are_the_newest_ones(self, world, tables):
        rows = [
            {
                "version": version,
                "entity": f"{version}-{n}",
                "request_id": f"{version}-{n}",
                "probability": 0.9 if (n % 2 == 0) is good else 0.1,
            }
            for version, good in (("v9", False), ("v10", True))
            for n in range(40)
        ]
        world.telemetry.frames["flight_delays"] = logged(*rows)
        collect(world, tables, WEEK)
        late = [int(row["entity"].split("-")[1]) % 2 == 0 for row in rows]
        labels = pl.DataFrame({"flight_id": [row["entity"] for row in rows], "late": late})
        tables.write("flight_delays/labels", {WEEK: labels})
        assert shown(world, tables)["auc"].value == 1.0


def shown(world, tables) -> dict:
    """The metadata of the asset ``performance``, materialized on its own."""
    with dg.build_asset_context(partition_key=WEEK) as context:
        result = build_performance(world.model)(
            context,
            tables=tables,
            ledger=world.ledger,
            model_files=InMemoryModelFiles(),
            clock=world.clock,
        )
    return {
        name: dg.MetadataValue.float(value) if isinstance(value, float) else value
        for name, value in result.metadata.items()
    }
