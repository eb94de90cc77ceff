"""The lifecycle knows no brand, and costs nothing to import."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import mlops_assets.lifecycle as package

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}.")
    if not module.ispkg
)
BRANDS = ("dagster", "mlflow", "evidently", "optuna", "kubernetes", "deltalake", "sqlalchemy")
HEAVY = ("polars", "pandas", "sklearn", "scipy", "pandera", "numpy")


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """For each lifecycle module, what a fresh interpreter has loaded once it is imported."""
    asked = f"""
import importlib, json, sys
kept, said = set(sys.modules), {{}}
for name in {MODULES!r}:
    importlib.import_module(name)
    said[name] = sorted({{module.split(".")[0] for module in sys.modules}})
    for module in set(sys.modules) - kept:
        del sys.modules[module]
print(json.dumps(said))
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


def test_every_module_of_the_lifecycle_is_looked_at():
    assert {f"mlops_assets.lifecycle.{name}" for name in ("calendar", "triage")} < set(MODULES)
    assert "mlops_assets.lifecycle.rollout.strategy" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_stage_loads_no_brand(loaded, module):
    assert not set(BRANDS) & set(loaded[module])


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_stage_leaves_heavy_libraries_for_the_functions_that_use_them(loaded, module):
    assert not set(HEAVY) & set(loaded[module])
