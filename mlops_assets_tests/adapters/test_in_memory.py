"""The fakes whose real counterparts are processes and pages: what they are told, they say."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import (
    FixedClock,
    InMemoryReports,
    InMemoryServing,
    InMemoryTelemetry,
)
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.system_clock import SystemClock
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.rollout.window import Arm, Window
from mlops_assets.lifecycle.verdicts import Verdict

AT = datetime(2013, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("clock", [FixedClock(), SystemClock()], ids=["fixed", "system"])
def test_a_clock_knows_its_zone_and_never_runs_backwards(clock):
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert first <= second


def test_a_fixed_clock_stands_still_until_told_otherwise():
    clock = FixedClock(AT)
    assert clock.now() == clock.now() == AT
    clock.at = AT.replace(hour=5)
    assert clock.now() == AT.replace(hour=5)


def test_a_server_answers_for_ready_versions_while_it_runs():
    serving = InMemoryServing()
    serving.ready.add(("model", "v1"))
    assert not serving.wait_until_ready("model", "v1", 0)
    endpoint = serving.ensure_running()
    assert serving.ensure_running() == endpoint
    assert serving.wait_until_ready("model", "v1", 0)
    assert not serving.wait_until_ready("model", "v2", 0)
    assert not serving.wait_until_ready("other", "v1", 0)


def test_a_server_stops_once():
    serving = InMemoryServing()
    assert not serving.stop()
    serving.ensure_running()
    assert serving.stop()
    assert not serving.stop()


def test_without_a_log_fake_and_real_see_no_window(tmp_path):
    for telemetry in (InMemoryTelemetry(), JsonlTelemetry(tmp_path)):
        assert telemetry.windows("model", "v2", AT) == ()


def test_without_a_log_fake_and_real_have_the_same_empty_table(tmp_path):
    fake = InMemoryTelemetry().predictions("model")
    assert fake.schema == JsonlTelemetry(tmp_path).predictions("model").schema
    assert fake.is_empty()


def test_windows_that_were_given_are_seen_for_their_model_and_canary():
    windows = (Window(10, Arm("v2", 10, 10), Arm("v1", 90, 90)),)
    telemetry = InMemoryTelemetry()
    telemetry.seen["model", "v2"] = windows
    assert telemetry.windows("model", "v2", AT) == windows
    assert telemetry.windows("model", "v3", AT) == ()
    assert telemetry.windows("other", "v2", AT) == ()


def test_predictions_that_were_given_are_seen_oldest_first():
    moments = [AT.replace(hour=hour) for hour in (2, 1)]
    telemetry = InMemoryTelemetry()
    telemetry.frames["model"] = pl.DataFrame({"row": [2, 1], "received_at": moments})
    assert telemetry.predictions("model")["row"].to_list() == [1, 2]
    assert telemetry.predictions("other").is_empty()


def test_a_report_keeps_what_was_to_be_drawn():
    reports = InMemoryReports()
    table = pl.DataFrame({"x": [1]})
    verdict = Verdict("reference_still_holds", "passed", "because")
    report = DriftReport((), 0.0, verdict, Verdict("values_are_intact", "passed", "so"), 1, 1)
    page = reports.drift("model/drift", table, table, report)
    assert page.path.name == "drift.html"
    assert page.url.endswith("model/drift.html")
    assert reports.drawn[page.path] == (table, table, report)
