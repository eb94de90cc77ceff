"""What happened in the demo: as it is kept, and in a few sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_assets.adapters.journal import find_live_override
from mlops_assets.adapters.ports import Ledger
from mlops_assets.commands.replay import Replayed


@dataclass
class Story:
    """What happened, as ``build/demo.json`` tells it."""

    counts: dict[str, int] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)
    retraining: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    replayed: Replayed = field(default_factory=lambda: Replayed(0, 0))


def describe_version(ledger: Ledger, model: str, as_of: str) -> dict[str, Any]:
    """The newest version, which was trained as of a partition, from what the ledger says."""
    version, trained = ledger.latest("version", model), ledger.latest("trained_model", model, as_of)
    assert version is not None
    assert trained is not None
    digest, recipe = trained.body["digest"], trained.body["recipe"]
    evaluation, verdict = (ledger.latest(k, model, digest) for k in ("evaluation", "verdict"))
    assert evaluation is not None
    assert verdict is not None
    metrics = evaluation.body["metrics"]
    return {
        "version": version.subject,
        "train_as_of": as_of,
        "auc": metrics["auc"],
        "brier": metrics["brier"],
        "digest": digest,
        "verdict": verdict.body["outcome"],
        "override": find_live_override(ledger, model, digest) is not None,
        "chosen": recipe["chosen"],
        "estimator": recipe["estimator"],
        "calibration": trained.body["calibration"],
        "fit_rows": trained.body["fit_rows"],
    }


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
        f"{', overridden' if version.get('override') else ''}"
    )


def _rollout(rollout: Mapping[str, Any]) -> str:
    weights = " ".join(str(s["weight"]) for s in rollout["steps"] if s["phase"] == "progressing")
    cut_off = ", cut off by the endpoint" if rollout.get("cut_off") else ""
    return (
        f"canary {weights}  {rollout['outcome']} after {rollout['requests_to_decision']} requests"
        f"{cut_off}"
    )
