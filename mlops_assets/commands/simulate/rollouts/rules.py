"""What decides in a simulation: our rules, the naive test, and what rollout controllers ask."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts.scenarios import MARGIN, Scenario
from mlops_assets.commands.simulate.rollouts.traffic import Arms
from mlops_assets.lifecycle.rollout.guardrails import log_prediction_evidence
from mlops_assets.lifecycle.rollout.sequential import log_margin_evidence, log_ratio_evidence

Mask = npt.NDArray[np.bool_]
GUARDRAILS = 4
"""Errors, time, answers and outcomes share the budget, whether a scenario draws them or not."""

RATE = 0.01
SAMPLE = 200


class Rule(Protocol):
    """Looks at the running totals of all rollouts, at every look."""

    name: str

    def look(self, look: int, canary: Arms, baseline: Arms, /) -> tuple[Mask, Mask]:
        """Which rollouts it takes back now, and which versions it would promote."""


class Sequential:
    """The e-processes and proofs of ``lifecycle.rollout``."""

    name = "ours"

    def __init__(self, scenario: Scenario, outcome_alarms: npt.NDArray[np.int64] | None) -> None:
        self.scenario, self.outcome_alarms = scenario, outcome_alarms
        self.shares = [weight / 100 for weight in scenario.weights]
        self.alarm = math.log(GUARDRAILS / RATE)
        self.ended: Mask | None = None

    def look(self, look: int, canary: Arms, baseline: Arms, /) -> tuple[Mask, Mask]:
        """Only of rollouts that have not ended: the rest costs time and changes nothing."""
        alarm, shown = (np.zeros(canary.units.shape[0], dtype=bool) for _ in range(2))
        self.ended = alarm.copy() if self.ended is None else self.ended
        going = np.flatnonzero(~self.ended)
        alarm[going], shown[going] = self._judge(canary.of(going), baseline.of(going))
        if self.outcome_alarms is not None:
            alarm |= self.outcome_alarms <= look
        self.ended |= alarm | shown
        return alarm, shown

    def _judge(self, canary: Arms, baseline: Arms) -> tuple[Mask, Mask]:
        alarm = self._log_errors(canary, baseline) >= self.alarm
        if self.scenario.every_guardrail:
            alarm |= self._others(canary, baseline)
        if not self.scenario.promotes:
            return alarm, np.zeros_like(alarm)
        return alarm, _sampled(canary) & (self._log_proof(canary, baseline) >= -math.log(RATE))

    def _log_errors(self, canary: Arms, baseline: Arms) -> npt.NDArray[np.float64]:
        return log_ratio_evidence(canary.errors, baseline.errors, self.shares)

    def _log_proof(self, canary: Arms, baseline: Arms) -> npt.NDArray[np.float64]:
        units = canary.units + baseline.units
        return log_margin_evidence(canary.failed, baseline.failed, units, self.shares, MARGIN)

    def _others(self, canary: Arms, baseline: Arms) -> Mask:
        slow = log_ratio_evidence(canary.slow, baseline.slow, self.shares)
        answers = log_prediction_evidence(
            (canary.high, canary.units - canary.high),
            (baseline.high, baseline.units - baseline.high),
            self.shares,
            1.0,
        )
        return np.asarray((slow >= self.alarm) | (answers >= self.alarm))


class NaiveTest:
    """A two-proportion z-test on all requests so far, one-sided at 1 %, at each look."""

    name = "z-test"

    def __init__(self, scenario: Scenario) -> None:
        self.promotes = scenario.promotes

    def look(self, _: int, canary: Arms, baseline: Arms, /) -> tuple[Mask, Mask]:
        n, m = canary.requests.sum(axis=1), baseline.requests.sum(axis=1)
        k, j = canary.failures.sum(axis=1), baseline.failures.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = (k + j) / (n + m)
            z = (k / n - j / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        alarm = z > 2.3263
        return alarm, _sampled(canary) & ~alarm & self.promotes


class Threshold:
    """Back when five checks have failed, as controllers count them; promoted after the last step.

    ``factor``: a check fails when the error rate of the canary since the check before lies above
    so many times the baseline's; ``limit``: above this rate. A check is made every ten looks.
    """

    CHECKS, EVERY = 5, 10

    def __init__(self, scenario: Scenario, *, factor: float = 0.0, limit: float = 0.0) -> None:
        self.factor, self.limit, self.promotes = factor, limit, scenario.promotes
        said = f"baseline x {factor:g}" if factor else f"{limit:.0%}"
        self.name = f"rate > {said}"
        self.before = [np.zeros(1, dtype=np.int64) for _ in range(4)]
        self.missed = np.zeros(1, dtype=np.int64)

    def look(self, look: int, canary: Arms, baseline: Arms, /) -> tuple[Mask, Mask]:
        if (look + 1) % self.EVERY == 0:
            self.missed = self.missed + self._check(canary, baseline)
        alarm = np.broadcast_to(self.missed >= self.CHECKS, canary.units.shape[:1])
        return alarm, _sampled(canary) & ~alarm & self.promotes

    def _check(self, canary: Arms, baseline: Arms) -> Mask:
        kinds = (canary.failures, canary.requests, baseline.failures, baseline.requests)
        now = [counted.sum(axis=1) for counted in kinds]
        k, n, j, m = (after - before for after, before in zip(now, self.before, strict=True))
        self.before = now
        with np.errstate(divide="ignore", invalid="ignore"):
            allowed = self.factor * j / m if self.factor else self.limit
            return np.asarray(k / n > allowed)


def build_rules(
    scenario: Scenario, outcome_alarms: npt.NDArray[np.int64] | None = None
) -> list[Rule]:
    """Ours, and what it is compared with."""
    return [
        Sequential(scenario, outcome_alarms),
        NaiveTest(scenario),
        Threshold(scenario, factor=1.2),
        Threshold(scenario, limit=0.07),
    ]


def _sampled(canary: Arms) -> Mask:
    """Where every step has had its minimum sample."""
    return np.asarray((canary.requests >= SAMPLE).all(axis=1))
