"""What an MLflow run is told about itself when it is made."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from mlops_assets.adapters.tracking_identity import describe_run

PACKAGES = ("scikit-learn", "numpy", "polars", "optuna", "skops", "mlflow", "dagster")
"""The distributions whose versions can change what a training gives."""


def tags_at_creation(tags: Mapping[str, str]) -> dict[str, str]:
    """The caller's tags, which win, with the environment, a note for people and the source."""
    return {
        **_environment(),
        "mlflow.source.name": tags["dagster_asset"],
        "mlflow.note.content": describe_run(tags),
        **tags,
    }


@cache
def _environment() -> Mapping[str, str]:
    """``environment.*`` of this process: interpreter, platform, and each package that is there."""
    found = {
        "environment.python": platform.python_version(),
        "environment.platform": platform.platform(),
    }
    for package in PACKAGES:
        try:
            found[f"environment.{package}"] = version(package)
        except PackageNotFoundError:  # nothing that is not installed had a part in it
            continue
    return found
