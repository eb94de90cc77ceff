"""Studies as lists of trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from mlops_assets.lifecycle.tuning import Dimension, Tuning, TuningResult


class InMemoryStudies:
    """``Studies`` by random search; trial N depends on the seed and N alone."""

    def __init__(self) -> None:
        self._trials: dict[str, list[tuple[float, dict[str, Any]]]] = {}

    def optimise(
        self,
        name: str,
        tuning: Tuning,
        objective: Callable[[Mapping[str, Any]], float],
        report: Callable[[str], None],
    ) -> TuningResult:
        trials = self._trials.setdefault(name, [])
        while len(trials) < tuning.trials:
            number = len(trials) + 1
            random = Random(f"{tuning.seed}/{number}")  # noqa: S311 - no secret
            parameters = {key: _draw(random, of) for key, of in tuning.space.items()}
            trials.append((objective(parameters), parameters))
            report(f"trial {number} of {tuning.trials}: {trials[-1][0]:.5f} {parameters}")
        value, best = min(trials, key=lambda trial: trial[0])
        return TuningResult(best, value, tuple(value for value, _ in trials))


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
