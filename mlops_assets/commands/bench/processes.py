"""Whole processes, each from nothing, and how long they take."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_assets.components.definition import ModelDefinition

MODEL = "flight_delays"
AS_OF = "2013-04-08"


def time_process(arguments: Sequence[str]) -> float:
    """Seconds that one process of this interpreter takes from start to end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun


def time_function(module: str, function: str, *arguments: str) -> float:
    """Seconds that a function of a module takes in a process of its own, imports included."""
    called = ", ".join(map(repr, arguments))
    code = f"from {module} import {function}; {function}({called})"
    return time_process(["-W", "ignore", "-c", code])


def read_model() -> ModelDefinition:
    """The model that is shipped, read without Dagster."""
    import yaml

    from mlops_assets.components.definition import ModelDefinition
    from mlops_assets.components.reading import read_spec

    folder = Path(__file__).parents[2] / "defs" / MODEL
    written = yaml.safe_load((folder / "defs.yaml").read_text())["attributes"]
    spec = read_spec(written, folder, str)
    return ModelDefinition(spec, f"mlops_assets.defs.{MODEL}.model", folder)
