"""What a run says about the process that made it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys

import pytest

from mlops_assets.adapters import mlflow_tags

TAGS = {"dagster_run_id": "1234", "dagster_asset": "study", "dagster_partition": "2013-W10"}
PACKAGES = ("scikit-learn", "numpy", "polars", "optuna", "skops", "mlflow", "dagster")


@pytest.fixture(autouse=True)
def _looked_up_anew():
    mlflow_tags._environment.cache_clear()
    yield
    mlflow_tags._environment.cache_clear()


def test_python_platform_and_every_package_are_named():
    told = mlflow_tags.tags_at_creation(TAGS)
    assert told["environment.python"] == platform.python_version()
    assert told["environment.platform"] == platform.platform()
    for package in PACKAGES:
        assert told[f"environment.{package}"] == importlib.metadata.version(package)


def test_a_package_that_is_not_installed_is_not_named(monkeypatch):
    monkeypatch.setattr(mlflow_tags, "PACKAGES", ("no-such-package", "numpy"))
    told = mlflow_tags.tags_at_creation(TAGS)
    assert "environment.numpy" in told
    assert not [name for name in told if "no-such-package" in name]


def test_what_the_caller_says_is_kept():
    own = {**TAGS, "code_version": "abc123", "mlflow.note.content": "Ours"}
    assert own.items() <= mlflow_tags.tags_at_creation(own).items()


def test_no_package_is_imported_to_be_named():
    asked = f"""
import sys
from mlops_assets.adapters.mlflow_tags import tags_at_creation
tags_at_creation({TAGS!r})
heavy = ("sklearn", "numpy", "polars", "optuna", "skops", "mlflow", "dagster")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
