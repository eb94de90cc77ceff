"""Trials as Optuna stores them, and what they tell of their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from statistics import fmean
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.tuning import Dimension, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

_TELLING = 5
"""How many good trials importance is drawn from, as Optuna advises, when there are enough."""


def freeze_trial(
    drawn: optuna.Trial, state: TrialState, losses: Sequence[float], told: Mapping[str, float]
) -> FrozenTrial:
    """A trial as it is stored: the means after each fold are what Optuna's own pages show."""
    import optuna

    means = {fold: fmean(losses[: fold + 1]) for fold in range(len(losses))}
    ended = optuna.trial.create_trial(
        state=state,
        params=drawn.params,
        distributions=drawn.distributions,
        value=fmean(losses),
        user_attrs={"folds": list(losses), **told},
        intermediate_values=means,
    )
    assert ended.datetime_complete is not None
    ended.datetime_start = ended.datetime_complete - timedelta(seconds=told["seconds"])
    return ended


def read_trial(space: Iterable[str], frozen: FrozenTrial, number: int) -> Trial:
    """A stored trial, its parameters in the order of the space. ``number`` counts from 1."""
    from optuna.trial import TrialState

    return Trial(
        number=number,
        parameters={key: frozen.params[key] for key in space},
        value=frozen.value if frozen.state == TrialState.COMPLETE else None,
        folds=tuple(frozen.user_attrs["folds"]),
        seconds=frozen.user_attrs["seconds"],
    )


def to_distribution(dimension: Dimension) -> BaseDistribution:
    """The range of a parameter as Optuna draws from it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.int:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def measure_importance(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """PED-ANOVA: how far the good trials' parameters differ from those of all trials.

    Empty when fewer than two trials are good, or no complete trial is worse than these.
    """
    import optuna
    from optuna.trial import TrialState

    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    share = min(0.5, max(0.1, _TELLING / max(len(complete), 1)))
    good = math.ceil(share * len(complete))
    values = sorted(trial.value for trial in complete if trial.value is not None)
    if good < 2 or values[good - 1] == values[-1]:
        return {}
    study = optuna.create_study()
    study.add_trials(complete)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
