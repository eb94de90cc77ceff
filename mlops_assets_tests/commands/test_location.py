"""A location of one model as it is given: another spec, another clock, a span in one run."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from mlops_assets.adapters.in_memory.clock import FixedClock
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import JobFailedError, Location
from mlops_assets.components.stages.retraining import request_retraining
from mlops_assets.defs.platform.resources import build_resources, read_settings
from mlops_assets_tests.examples.reading import read_example

MONTHS = ("2012-01-01", "2012-02-01")
NOON = datetime(2012, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def resources(tmp_path, monkeypatch):
    for name in ("MLOPS_ASSETS_STATE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    prepare_home(tmp_path, os.environ)
    return {**build_resources(read_settings(os.environ)), "clock": FixedClock(NOON)}


def test_a_model_as_it_is_given_runs_by_the_clock_it_is_given(resources):
    changes = {"training": {"split": {"test": 1, "validation": 1, "minimum_fit": 1}}}
    model = read_example("seattle_rain", changes)
    before = model.calendar.keys[: model.spec.training.split.needed]
    as_of = model.calendar.keys[len(before)]
    location = Location.of(model, resources)
    assert location.model is model
    location.run_job("ingest", span=(before[0], before[-1]))
    location.materialize("training_set", partition=as_of)
    row = resources["ledger"].latest("training_set", "seattle_rain", as_of)
    assert row.at == NOON
    assert row.body["test"] == [before[-1]]


def test_a_span_of_partitions_is_materialized_as_one_run(resources):
    location = Location.of(read_example("seattle_rain"), resources)
    location.materialize("raw_days", span=(MONTHS[0], MONTHS[1]))
    raw = resources["tables"].read("seattle_rain/raw_days")
    assert sorted(raw["partition"].unique()) == list(MONTHS)


def test_when_a_span_fails_then_the_error_names_what_and_why(resources):
    location = Location.of(read_example("seattle_rain"), resources)
    with pytest.raises(JobFailedError, match=r"(?s)training_set .*were never materialized"):
        location.materialize("training_set", span=("2014-01-01", "2014-02-01"))


def test_given_two_persons_ask_then_each_is_answered_once(resources):
    changes = {
        "training": {"split": {"test": 1, "validation": 1, "minimum_fit": 1}},
        "retraining": {"mode": "enabled"},
    }
    model = read_example("seattle_rain", changes)
    wanted = ("2012-04-01", "2012-05-01")
    for as_of in wanted:
        request_retraining(
            model, "the desk", "new gauges", as_of, resources["ledger"], resources["clock"],
            request=f"run {as_of}",
        )  # fmt: skip
    location = Location.of(model, resources)
    ticks = [location.ask_sensor("retrain_on_drift", resources) for _ in range(3)]
    assert [asked.partition_key for asked, _ in ticks[:2]] == list(wanted)
    assert ticks[2][0] is None
    assert "was asked for before" in ticks[2][1]
