"""Users who return: the same arm each time, and some fail far more often than others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts.scenarios import Scenario
from mlops_assets.commands.simulate.rollouts.traffic import Counts, Increment

VISITS = 20
"""Requests of each user."""

_SPAN = 0.2
"""The part of a rollout over which one user's requests lie."""


def draw_visits(scenario: Scenario, runs: int, random: np.random.Generator) -> Iterator[Increment]:
    """Requests of ``scenario.users`` users per rollout, counted by request and by user.

    A user has a number in [0, 1) and is the canary's while that lies below the canary's share: the
    sticky assignment of the endpoint, nested over a ramp. Users differ: their error rates follow a
    Beta distribution that gives most of them none.
    """
    users, looks = scenario.users or 1, scenario.looks
    visits = _draw_looks(random, (runs, users), looks)
    weights = np.array([scenario.weight(look) / 100 for look in range(looks)])
    canary = random.random((runs, users, 1)) < weights[visits]
    failed = random.random(visits.shape) < _rates(scenario, random, visits, canary)
    first_failure = np.where(failed, visits, looks).min(axis=2)
    first_visit = visits[:, :, 0]
    first_arm, failing_arm = canary[:, :, 0], _arm_at(canary, visits, first_failure)
    everyone = np.ones_like(first_arm)
    requests = _count(visits, canary, np.ones_like(canary), looks)
    failures = _count(visits, canary, failed, looks)
    units = _count(first_visit, first_arm, everyone, looks)
    errors = _count(first_failure, failing_arm, first_failure < looks, looks)
    at_first = _count(first_visit, first_arm, failed[:, :, 0], looks)
    none = np.zeros((runs, 2), dtype=np.int64)
    for look in range(looks):
        yield Increment(
            requests[:, look],
            failures[:, look],
            units[:, look],
            at_first[:, look],
            errors[:, look],
            slow=none,
            high=none,
        )


def _draw_looks(
    random: np.random.Generator, shape: tuple[int, int], looks: int
) -> npt.NDArray[np.int64]:
    """At which looks each user's requests are counted, the first first."""
    begin = random.random((*shape, 1)) * (1 - _SPAN)
    when = begin + random.random((*shape, VISITS)) * _SPAN
    return np.sort((when * looks).astype(np.int64), axis=2)


def _rates(
    scenario: Scenario,
    random: np.random.Generator,
    visits: npt.NDArray[np.int64],
    canary: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    people = (*visits.shape[:2], 1)
    own = random.beta(scenario.base * 10, (1 - scenario.base) * 10, people) if scenario.base else 0
    tide = np.array([scenario.tide(look) for look in range(scenario.looks)])
    return np.asarray(own * tide[visits] + scenario.added * canary)


def _arm_at(
    canary: npt.NDArray[np.bool_],
    visits: npt.NDArray[np.int64],
    look: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    return np.asarray((canary & (visits == look[:, :, None])).any(axis=2))


def _count(
    looks: npt.NDArray[np.int64],
    canary: npt.NDArray[np.bool_],
    counted: npt.NDArray[np.bool_],
    last: int,
) -> Counts:
    """How many were counted, by rollout, look and arm (canary first)."""
    runs = looks.shape[0]
    rollout = np.arange(runs).reshape(-1, *[1] * (looks.ndim - 1))
    cell = ((rollout * last + looks) * 2 + ~canary)[counted]
    return np.bincount(cell, minlength=runs * last * 2).reshape(runs, last, 2)
