"""All scenarios of rollouts, one after the other: what to print about them and what to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rates import measure_rate, tell_rate
from mlops_assets.commands.simulate.rollouts.endings import Endings, simulate_rollouts
from mlops_assets.commands.simulate.rollouts.scenarios import SCENARIOS, Scenario

Measured = Mapping[str, Any]
_WIDTHS = "{:<28}{:<22}{:>24}{:>8}{:>24}{:>8}"


def measure_rollouts(
    runs: int, seed: int, scenarios: Sequence[Scenario] = SCENARIOS
) -> list[Measured]:
    """Simulate every scenario: one entry for each and each rule."""
    measured: list[Measured] = []
    for number, scenario in enumerate(scenarios):
        print(f"simulating {runs} rollouts: {scenario.name}", flush=True)
        endings = simulate_rollouts(scenario, runs, seed + number)
        measured += [measure(scenario, rule, ended) for rule, ended in endings.items()]
    return measured


def measure(scenario: Scenario, rule: str, endings: Endings) -> Measured:
    """Rates with their 95 % intervals, and medians of the requests the canary had been asked.

    A median is over all rollouts: None when fewer than half ended so.
    """
    return {
        "scenario": scenario.name,
        "aim": scenario.aim,
        "rule": rule,
        "rolled_back": measure_rate(endings.rolled_back),
        "requests_to_roll_back": _median(endings.requests, endings.rolled_back),
        "promoted": measure_rate(endings.promoted) if scenario.promotes else None,
        "requests_to_promote": _median(endings.requests, endings.promoted),
    }


def tell(measured: Sequence[Measured]) -> str:
    """One line per scenario and rule."""
    lines = [_WIDTHS.format("", "", "rolled back", "after", "promoted", "after")]
    told = ""
    for each in measured:
        name = "" if each["scenario"] == told else each["scenario"]
        told = each["scenario"]
        lines.append(_line(name, each))
    lines.append("rates with 95 % intervals; after: the median of the canary's requests by then")
    return "\n".join(lines)


def _line(name: str, each: Measured) -> str:
    words = (
        tell_rate(each["rolled_back"]),
        _number(each["requests_to_roll_back"]),
        tell_rate(each["promoted"]),
        _number(each["requests_to_promote"]),
    )
    aim = f"   aim: {each['aim']}" if name and each["aim"] else ""
    return f"{_WIDTHS.format(name, each['rule'], *words)}{aim}".rstrip()


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _median(requests: npt.NDArray[np.int64], ended: npt.NDArray[np.bool_]) -> float | None:
    middle = float(np.median(np.where(ended, requests, np.inf)))
    return middle if np.isfinite(middle) else None
