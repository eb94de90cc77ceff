"""Whether to train again: the policy asked about what monitoring has recorded."""

from __future__ import annotations

from dataclasses import asdict

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision, decide_retraining
from mlops_assets.lifecycle.retraining.window import MonitoredWindow


def consider_retraining(model: ModelDefinition, ledger: Ledger) -> RetrainingDecision:
    """What the policy says about the drift seen so far. Reads only."""
    latest = {row.subject: row.body for row in ledger.history("drift", model.name)}
    windows = [
        MonitoredWindow(key, body["version"], body["outcome"], body["reason"])
        for key, body in latest.items()
    ]
    asked = [
        (row.subject, row.body["as_of"])
        for row in ledger.history("retraining", model.name)
        if row.body["action"] == "retrain"
    ]
    return decide_retraining(
        windows,
        read_champion(ledger, model.name),
        model.calendar,
        model.spec.retraining,
        asked=asked,
    )


def record_retraining(
    model: ModelDefinition, key: str, ledger: Ledger, clock: Clock
) -> RetrainingDecision:
    """Decide and keep the decision under the newest window it rests on."""
    decision = consider_retraining(model, ledger)
    subject = decision.window or key
    write_once(ledger, "retraining", model.name, subject, asdict(decision), clock.now())
    return decision
