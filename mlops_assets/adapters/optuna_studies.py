"""Studies in Optuna, kept in a journal file so that an interrupted one goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.tuning import Dimension, Tuning, TuningResult

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class OptunaStudies:
    """``Studies`` in journal files below ``root``, one per study name."""

    root: Path

    def optimise(
        self,
        name: str,
        tuning: Tuning,
        objective: Callable[[Mapping[str, Any]], float],
        report: Callable[[str], None],
    ) -> TuningResult:
        import optuna

        study = self._open(name)

        def trial_value(trial: Trial) -> float:
            parameters = {key: _suggest(trial, key, of) for key, of in tuning.space.items()}
            trial.set_user_attr("parameters", parameters)
            value = objective(parameters)
            if not math.isfinite(value):
                raise TrainingError(_not_finite(name, value, parameters))
            report(f"trial {done + 1} of {tuning.trials}: {value:.5f} {parameters}")
            return value

        # Each trial has a seed of its own: a study that goes on draws what an unbroken one would.
        while (done := len(_complete(study))) < tuning.trials:
            study.sampler = optuna.samplers.TPESampler(seed=tuning.seed + done)
            study.optimize(trial_value, n_trials=1)
        values = tuple(float(trial.value) for trial in _complete(study) if trial.value is not None)
        return TuningResult(study.best_trial.user_attrs["parameters"], study.best_value, values)

    def _open(self, name: str) -> Study:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = self.root / f"{name}.journal"
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(storage=storage, study_name=name, load_if_exists=True)


def _complete(study: Study) -> list[FrozenTrial]:
    """Trials that have a value, oldest first; failed and interrupted ones do not count."""
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


def _not_finite(name: str, value: float, parameters: Mapping[str, Any]) -> str:
    return (
        f"tuning {name}: the objective is {value} for {parameters}; "
        "narrow the search space, or correct the estimator"
    )


def _suggest(trial: Trial, name: str, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return trial.suggest_categorical(name, list(dimension.choices))
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.int:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
