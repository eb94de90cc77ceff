"""What the ledger knows about a model, put together for one look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.adapters.journal import read_champion, read_latest, read_rollout
from mlops_assets.adapters.ports import Ledger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.overview import MonitoredPartition, Overview, summarise


@dataclass(frozen=True)
class Overlooked:
    """The overview, and every monitored partition it rests on, oldest first."""

    overview: Overview
    partitions: Sequence[MonitoredPartition]


def look_over(model: ModelDefinition, ledger: Ledger) -> Overlooked:
    """How a model is doing, from its ledger alone. Reads only."""
    partitions = read_partitions(model, ledger)
    champion = read_champion(ledger, model.name)
    evaluation = champion and ledger.latest("evaluation", model.name, champion.digest)
    tested = evaluation.body["metrics"].get("brier") if evaluation else None
    decided = ledger.latest("retraining", model.name)
    decision = decided.body["reason"] if decided else "not decided yet"
    rollout = read_rollout(ledger, model.name)
    overview = summarise(partitions, champion, rollout, tested, decision)
    return Overlooked(overview, partitions)


def read_partitions(model: ModelDefinition, ledger: Ledger) -> list[MonitoredPartition]:
    """What was last recorded about each monitored partition, oldest first."""
    drift = read_latest(ledger, "drift", model.name)
    performance = read_latest(ledger, "performance", model.name)
    asked = {
        key: body["as_of"]
        for key, body in read_latest(ledger, "retraining", model.name).items()
        if body["action"] == "retrain"
    }
    monitored: list[MonitoredPartition] = []
    for key in sorted(drift):
        version = drift[key]["version"]
        report = performance.get(key, {}).get(version, {})
        first = bool(monitored) and monitored[-1].version != version
        monitored.append(_combine(key, drift[key], report, asked.get(key), first=first))
    return monitored


def _combine(
    key: str,
    drift: Mapping[str, Any],
    report: Mapping[str, Any],
    retrain_as_of: str | None,
    *,
    first: bool,
) -> MonitoredPartition:
    triage = drift.get("triage") or {}
    columns = drift.get("columns", ())
    return MonitoredPartition(
        partition=key,
        version=drift["version"],
        predictions=report.get("predictions", 0),
        labelled=report.get("labelled", 0),
        maturity=report.get("maturity", "estimated"),
        positive_rate=report.get("positive_rate"),
        estimated=report.get("estimated", {}).get("brier"),
        realised=report.get("metrics", {}).get("brier"),
        drift=drift["outcome"],
        alarm=any(column["drifted"] or column.get("findings") for column in columns),
        cause=triage.get("cause", "nothing"),
        said=triage.get("reason") or drift["reason"],
        retrain_as_of=retrain_as_of,
        first=first,
    )
