"""Simulated requests: what both arms of many rollouts did between two looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts.scenarios import Scenario

Counts = npt.NDArray[np.int64]
"""One row per rollout; canary and baseline, or one column per step of the ramp."""


@dataclass
class Increment:
    """Since the look before, canary in column 0 and baseline in column 1.

    ``requests`` and ``failures`` are what a proxy counts; the others count units once, see
    ``lifecycle.rollout.window.Arm``.
    """

    requests: Counts
    failures: Counts
    units: Counts
    failed: Counts
    errors: Counts
    slow: Counts
    high: Counts


@dataclass
class Arms:
    """Running totals per step of the ramp, of one arm."""

    requests: Counts
    failures: Counts
    units: Counts
    failed: Counts
    errors: Counts
    slow: Counts
    high: Counts

    @classmethod
    def empty(cls, runs: int, steps: int) -> Arms:
        return cls(*(np.zeros((runs, steps), dtype=np.int64) for _ in fields(cls)))

    def of(self, rollouts: npt.NDArray[np.int64]) -> Arms:
        """The totals of some of the rollouts."""
        return Arms(*(getattr(self, each.name)[rollouts] for each in fields(self)))

    def add(self, increment: Increment, arm: int, step: int) -> None:
        for each in fields(self):
            getattr(self, each.name)[:, step] += getattr(increment, each.name)[:, arm]


def draw_requests(
    scenario: Scenario, runs: int, random: np.random.Generator
) -> Iterator[Increment]:
    """Requests of as many users, so that every failure is a unit's first."""
    nothing = np.zeros((runs, 2), dtype=np.int64)
    for look in range(scenario.looks):
        canary = random.binomial(scenario.requests, scenario.weight(look) / 100, runs)
        requests = np.stack([canary, scenario.requests - canary], axis=1)
        rate, tide = scenario.base * scenario.tide(look), scenario.tide(look)
        failures = random.binomial(requests, [rate + scenario.added, rate])
        slow = high = nothing
        if scenario.every_guardrail:
            slow = random.binomial(requests, 0.05 * tide)
            high = random.binomial(requests, 0.3 * (1 + tide) / 2)
        yield Increment(requests, failures, requests, failures, failures, slow, high)
