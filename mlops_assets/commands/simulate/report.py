"""Both parts, one after the other: what to keep and what to print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_assets.commands.simulate.rollouts.report import measure_rollouts
from mlops_assets.commands.simulate.rollouts.report import tell as tell_rollouts
from mlops_assets.commands.simulate.rollouts.scenarios import SCENARIOS, Scenario

PARTS = ("rollouts", "drift")
"""What can be simulated, by name."""


def run_simulate(
    build: Path,
    runs: int = 10_000,
    seed: int = 7,
    scenarios: Sequence[Scenario] = SCENARIOS,
    parts: Sequence[str] = PARTS,
) -> str:
    """Simulate the named parts; writes ``build/simulate.json`` and returns what to print.

    ``runs``: rollouts of each scenario; the windows and years of drift are fewer, in proportion.
    Raises ``ValueError`` for a part that does not exist.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f"simulate: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    build.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {"runs": runs, "seed": seed}
    said = []
    if "rollouts" in parts:
        kept["measured"] = measure_rollouts(runs, seed, scenarios)
        said.append(tell_rollouts(kept["measured"]))
    if "drift" in parts:
        from mlops_assets.commands.simulate.drift.effort import Effort
        from mlops_assets.commands.simulate.drift.measuring import measure_drift_rates
        from mlops_assets.commands.simulate.drift.report import tell as tell_drift

        kept["drift"] = measure_drift_rates(Effort.for_runs(runs), seed)
        said.append(tell_drift(kept["drift"]))
    (build / "simulate.json").write_text(json.dumps(kept, indent=2) + "\n")
    return "\n\n".join(said)
