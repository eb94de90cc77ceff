"""Studies as lists of trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import fmean
from typing import Any

from mlops_assets.lifecycle.tuning import (
    Dimension,
    Objective,
    Trial,
    Tuning,
    TuningResult,
    conclude_study,
    require_finite,
    require_space,
)


class InMemoryStudies:
    """``Studies`` by random search; trial N depends on the seed and N alone.

    It fits in this process whatever ``workers`` says, prunes nothing, knows no time limit, and
    tells no importance.
    """

    def __init__(self) -> None:
        self._trials: dict[str, list[Trial]] = {}

    def optimise(
        self,
        name: str,
        tuning: Tuning,
        objective: Objective,
        report: Callable[[Trial], None],
    ) -> TuningResult:
        require_space(name, tuning)
        trials = self._trials.setdefault(name, [])
        while len(trials) < tuning.trials:
            trials.append(_run(name, tuning, objective, len(trials) + 1))
            report(trials[-1])
        return conclude_study(name, trials[: tuning.trials], {}, "trials")


def _run(name: str, tuning: Tuning, objective: Objective, number: int) -> Trial:
    random = Random(f"{tuning.seed}/{number}")  # noqa: S311 - no secret
    parameters = {key: _draw(random, of) for key, of in tuning.space.items()}
    folds = []
    for fold in range(objective.folds):
        folds.append(objective(parameters, fold))
        require_finite(name, folds[-1], parameters, fold)
    return Trial(number, parameters, fmean(folds), tuple(folds), seconds=0.0)


def _draw(random: Random, dimension: Dimension) -> Any:
    if dimension.choices is not None:
        return random.choice(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.int:
        return random.randint(int(dimension.low), int(dimension.high))
    if dimension.log:
        drawn = math.exp(random.uniform(math.log(dimension.low), math.log(dimension.high)))
        return min(max(drawn, dimension.low), dimension.high)
    return random.uniform(dimension.low, dimension.high)
