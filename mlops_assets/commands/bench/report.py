"""All measurements, one after the other, and what to print about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlops_assets.commands.bench.backtests import measure_backtest
from mlops_assets.commands.bench.drift import measure_drift_rules
from mlops_assets.commands.bench.loading import measure_loading
from mlops_assets.commands.bench.stages import measure_stages
from mlops_assets.commands.bench.tuning import measure_trials, measure_workers

Measured = Mapping[str, float]

PARTS: dict[str, Callable[[Path], Measured]] = {
    "loading": lambda _: measure_loading(),
    "stages": measure_stages,
    "trials": measure_trials,
    "workers": measure_workers,
    "backtest": measure_backtest,
    "drift": measure_drift_rules,
}
"""What can be measured, by name."""

_LINES = (
    ("import dagster", "import_seconds", None, ""),
    ("load the code location", "load_seconds", "load_ratio", "aim: at most 1.5"),
    ("data and training, plain script", "plain_seconds", None, ""),
    ("data and training, Dagster", "dagster_seconds", "stage_ratio", "aim: at most 1.5"),
    ("30 empty trials, plain Optuna", "optuna_seconds", None, ""),
    ("30 empty trials, our studies", "study_seconds", "trial_ratio", "to plain Optuna"),
    ("30 trials, one worker", "one_worker_seconds", None, ""),
    ("30 trials, two workers", "two_workers_seconds", "workers_ratio", "to one worker"),
    ("backtest, plain script", "plain_backtest_seconds", None, ""),
    ("backtest, Dagster", "backtest_seconds", "backtest_ratio", "aim: at most 1.3"),
    ("drift, Evidently's preset", "evidently_seconds", None, ""),
    ("drift, our rule", "drift_seconds", "drift_ratio", "to the preset"),
)


def run_bench(build: Path, parts: Sequence[str] = ()) -> str:
    """Measure the named parts, all without a name; writes ``build/bench.json`` and returns what
    to print."""
    build.mkdir(parents=True, exist_ok=True)
    measured: dict[str, float] = {}
    for name in parts or PARTS:
        print(f"measuring {name}", flush=True)
        measured |= PARTS[name](build)
    (build / "bench.json").write_text(json.dumps(measured, indent=2) + "\n")
    lines = [_line(measured, *line) for line in _LINES if line[1] in measured]
    if "drift_peak_mb" in measured:
        ours, theirs = measured["drift_peak_mb"], measured["evidently_peak_mb"]
        lines.append(f"drift, most memory: {ours:.0f} MB, Evidently's preset {theirs:.0f} MB")
    return "\n".join(lines)


def _line(measured: Measured, text: str, seconds: str, ratio: str | None, note: str) -> str:
    said = f"{text:<34}{measured[seconds]:8.2f} s"
    return f"{said}   ratio {measured[ratio]:.2f} ({note})" if ratio else said
