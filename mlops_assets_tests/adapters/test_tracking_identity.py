"""How a run ended, and what people are told of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_assets.adapters.tracking_identity import describe_run, ended_by

TAGS = {"dagster_run_id": "1234", "dagster_asset": "study", "dagster_partition": "2013-W10"}


@pytest.mark.parametrize("fault", [ValueError(), OSError(), TimeoutError(), StopIteration()])
def test_a_fault_of_the_work_is_a_failure(fault):
    assert ended_by(fault) == "FAILED"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_being_told_to_stop_is_no_failure(stop):
    assert ended_by(stop) == "KILLED"


def test_a_run_that_dagster_terminated_was_killed_and_its_other_errors_are_failures():
    from dagster import DagsterExecutionInterruptedError, Failure, RetryRequested

    assert ended_by(DagsterExecutionInterruptedError()) == "KILLED"
    assert ended_by(Failure()) == ended_by(RetryRequested()) == "FAILED"


def test_no_dagster_is_needed_to_know():
    asked = """
import sys
import mlops_assets.adapters.tracking_identity
print("dagster" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_note_names_asset_partition_and_run():
    note = describe_run(TAGS)
    assert "`study`" in note
    assert "`2013-W10`" in note
    assert "`1234`" in note
    assert "](" not in note


def test_given_its_address_then_the_note_links_the_run():
    note = describe_run({**TAGS, "dagster_run_url": "http://dagster/runs/1234"})
    assert "[1234](http://dagster/runs/1234)" in note
