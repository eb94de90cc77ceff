"""Many rollouts at once, decided by several rules that see the same requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts.outcomes import draw_outcome_alarms
from mlops_assets.commands.simulate.rollouts.returning import draw_visits
from mlops_assets.commands.simulate.rollouts.rules import Rule, build_rules
from mlops_assets.commands.simulate.rollouts.scenarios import Scenario
from mlops_assets.commands.simulate.rollouts.traffic import Arms, Increment, draw_requests

_AT_ONCE = 2500
_USERS_AT_ONCE = 300_000
"""Rollouts, and users in them, that are simulated together: bounds memory."""


@dataclass(frozen=True)
class Endings:
    """How each rollout ended under one rule: taken back, promoted, or still running.

    ``requests``: what the canary had been asked by then.
    """

    rolled_back: npt.NDArray[np.bool_]
    promoted: npt.NDArray[np.bool_]
    requests: npt.NDArray[np.int64]


def simulate_rollouts(scenario: Scenario, runs: int, seed: int) -> dict[str, Endings]:
    """The endings by the name of the rule."""
    random, wanted = np.random.default_rng(seed), -(-runs // scenario.one_in)
    at_once = _AT_ONCE if scenario.users is None else _USERS_AT_ONCE // scenario.users
    sizes = [min(at_once, wanted - begun) for begun in range(0, wanted, at_once)]
    parts = [_simulate_part(scenario, size, random) for size in sizes]
    return {
        name: Endings(
            *(
                np.concatenate([getattr(part[name], field) for part in parts])
                for field in ("rolled_back", "promoted", "requests")
            )
        )
        for name in parts[0]
    }


def _simulate_part(
    scenario: Scenario, runs: int, random: np.random.Generator
) -> dict[str, Endings]:
    alarms = draw_outcome_alarms(scenario, runs, random) if scenario.every_guardrail else None
    rules = build_rules(scenario, alarms)
    draw = draw_requests if scenario.users is None else draw_visits
    return _decide(scenario, runs, draw(scenario, runs, random), rules)


def _decide(
    scenario: Scenario, runs: int, traffic: Iterator[Increment], rules: Sequence[Rule]
) -> dict[str, Endings]:
    canary, baseline = (Arms.empty(runs, len(scenario.ramp)) for _ in range(2))
    endings = {
        rule.name: Endings(*(np.zeros(runs, dtype) for dtype in (bool, bool, np.int64)))
        for rule in rules
    }
    for look, increment in enumerate(traffic):
        canary.add(increment, 0, scenario.step(look))
        baseline.add(increment, 1, scenario.step(look))
        asked = canary.requests.sum(axis=1)
        for rule in rules:
            _note(endings[rule.name], *rule.look(look, canary, baseline), asked)
        if all((end.rolled_back | end.promoted).all() for end in endings.values()):
            break
    return endings


def _note(
    endings: Endings,
    alarm: npt.NDArray[np.bool_],
    shown: npt.NDArray[np.bool_],
    asked: npt.NDArray[np.int64],
) -> None:
    """Harm is heard before a proof, and an ended rollout stays as it ended."""
    going = ~(endings.rolled_back | endings.promoted)
    endings.requests[going] = asked[going]
    endings.rolled_back[going & alarm] = True
    endings.promoted[going & shown & ~alarm] = True
