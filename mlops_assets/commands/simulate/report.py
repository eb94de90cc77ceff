"""All scenarios, one after the other: what to print about them and what to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops_assets.commands.simulate.rollouts import Endings, simulate_rollouts
from mlops_assets.commands.simulate.scenarios import SCENARIOS, Scenario

Measured = Mapping[str, Any]
_WIDTHS = "{:<28}{:<22}{:>24}{:>8}{:>24}{:>8}"


def run_simulate(
    build: Path,
    runs: int = 10_000,
    seed: int = 7,
    scenarios: Sequence[Scenario] = SCENARIOS,
) -> str:
    """Simulate every scenario; writes ``build/simulate.json`` and returns what to print."""
    build.mkdir(parents=True, exist_ok=True)
    measured: list[Measured] = []
    for number, scenario in enumerate(scenarios):
        print(f"simulating {runs} rollouts: {scenario.name}", flush=True)
        endings = simulate_rollouts(scenario, runs, seed + number)
        measured += [measure(scenario, rule, ended) for rule, ended in endings.items()]
    kept = {"runs": runs, "seed": seed, "measured": measured}
    (build / "simulate.json").write_text(json.dumps(kept, indent=2) + "\n")
    return tell(measured)


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


def measure_rate(happened: npt.NDArray[np.bool_]) -> dict[str, float]:
    """A share and its exact binomial 95 % interval (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    k, n = int(happened.sum()), happened.size
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return {"rate": k / n, "low": low, "high": high}


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
        _rate(each["rolled_back"]),
        _number(each["requests_to_roll_back"]),
        _rate(each["promoted"]),
        _number(each["requests_to_promote"]),
    )
    aim = f"   aim: {each['aim']}" if name and each["aim"] else ""
    return f"{_WIDTHS.format(name, each['rule'], *words)}{aim}".rstrip()


def _rate(rate: Measured | None) -> str:
    if rate is None:
        return ""
    return f"{rate['rate']:.2%} ({rate['low']:.2%}-{rate['high']:.2%})"


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _median(requests: npt.NDArray[np.int64], ended: npt.NDArray[np.bool_]) -> float | None:
    middle = float(np.median(np.where(ended, requests, np.inf)))
    return middle if np.isfinite(middle) else None
