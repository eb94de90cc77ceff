"""Studies in Optuna, kept in a journal file so that an interrupted one goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.tuning import Dimension, Tuning, TuningResult

if TYPE_CHECKING:
    from optuna import Trial


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
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.root.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(self.root / f"{name}.journal"))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=name,
            sampler=optuna.samplers.TPESampler(seed=tuning.seed),
            load_if_exists=True,
        )

        def trial_value(trial: Trial) -> float:
            parameters = {key: _suggest(trial, key, of) for key, of in tuning.space.items()}
            trial.set_user_attr("parameters", parameters)
            value = objective(parameters)
            report(f"trial {trial.number + 1} of {tuning.trials}: {value:.5f} {parameters}")
            return value

        complete = (optuna.trial.TrialState.COMPLETE,)
        done = len(study.get_trials(states=complete))
        if done < tuning.trials:
            study.optimize(trial_value, n_trials=tuning.trials - done)
        trials = study.get_trials(states=complete)
        values = tuple(float(trial.value) for trial in trials if trial.value is not None)
        return TuningResult(study.best_trial.user_attrs["parameters"], study.best_value, values)


def _suggest(trial: Trial, name: str, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return trial.suggest_categorical(name, list(dimension.choices))
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.int:
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
