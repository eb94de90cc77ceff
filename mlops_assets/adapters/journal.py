"""What the ledger's rows mean: reading and writing the records decisions rest on, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops_assets.adapters.ports import Ledger, Record
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState, Routing, build_routing


def write_once(
    ledger: Ledger, kind: str, model: str, subject: str, body: Mapping[str, Any], at: datetime
) -> Record:
    """Append the row unless the subject's latest row says the same already."""
    plain = json.loads(json.dumps(body))
    last = ledger.latest(kind, model, subject)
    if last and last.body == plain:
        return last
    sequence = last.sequence + 1 if last else 1
    return ledger.append(Record(kind, model, subject, sequence, plain, at))


def read_champion(ledger: Ledger, model: str) -> Champion | None:
    """The version that answers by default, or None before the first promotion."""
    row = ledger.latest("promotion", model, "champion")
    return Champion(**row.body) if row else None


def write_champion(ledger: Ledger, model: str, champion: Champion, at: datetime) -> Record:
    """Record a promotion. Raises ``LedgerConflict`` when another promoter was first."""
    return write_once(ledger, "promotion", model, "champion", asdict(champion), at)


def read_rollout(ledger: Ledger, model: str, version: str | None = None) -> RolloutState | None:
    """The latest state of a version's rollout, or of the model's latest rollout."""
    row = ledger.latest("rollout", model, version)
    return RolloutState(**row.body) if row else None


def write_rollout(ledger: Ledger, model: str, state: RolloutState, at: datetime) -> Record:
    """Record a rollout's next state. Raises ``LedgerConflict`` when another was first."""
    return write_once(ledger, "rollout", model, state.version, asdict(state), at)


def read_routing(ledger: Ledger, model: str) -> Routing:
    """The routing that follows from the latest promotion and rollout."""
    return build_routing(model, read_champion(ledger, model), read_rollout(ledger, model))


def has_passed(ledger: Ledger, model: str, digest: str) -> bool:
    """Whether the latest verdict on a model digest lets it serve."""
    row = ledger.latest("verdict", model, digest)
    return bool(row and row.body["outcome"] == "passed")
