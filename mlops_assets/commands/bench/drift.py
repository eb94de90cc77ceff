"""300,000 rows by 17 columns: our drift rule beside Evidently's preset, each in its own process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

ROWS = 300_000
_NUMBERS = 12
_CATEGORIES = (3, 16, 35, 105, 4000)
_DAYS = 63
_REFERENCE_DAYS = 56
_BEGIN = date(2013, 1, 7)


def measure_drift_rules(build: Path) -> dict[str, float]:
    """Seconds of one comparison, imports and reading left out, and the most memory in MB that its
    process ever held, imports and data counted."""
    folder = build / "bench" / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    rows = make_rows(ROWS, seed=7)
    rows.write_parquet(folder / "rows.parquet")
    ours = _measure("compare_by_rule", folder)
    theirs = _measure("compare_by_preset", folder)
    return {
        "drift_seconds": ours["seconds"],
        "drift_peak_mb": ours["peak_mb"],
        "evidently_seconds": theirs["seconds"],
        "evidently_peak_mb": theirs["peak_mb"],
        "drift_ratio": ours["seconds"] / theirs["seconds"],
    }


def make_rows(rows: int, *, seed: int) -> pl.DataFrame:
    """Rows on 63 days: numbers that share an effect of their day, levels by Zipf, some missing."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, _DAYS, size=rows))
    columns: dict[str, object] = {
        "day": pl.Series([_BEGIN + timedelta(days=n) for n in range(_DAYS)]).gather(day)
    }
    for number in range(_NUMBERS):
        values = random.normal(size=_DAYS)[day] * 0.3 + random.normal(size=rows)
        known = random.random(rows) > 0.02 * (number % 3)
        columns[f"number_{number}"] = np.where(known, values.round(number % 4 + 1), np.nan)
    for size in _CATEGORIES:
        places = random.zipf(1.5, size=rows) % size
        columns[f"level_{size}"] = pl.Series(places).cast(pl.String)
    return pl.DataFrame(columns)


def compare_by_rule(folder: str) -> None:
    """Print seconds and peak memory of ``measure_drift``."""
    from mlops_assets.lifecycle.drift.measure import measure_drift
    from mlops_assets.lifecycle.drift.policy import DriftPolicy
    from mlops_assets.lifecycle.training import Feature

    reference, current = _sides(folder)
    features = [Feature(name, kind) for name, kind in _kinds(reference).items()]
    begun = time.perf_counter()
    measure_drift(reference, current, features, DriftPolicy(), day="day")
    _tell(begun)


def compare_by_preset(folder: str) -> None:
    """Print seconds and peak memory of Evidently's ``DataDriftPreset`` as it is."""
    import evidently.presets  # noqa: F401 - imports are left out

    from mlops_assets.adapters.evidently_reports import run_preset

    reference, current = _sides(folder)
    kinds = _kinds(reference)
    begun = time.perf_counter()
    run_preset(reference, current, kinds)
    _tell(begun)


def _measure(function: str, folder: Path) -> dict[str, float]:
    code = f"from {__name__} import {function}; {function}({str(folder.absolute())!r})"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    measured: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def _sides(folder: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    import polars as pl

    rows = pl.read_parquet(Path(folder) / "rows.parquet")
    is_before = pl.col("day") < _BEGIN + timedelta(days=_REFERENCE_DAYS)
    return rows.filter(is_before), rows.filter(~is_before)


def _kinds(rows: pl.DataFrame) -> dict[str, Literal["numeric", "categorical"]]:
    """The kind of each column but the day."""
    columns = rows.drop("day").columns
    return {n: "numeric" if n.startswith("number") else "categorical" for n in columns}


def _tell(begun: float) -> None:
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))
