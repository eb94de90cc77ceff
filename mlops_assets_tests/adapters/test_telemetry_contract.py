"""Telemetry: windows count units by the weight they were assigned at, predictions are rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryTelemetry
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.lifecycle.rollout.window import Arm, Window
from mlops_assets_tests.adapters.prediction_lines import (
    TEN,
    beside,
    canary,
    error,
    failing,
    line,
    old,
)

SECOND = timedelta(seconds=1)


@dataclass
class Log:
    """A log and what reads it."""

    telemetry: Telemetry
    write: Callable[..., None]

    def windows(self, since=TEN, **thresholds):
        return self.telemetry.windows("delays", "v2", since, **thresholds)

    def arms(self, *names, **thresholds):
        """The named counts of canary and baseline in the only window."""
        (window,) = self.windows(**thresholds)
        counts = [
            [getattr(arm, name) for name in names] for arm in (window.canary, window.baseline)
        ]
        return [tuple(count) for count in counts]


def real_log(root) -> Log:
    def write(*lines: dict[str, Any], model: str = "delays") -> None:
        for each in lines:
            moment = datetime.fromisoformat(each["received_at"]).astimezone(UTC)
            (root / model).mkdir(parents=True, exist_ok=True)
            with (root / model / f"{moment:%Y%m%dT%H}-1-a.jsonl").open("a") as file:
                file.write(json.dumps(each) + "\n")

    return Log(JsonlTelemetry(root), write)


def fake_log() -> Log:
    telemetry = InMemoryTelemetry()

    def write(*lines: dict[str, Any], model: str = "delays") -> None:
        telemetry.log(model, *lines)

    return Log(telemetry, write)


class TelemetryContract:
    def test_no_log_at_all_has_no_windows_and_no_predictions(self, log):
        assert log.windows() == ()
        assert log.telemetry.predictions("delays").is_empty()
        assert log.telemetry.prune("delays", TEN, lambda _: True) == 0

    def test_requests_and_units_of_both_arms_are_counted(self, log):
        log.write(canary("a"), canary("a"), beside("b"), beside("c"), beside("c"))
        assert log.windows() == (
            Window(10, Arm("v2", requests=2, units=1), Arm("v1", requests=3, units=2)),
        )

    def test_windows_are_by_the_weight_that_was_logged_whatever_the_clock_says(self, log):
        log.write(
            canary("a", TEN + 5 * SECOND, weight=50),
            canary("b", TEN + 9 * SECOND, weight=5),
            beside("c", TEN + 7 * SECOND, weight=50),
        )
        assert [(w.weight, w.canary.units, w.baseline.units) for w in log.windows()] == [
            (5, 1, 0),
            (50, 1, 1),
        ]

    def test_a_unit_counts_in_the_window_and_arm_where_it_was_first_seen_only(self, log):
        log.write(
            beside("a", TEN, weight=5),
            canary("a", TEN + SECOND, weight=50),
            canary("a", TEN + 2 * SECOND, weight=50),
        )
        first, second = log.windows()
        assert (first.baseline.units, second.canary.units, second.canary.requests) == (1, 0, 2)

    def test_what_came_first_is_told_by_the_clock_of_the_server(self, log):
        log.write(canary("a", TEN + SECOND, weight=50), beside("a", TEN, weight=5))
        first, second = log.windows()
        assert (first.baseline.units, second.canary.units) == (1, 0)

    def test_a_unit_that_fails_often_is_one_failed_unit_and_one_error(self, log):
        log.write(*[failing(canary("a"))] * 3, canary("b"), failing(beside("c")))
        assert log.arms("requests", "units", "failed", "errors") == [(4, 2, 1, 1), (1, 1, 1, 1)]

    def test_a_unit_that_fails_later_is_an_error_there_and_failed_nowhere(self, log):
        log.write(
            canary("a", TEN, weight=5),
            failing(canary("a", TEN + SECOND, weight=50)),
            failing(canary("a", TEN + 2 * SECOND, weight=100)),
        )
        counts = [(w.canary.failed, w.canary.errors) for w in log.windows()]
        assert counts == [(0, 0), (0, 1), (0, 0)]

    def test_only_the_first_request_of_a_unit_makes_it_a_failed_one(self, log):
        """A count that a later request could raise would be looked at until it pleases."""
        log.write(canary("a"), failing(canary("a", TEN + SECOND)))
        log.write(failing(canary("b")), canary("b", TEN + SECOND))
        assert log.arms("units", "failed", "errors")[0] == (2, 1, 2)

    def test_slow_units_count_once_and_where_they_were_first_slow(self, log):
        log.write(
            canary("a", milliseconds=1.0),
            canary("a", TEN + SECOND, milliseconds=50.5),
            canary("a", TEN + 2 * SECOND, milliseconds=99.0, weight=50),
            canary("b", milliseconds=50.0),
        )
        first, second = log.windows(slow_milliseconds=50.0)
        assert (first.canary.slow, second.canary.slow) == (1, 0)
        assert all(window.canary.slow == 0 for window in log.windows())

    def test_errors_are_not_slow(self, log):
        log.write(failing(canary("a", milliseconds=99.0)))
        assert log.arms("slow", "errors", slow_milliseconds=50.0)[0] == (0, 1)

    def test_a_unit_is_high_by_the_mean_of_its_first_answer(self, log):
        log.write(
            canary("a", probability=[0.2, 0.8]),
            canary("b", probability=[0.49]),
            canary("b", TEN + SECOND, probability=[0.9]),
            failing(beside("c")),
            beside("c", TEN + SECOND, probability=[0.9]),
        )
        assert log.arms("high", threshold=0.5) == [(1,), (1,)]
        assert log.arms("high") == [(0,), (0,)]

    def test_a_unit_first_answered_in_a_later_window_is_high_in_none(self, log):
        log.write(failing(canary("a", weight=5)), canary("a", TEN + SECOND, weight=50))
        assert [w.canary.high for w in log.windows(threshold=0.1)] == [0, 0]

    @pytest.mark.parametrize(
        "other",
        [
            beside("x", routed=False),  # stepped in for the canary
            canary("x", routed=False, arm="shadow", weight=0),
            beside("x", weight=0),  # beside a shadow
            line(unit="x"),  # outside of a rollout
            beside("x", canary="v3"),
            old(line()),
        ],
        ids=["stood in", "copy", "beside a copy", "no rollout", "another rollout", "old"],
    )
    def test_what_was_assigned_to_no_arm_counts_nowhere(self, log, other):
        log.write(other)
        assert log.windows() == ()
        log.write(canary("a"))
        assert log.arms("requests", "units") == [(1, 1), (0, 0)]

    def test_without_an_answer_of_the_primary_there_is_no_baseline(self, log):
        log.write(canary("a", weight=100))
        assert [w.baseline for w in log.windows()] == [Arm("none")]

    def test_since_leaves_out_what_is_surely_older(self, log):
        hour = timedelta(hours=1)
        log.write(canary("a", TEN - hour - SECOND), canary("b", TEN - hour), canary("c", TEN))
        assert log.arms("units")[0] == (2,)
        assert log.telemetry.predictions("delays", TEN)["unit"].to_list() == ["b", "c"]
        assert log.telemetry.predictions("delays").height == 3

    def test_since_may_be_told_in_any_time_zone(self, log):
        log.write(canary("a"))
        (window,) = log.windows(since=TEN.astimezone(tz=None))
        assert window.canary.units == 1

    def test_models_do_not_mix(self, log):
        log.write(canary("a"))
        log.write(canary("a"), canary("b"), model="fraud")
        assert log.arms("units")[0] == (1,)
        assert log.telemetry.predictions("delays").height == 1

    def test_predictions_have_a_row_per_row_of_each_attempt_oldest_first(self, log):
        log.write(
            beside(
                "b",
                TEN + SECOND,
                request_id="two",
                entity=["e", None],
                probability=[0.1, 0.2],
                time=None,
                features={"distance": [1.0, None]},
            ),
            canary("c", request_id="copy", arm="shadow", routed=False, weight=0),
            old(line(TEN - SECOND, request_id="old")),
            error(TEN + 2 * SECOND, request_id="failed"),
        )
        rows = log.telemetry.predictions("delays").select(
            "request_id", "row", "arm", "routed", "unit", "canary", "weight", "probability"
        )
        assert rows.rows() == [
            ("old", 0, "primary", True, None, None, 0, 0.25),
            ("copy", 0, "shadow", False, "c", "v2", 0, 0.25),
            ("two", 0, "primary", True, "b", "v2", 10, 0.1),
            ("two", 1, "primary", True, "b", "v2", 10, 0.2),
            ("failed", 0, "primary", True, "f1", None, 0, None),
        ]

    def test_pruned_is_what_is_old_and_collected_and_nothing_else(self, log):
        day = timedelta(days=1)
        log.write(line(TEN, request_id="a"), line(TEN, request_id="b"), line(TEN + day))
        asked = []

        def collected(rows: pl.DataFrame) -> bool:
            asked.extend(rows["request_id"].to_list())
            return len(asked) > 2

        prune = log.telemetry.prune
        assert prune("delays", TEN, collected) == 0
        assert asked == []
        assert prune("delays", TEN + day, collected) == 0
        assert (asked, log.telemetry.predictions("delays").height) == (["a", "b"], 3)
        assert prune("delays", TEN + day, collected) == 1
        assert log.telemetry.predictions("delays")["received_at"].to_list() == [TEN + day]


class TestJsonlTelemetry(TelemetryContract):
    @pytest.fixture
    def log(self, tmp_path):
        # Pruning also asks the system when a file was last written to: long before 2013 it seems.
        log = real_log(tmp_path)
        write = log.write

        def write_as_of_old(*lines, model="delays"):
            write(*lines, model=model)
            for path in tmp_path.rglob("*.jsonl"):
                os.utime(path, (0, 0))

        log.write = write_as_of_old
        return log


class TestInMemoryTelemetry(TelemetryContract):
    @pytest.fixture
    def log(self):
        return fake_log()
