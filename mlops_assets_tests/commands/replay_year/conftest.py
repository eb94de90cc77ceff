"""A base folder with four years of Seattle's weather, and a model for each of a few months."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mlops_assets.commands.replay_year.fitting import fit_models, ingest_rows
from mlops_assets.commands.replay_year.place import Place
from mlops_assets.components.definition import ModelDefinition
from mlops_assets_tests.examples.reading import read_example

MONTHS = ("2015-01-01", "2015-02-01", "2015-03-01", "2015-04-01")
AT_ONCE = {
    "gates": {"minimum": {"auc": 0.6}, "minimum_rows": 150},
    "rollout": {"strategy": "blue_green"},
    "monitoring": {"minimum_rows": 20, "reference": 12, "drift_share": 0.5},
    "retraining": {"mode": "enabled", "windows": 2, "violated": 2, "cooldown": 3},
}


@pytest.fixture(scope="package", autouse=True)
def _own_environment() -> Iterator[None]:
    """A replay names its state folder in the environment: put back what was there."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="package")
def rain() -> ModelDefinition:
    return read_example("seattle_rain", AT_ONCE)


@pytest.fixture(scope="package")
def prepared(tmp_path_factory: pytest.TempPathFactory, rain: ModelDefinition) -> Place:
    """A place whose base holds the rows and a model as of each of ``MONTHS``."""
    place = Place(tmp_path_factory.mktemp("replay"))
    ingest_rows(rain, place.base, print)
    fit_models(rain, MONTHS, place.base, print)
    return place
