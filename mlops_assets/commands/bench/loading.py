"""Loading the code location beside importing Dagster."""

from __future__ import annotations

import statistics

from mlops_assets.commands.bench.processes import time_process

_PAIRS = 7

IMPORT_DAGSTER = "import dagster"
LOAD_LOCATION = "from mlops_assets.definitions import definitions as d; d().get_repository_def()"


def measure_loading() -> dict[str, float]:
    """Whole processes in turn: importing Dagster, loading the code location; medians and the
    median of the ratios pair by pair.
    """
    pairs = [
        (time_process(["-c", IMPORT_DAGSTER]), time_process(["-W", "ignore", "-c", LOAD_LOCATION]))
        for _ in range(_PAIRS + 1)
    ][1:]
    return {
        "import_seconds": statistics.median(a for a, _ in pairs),
        "load_seconds": statistics.median(b for _, b in pairs),
        "load_ratio": statistics.median(b / a for a, b in pairs),
    }
