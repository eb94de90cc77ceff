"""Other tools lead back to a run of Dagster."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.dagster_ui import DagsterUi


@pytest.mark.parametrize("url", ["http://dagster.example", "http://dagster.example/"])
def test_the_page_of_a_run_is_below_the_address_however_that_is_written(url):
    assert DagsterUi(url).run_url("abc-123") == "http://dagster.example/runs/abc-123"


def test_an_address_with_a_path_keeps_it():
    assert DagsterUi("https://example/ml").run_url("r") == "https://example/ml/runs/r"
