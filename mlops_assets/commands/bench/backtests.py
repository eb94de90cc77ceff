"""A backtest over weeks: through Dagster, and the same fits in one plain script."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlops_assets.commands.bench.processes import AS_OF, MODEL, read_model, time_function
from mlops_assets.commands.bench.stages import ingest_plain
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import Location

WEEKS = int(os.environ.get("BENCH_WEEKS", "6"))
"""How many weeks from AS_OF on; 39 are the rest of the year, and take most of an hour."""


def measure_backtest(build: Path) -> dict[str, float]:
    """Whole processes on the same data, the plain script first."""
    data = build / "bench" / "backtest"
    if not (data / "tables").exists():
        ingest_plain(str(data.absolute()))
    plain = time_function(__name__, "run_plain", str(data.absolute()))
    for made in ("models", "ledger.db", "mlflow", "studies"):
        path = data / made
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    dagster = time_function(__name__, "run_dagster", str(data.absolute()))
    return {
        "plain_backtest_seconds": plain,
        "backtest_seconds": dagster,
        "backtest_ratio": dagster / plain,
        "backtest_weeks": float(WEEKS),
    }


def run_dagster(state: str) -> None:
    """One run over the range: every fit, gate and verdict, and the backtest at the end."""
    prepare_home(Path(state), os.environ)
    location = Location(MODEL)
    keys = _keys(location.model.calendar.keys)
    location.run_job("walk_forward", span=(keys[0], keys[-1]))


def run_plain(state: str) -> None:
    """What somebody would write: read, split, fit, blend, calibrate, score, week by week."""
    import polars as pl

    from mlops_assets.defs.platform.resources import build_resources, read_settings
    from mlops_assets.lifecycle.calibration import calibrate
    from mlops_assets.lifecycle.ensembles import build_ensemble, choose
    from mlops_assets.lifecycle.evaluation import measure_metrics
    from mlops_assets.lifecycle.splits import plan_training_set, split_rows
    from mlops_assets.lifecycle.training import (
        fit_estimator,
        predict_probability,
        to_model_frame,
    )

    prepare_home(Path(state), os.environ)
    model, tables = read_model(), build_resources(read_settings(os.environ))["tables"]
    label, spec = model.spec.label, model.spec
    assert spec.ensemble is not None
    features, labels = (tables.read(model.table(name)) for name in ("features", "labels"))
    for as_of in _keys(model.calendar.keys):
        planned = plan_training_set(
            model.calendar, as_of, spec.training.split, rows="all", versions={}, fingerprint=""
        )
        split = split_rows(planned, features, labels, spec.entities.key, label)
        later, truth = split.calibration, split.calibration[label].cast(int).to_numpy()
        fitted = {
            name: fit_estimator(
                model.function(of.estimator),
                split.fit,
                model.features,
                label,
                parameters=of.parameters,
                seed=spec.training.seed,
            )
            for name, of in model.candidates.items()
        }
        members = {n: predict_probability(m, later, model.features) for n, m in fitted.items()}
        zone = model.calendar.timezone
        days = later.select(pl.col("predicted_at").dt.convert_time_zone(zone).dt.date())
        days_of = days.to_series().to_numpy()
        choice = choose(truth, members, days_of, spec.ensemble, seed=7)
        frame = to_model_frame(later, model.features)
        chosen = fitted.get(choice.chosen) or build_ensemble(
            fitted, choice.weights, spec.ensemble.method, frame, truth
        )
        method = spec.training.calibration
        final = calibrate(chosen, frame, truth, days_of, method, seed=7).model
        tested = split.test[label].cast(int).to_numpy()
        print(measure_metrics(tested, predict_probability(final, split.test, model.features)))


def _keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    first = keys.index(AS_OF)
    return keys[first : first + WEEKS]
