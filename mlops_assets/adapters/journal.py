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
    ledger: Ledger,
    kind: str,
    model: str,
    subject: str,
    body: Mapping[str, Any],
    at: datetime,
    *,
    after: int | None = None,
) -> Record:
    """Append the row unless the subject's latest row says the same already.

    ``after`` is the sequence of the row that was read before deciding (``sequence_of``), None for
    whatever is the latest now. Raises ``LedgerConflict`` when another row came in between.
    """
    plain = json.loads(json.dumps(body))
    last = ledger.latest(kind, model, subject)
    if last and last.body == plain:
        return last
    read = (last.sequence if last else 0) if after is None else after
    return ledger.append(Record(kind, model, subject, read + 1, plain, at))


def sequence_of(ledger: Ledger, kind: str, model: str, subject: str) -> int:
    """The sequence of a subject's latest row, 0 before the first."""
    row = ledger.latest(kind, model, subject)
    return row.sequence if row else 0


def read_champion(ledger: Ledger, model: str) -> Champion | None:
    """The version that answers by default, or None before the first promotion."""
    row = ledger.latest("promotion", model, "champion")
    return Champion(**row.body) if row else None


def write_champion(
    ledger: Ledger, model: str, champion: Champion, at: datetime, *, after: int | None = None
) -> Record:
    """Record a promotion decided on promotion row ``after``.

    Raises ``LedgerConflict`` when another promoter was first.
    """
    body = asdict(champion)
    return write_once(ledger, "promotion", model, "champion", body, at, after=after)


def read_rollout(ledger: Ledger, model: str, version: str | None = None) -> RolloutState | None:
    """The latest state of a version's rollout, or of the model's latest rollout."""
    row = ledger.latest("rollout", model, version)
    return RolloutState(**row.body) if row else None


def write_rollout(
    ledger: Ledger, model: str, state: RolloutState, at: datetime, *, after: int | None = None
) -> Record:
    """Record a rollout's next state, decided on rollout row ``after`` of its version.

    Raises ``LedgerConflict`` when another was first.
    """
    body = asdict(state)
    return write_once(ledger, "rollout", model, state.version, body, at, after=after)


def read_routing(ledger: Ledger, model: str) -> Routing:
    """The routing that follows from the latest promotion and rollout."""
    return build_routing(model, read_champion(ledger, model), read_rollout(ledger, model))


def has_passed(ledger: Ledger, model: str, digest: str) -> bool:
    """Whether the latest verdict on a model digest lets it serve."""
    row = ledger.latest("verdict", model, digest)
    return bool(row and row.body["outcome"] == "passed")
