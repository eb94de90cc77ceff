"""A decision to train again is recorded once, under what it rests on."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryTables
from mlops_assets.components.stages import retraining as stage
from mlops_assets.components.stages.predictions import collect_predictions
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
