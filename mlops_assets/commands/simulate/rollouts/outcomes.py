"""Labels of equally good versions: when the outcome guardrail would take one back."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts.rules import GUARDRAILS, RATE
from mlops_assets.commands.simulate.rollouts.scenarios import Scenario
from mlops_assets.lifecycle.rollout.decision import Outcomes
from mlops_assets.lifecycle.rollout.outcomes import score_outcomes
from mlops_assets.lifecycle.rollout.sequential import log_betting_evidence

LABELLED = 4
"""Units between two looks whose labels arrive."""

_AT_ONCE = 100


def draw_outcome_alarms(
    scenario: Scenario, runs: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Per rollout the first look at which it is taken back for its outcomes, else past the last.

    Both versions' squared errors follow the time of the day, so a pooled mean would not do.
    """
    parts = [
        _draw_part(scenario, min(_AT_ONCE, runs - begun), random)
        for begun in range(0, runs, _AT_ONCE)
    ]
    return np.concatenate(parts)


def _draw_part(scenario: Scenario, runs: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    looks = range(scenario.looks)
    share = np.repeat([scenario.weight(look) / 100 for look in looks], LABELLED)
    tide = np.repeat([scenario.tide(look) for look in looks], LABELLED)
    shape = (runs, share.size)
    event = random.random(shape) < 0.2 * tide
    said = random.beta(2, 8, shape)
    loss = np.square(said - event)
    canary = random.random(shape) < share
    scores, below, _ = score_outcomes(Outcomes(loss, canary, share))
    alarm = log_betting_evidence(scores, below, every=LABELLED) >= math.log(GUARDRAILS / RATE)
    return np.where(alarm.any(axis=1), alarm.argmax(axis=1), scenario.looks)
