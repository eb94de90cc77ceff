"""Answers are compared with the rows the champion was trained on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryReports, InMemoryTables
from mlops_assets.components.stages import drift as stage
from mlops_assets.components.stages.predictions import collect_predictions
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision

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
