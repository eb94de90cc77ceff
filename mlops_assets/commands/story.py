"""The demo's result in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tell(result: Mapping[str, Any], build: Path) -> str:
    """What happened, with the numbers, and where to look next."""
    first, second, broken = result["versions"]
    promoted, rolled_back = result["rollouts"][1], result["rollouts"][2]
    lines = [
        "",
        f"{result['raw_rows']:,} flights, {result['partitions']} weeks: "
        f"{result['validated_rows']:,} validated, {result['quarantined_rows']} quarantined",
        f"{_version(first)}  first champion",
        f"{result['predictions_sent']:,} live requests, {result['predictions_failed']} failed, "
        f"{result['predictions_logged']:,} predictions logged",
        f"week {result['retraining']['week']}: the data had drifted, retrained as of "
        f"{result['retraining']['train_as_of']}",
        f"{_version(second)}  {_rollout(promoted)}",
        f"{_version(broken)}  {_rollout(rolled_back)}",
        f"champion is {result['champion']}; {result['seconds']['total']:.0f} seconds in all",
        "",
        f"Look next: {build / 'demo.json'} has every number;",
        f"  make dev STATE={build / 'demo'}   browses this run in the Dagster UI,",
        "  make dev                      starts from nothing.",
    ]
    return "\n".join(lines)


def _version(version: Mapping[str, Any]) -> str:
    return (
        f"{version['version']}  trained as of {version['train_as_of']}  "
        f"AUC {version['auc']:.3f}  gates {version['verdict']}"
    )


def _rollout(rollout: Mapping[str, Any]) -> str:
    weights = " ".join(str(s["weight"]) for s in rollout["steps"] if s["phase"] == "progressing")
    return (
        f"canary {weights}  {rollout['outcome']} after {rollout['requests_to_decision']} requests"
    )
