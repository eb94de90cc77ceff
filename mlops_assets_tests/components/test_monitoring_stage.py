"""Predictions are collected once, compared with the right reference, and decided on once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryReports, InMemoryTables
from mlops_assets.components.assets.monitoring import build_monitoring_assets
from mlops_assets.components.stages import monitoring as stage
from mlops_assets.components.stages.predictions import collect_predictions
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.retraining import RetrainingDecision

WEEK, NEXT = "2013-05-20", "2013-05-27"
MOMENT = pl.Datetime("us", "UTC")


@pytest.fixture
def tables() -> InMemoryTables:
    return InMemoryTables()


def drifted(world) -> None:
    world.crown("v1", "a" * 64, as_of="2013-03-04")
    for partition in ("2013-05-13", WEEK):
        world.drift(partition, "failed")


def record(world, key: str) -> RetrainingDecision:
    world.clock.at += timedelta(minutes=1)
    return stage.record_retraining(world.model, key, world.ledger, world.clock)


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


class TestDecision:
    def test_given_drift_then_the_decision_is_recorded_under_its_newest_window(self, world):
        drifted(world)
        decision = record(world, WEEK)
        assert (decision.action, decision.as_of) == ("retrain", NEXT)
        assert world.rows("retraining", WEEK) == [asdict(decision)]

    def test_given_the_same_drift_then_it_is_recorded_once_whoever_asks_and_when(self, world):
        drifted(world)
        decisions = [record(world, key) for key in (WEEK, WEEK, NEXT)]
        assert decisions[0] == decisions[1] == decisions[2]
        assert len(world.rows("retraining")) == 1

    def test_given_it_was_asked_for_then_the_next_drift_waits_for_the_cooldown(self, world):
        drifted(world)
        record(world, WEEK)
        world.drift(NEXT, "failed")
        decision = record(world, NEXT)
        assert decision.action == "skip"
        assert decision.reason.startswith("trained or asked for 1 partition(s) ago")
        world.drift("2013-06-03", "failed")
        assert record(world, "2013-06-03").action == "retrain"

    def test_given_no_champion_then_the_skip_is_recorded_under_the_partition(self, world):
        assert record(world, WEEK).reason == "there is no champion to compare with"
        assert [row["action"] for row in world.rows("retraining", WEEK)] == ["skip"]

    def test_considering_reads_only(self, world):
        drifted(world)
        before = world.ledger.position()
        assert stage.consider_retraining(world.model, world.ledger).action == "retrain"
        assert world.ledger.position() == before

    def test_given_a_report_measured_again_then_the_newest_of_it_counts(self, world):
        drifted(world)
        world.drift(WEEK, "passed")
        assert stage.consider_retraining(world.model, world.ledger).action == "skip"


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
        reports = stage.join_labels(measured.model, [WEEK], tables)
        assert set(reports) == {"v1", "v2"}
        assert (reports["v1"].predictions, reports["v1"].labelled) == (40, 40)
        assert set(reports["v1"].metrics) > {"auc", "brier"}
        assert reports["v2"].metrics == {}

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
        reports = stage.join_labels(world.model, [WEEK], tables)
        assert list(reports) == ["v1", "v2", "v2 (shadow)"]
        assert [report.predictions for report in reports.values()] == [40, 40, 40]
        assert reports["v2 (shadow)"].metrics["auc"] == 1.0
        assert stage.find_newest(reports) is reports["v2"]

    def test_with_copies_only_there_is_no_newest_version(self, measured, tables):
        reports = stage.join_labels(measured.model, [WEEK], tables)
        assert stage.find_newest({"v2 (shadow)": reports["v1"]}) is None
        assert stage.find_newest({}) is None

    def test_the_record_is_written_once(self, measured, tables):
        for _ in range(2):
            reports = stage.join_labels(measured.model, [WEEK], tables)
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
    (asset,) = (a for a in build_monitoring_assets(world.model) if a.key.path[-1] == "performance")
    context = dg.build_asset_context(partition_key=WEEK)
    return {
        name: dg.MetadataValue.float(value) if isinstance(value, float) else value
        for name, value in asset(
            context, tables=tables, ledger=world.ledger, clock=world.clock
        ).metadata.items()
    }


class TestDrift:
    def compare(self, world, tables, reports=None, *, always_render=False):
        return stage.compare_with_reference(
            world.model,
            WEEK,
            tables,
            world.ledger,
            reports or InMemoryReports(),
            world.clock,
            always_render=always_render,
        )

    @pytest.fixture
    def filled(self, world, tables):
        """Eight weeks of features before the champion's date, and a week of answers like them."""
        world.crown("v1", "a" * 64, as_of="2013-03-04")
        names = {
            f.name: pl.Float64 if f.kind == "numeric" else pl.String for f in world.model.features
        }

        def rows(key: str, shift: float) -> pl.DataFrame:
            begin = world.model.calendar.begin(key)
            values = {
                name: [f"c{n % 3}" if kind is pl.String else n % 11 + shift for n in range(350)]
                for name, kind in names.items()
            }
            at = [begin + timedelta(minutes=28 * n) for n in range(350)]
            frame = pl.DataFrame(values, schema_overrides=names)
            return frame.with_columns(pl.Series("at", at, dtype=MOMENT))

        keys = world.model.calendar.before("2013-03-04", 8)
        reference = {key: rows(key, 0.0).rename({"at": "scheduled_departure"}) for key in keys}
        tables.write("flight_delays/features", reference)

        def answer(shift: float, copies: float | None = None) -> None:
            """Answers of a week; with ``copies`` each row was copied to a shadow, shifted so."""
            asked = [rows(WEEK, shift).with_columns(arm=pl.lit("primary"))]
            if copies is not None:
                asked.append(rows(WEEK, copies).with_columns(arm=pl.lit("shadow")))
            answered = [
                each.rename({"at": "moment"}).with_columns(
                    pl.format("r{}", pl.int_range(pl.len())).alias("request_id"), row=0
                )
                for each in asked
            ]
            tables.write("flight_delays/predictions", {WEEK: pl.concat(answered)})

        return answer

    def test_given_no_champion_then_refused_in_words(self, world, tables):
        with pytest.raises(RefusedError) as refused:
            self.compare(world, tables)
        assert str(refused.value) == (
            "flight_delays: no version serves yet; release one before monitoring it"
        )

    def test_given_rows_as_in_training_then_the_reference_holds_and_nothing_is_drawn(
        self, world, tables, filled
    ):
        filled(0.0)
        measured = self.compare(world, tables)
        assert (measured.report.verdict.outcome, measured.page) == ("passed", None)
        (row,) = world.rows("drift", WEEK)
        assert (row["version"], row["outcome"]) == ("v1", "passed")

    def test_given_copies_to_a_shadow_then_they_are_no_rows_that_callers_asked_for(
        self, world, tables, filled
    ):
        filled(0.0, copies=9.0)
        measured = self.compare(world, tables)
        assert measured.report.verdict.outcome == "passed"
        assert measured.report.current_rows == 350

    def test_given_shifted_rows_then_the_drift_is_recorded_once_and_drawn(
        self, world, tables, filled
    ):
        filled(9.0)
        reports = InMemoryReports()
        for _ in range(2):
            measured = self.compare(world, tables, reports)
        assert measured.report.verdict.outcome == "failed"
        assert str(measured.page).endswith("flight_delays/drift-2013-05-20-v1.html")
        assert list(reports.drawn) == [measured.page]
        assert [row["outcome"] for row in world.rows("drift", WEEK)] == ["failed"]

    def test_given_always_render_then_a_page_is_drawn_also_when_nothing_drifted(
        self, world, tables, filled
    ):
        filled(0.0)
        assert self.compare(world, tables, always_render=True).page is not None
