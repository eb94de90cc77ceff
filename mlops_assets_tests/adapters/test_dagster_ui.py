"""Other tools lead back to a run, an asset or a sensor of Dagster."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.dagster_ui import DagsterUi


@pytest.mark.parametrize("url", ["http://dagster.example", "http://dagster.example/"])
def test_the_page_of_a_run_is_below_the_address_however_that_is_written(url):
    assert DagsterUi(url).run_url("abc-123") == "http://dagster.example/runs/abc-123"


def test_an_address_with_a_path_keeps_it():
    assert DagsterUi("https://example/ml").run_url("r") == "https://example/ml/runs/r"


@pytest.mark.parametrize("url", ["http://dagster.example", "http://dagster.example/"])
def test_the_page_of_an_asset_is_named_by_the_parts_of_its_key(url):
    assert DagsterUi(url).asset_url(["m", "drift_report"]) == (
        "http://dagster.example/assets/m/drift_report"
    )


def test_the_page_of_a_partition_is_the_asset_at_that_partition():
    assert DagsterUi("http://host").asset_url(["m", "drift_report"], "2013-05-06") == (
        "http://host/assets/m/drift_report?view=partitions&partition=2013-05-06"
    )


def test_parts_and_partitions_keep_their_meaning_whatever_they_hold():
    assert DagsterUi("http://host").asset_url(["a/b", "c d"], "x&y=z") == (
        "http://host/assets/a%2Fb/c%20d?view=partitions&partition=x%26y%3Dz"
    )


@pytest.mark.parametrize("kind", ["sensors", "schedules"])
def test_the_page_of_a_sensor_is_below_its_code_location(kind):
    assert DagsterUi("http://host").automation_url("mlops_assets", kind, "m__ingest") == (
        f"http://host/locations/mlops_assets/{kind}/m__ingest"
    )
