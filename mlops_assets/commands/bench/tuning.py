"""What a study costs: beside plain Optuna, and with two workers beside one."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.commands.bench.processes import AS_OF, read_model, time_function

if TYPE_CHECKING:
    from mlops_assets.lifecycle.tuning import Tuning

TRIALS = 30
_PAIRS = 3
_THINNED = 3
"""Every third row of the training set, so that 60 fits take a minute and not five."""


class Empty:
    """An objective that costs nothing: what is left is the study."""

    folds = 1

    def __call__(self, parameters: Mapping[str, Any], fold: int) -> float:  # noqa: ARG002
        return float((parameters["x"] - 0.3) ** 2)


def measure_trials(build: Path) -> dict[str, float]:
    """30 trials that cost nothing: ours, and Optuna's own loop on a journal file, in turn."""
    pairs = []
    for number in range(_PAIRS + 1):
        folder = build / "bench" / f"trials-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        pairs.append((_time(run_plain_trials, folder / "a"), _time(run_trials, folder / "b")))
    pairs = pairs[1:]  # the first imports
    return {
        "optuna_seconds": statistics.median(a for a, _ in pairs),
        "study_seconds": statistics.median(b for _, b in pairs),
        "trial_ratio": statistics.median(b / a for a, b in pairs),
    }


def run_plain_trials(folder: Path) -> None:
    """Optuna as its manual has it, with the same sampler and a journal file."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "journal")))
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.TPESampler(seed=7))
    study.optimize(
        lambda trial: Empty()({"x": trial.suggest_float("x", 0.0, 1.0)}, 0), n_trials=TRIALS
    )


def run_trials(folder: Path) -> None:
    """The same through the port."""
    from mlops_assets.adapters.optuna_studies import OptunaStudies
    from mlops_assets.lifecycle.tuning import Dimension, Tuning

    tuning = Tuning({"x": Dimension(0.0, 1.0)}, trials=TRIALS)
    OptunaStudies(folder).optimise("empty", tuning, Empty(), lambda _: None)


def measure_workers(build: Path) -> dict[str, float]:
    """30 trials of the tuned candidate: one worker with all cores, two with half of them."""
    from mlops_assets.commands.bench.stages import ingest_plain

    data = build / "bench" / "tuning"
    if not (data / "tables").exists():
        ingest_plain(str(data.absolute()))
    seconds = {
        workers: time_function(__name__, "run_workers", str(data.absolute()), str(workers))
        for workers in (1, 2)
    }
    return {
        "one_worker_seconds": seconds[1],
        "two_workers_seconds": seconds[2],
        "workers_ratio": seconds[2] / seconds[1],
    }


def run_workers(state: str, workers: str) -> None:
    """A study from nothing with so many workers."""
    from mlops_assets.adapters.optuna_studies import OptunaStudies
    from mlops_assets.commands.home import prepare_home
    from mlops_assets.components.stages.training_sets import load_split, plan
    from mlops_assets.defs.platform.resources import build_resources, read_settings
    from mlops_assets.lifecycle.splits import Fold
    from mlops_assets.lifecycle.tuning import TrialScorer

    prepare_home(Path(state), os.environ)
    model, port = read_model(), build_resources(read_settings(os.environ))
    plan(model, AS_OF, "all", port["tables"], port["ledger"], port["clock"])
    _, split = load_split(model, AS_OF, port["tables"], port["ledger"])
    folds = [
        Fold(f.fit.gather_every(_THINNED), f.score.gather_every(_THINNED)) for f in split.folds
    ]
    candidate = next(candidate for candidate in model.candidates.values() if candidate.tuned)
    tuning = model.tuning_of(candidate)
    assert tuning is not None
    scorer = TrialScorer(
        model.function(candidate.estimator),
        folds,
        model.features,
        model.spec.label,
        model.spec.training.seed,
        candidate.parameters,
    )
    folder = Path(state) / "studies-bench" / workers
    shutil.rmtree(folder, ignore_errors=True)
    OptunaStudies(folder).optimise("workers", _asked(tuning, workers), scorer, lambda _: None)


def _asked(tuning: Tuning, workers: str) -> Tuning:
    return replace(tuning, trials=TRIALS, workers=int(workers), timeout=None, pruning=False)


def _time(work: Any, folder: Path) -> float:
    begun = time.perf_counter()
    work(folder)
    return time.perf_counter() - begun
