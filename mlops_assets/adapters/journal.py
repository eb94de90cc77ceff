"""What the ledger's rows mean: reading and writing the records decisions rest on, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from mlops_assets.adapters.ports import Ledger, Record
from mlops_assets.lifecycle.clearance import Override
from mlops_assets.lifecycle.rollout.drill import RollbackDrill
from mlops_assets.lifecycle.rollout.intervention import Intervention
from mlops_assets.lifecycle.rollout.state import (
    Champion,
    CutOff,
    RolloutState,
    Routing,
    build_routing,
)

ROLLOUT = "rollout"
"""The one subject of a model's rollout rows."""

NO_MODEL = "platform"
"""Stands for the model in rows about none: an alert of a sensor of the platform, say."""


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
    (written,) = ledger.append(Record(kind, model, subject, read + 1, plain, at))
    return written


def read_latest(ledger: Ledger, kind: str, model: str) -> dict[str, Mapping[str, Any]]:
    """The body of the latest row of each subject of a kind."""
    return {row.subject: row.body for row in ledger.history(kind, model)}


def sequence_of(ledger: Ledger, kind: str, model: str, subject: str) -> int:
    """The sequence of a subject's latest row, 0 before the first."""
    row = ledger.latest(kind, model, subject)
    return row.sequence if row else 0


def read_champion(ledger: Ledger, model: str) -> Champion | None:
    """The version that answers by default, or None before the first promotion."""
    row = ledger.latest("promotion", model, "champion")
    return Champion(**row.body) if row else None


def find_previous_champion(ledger: Ledger, model: str) -> Champion | None:
    """What served before today's champion first did, None when nothing has.

    Going back twice goes further back, never forth again.
    """
    served = [Champion(**row.body) for row in ledger.history("promotion", model, "champion")]
    if not served:
        return None
    earlier = served[: [champion.version for champion in served].index(served[-1].version)]
    return earlier[-1] if earlier else None


def write_champion(
    ledger: Ledger,
    model: str,
    champion: Champion,
    at: datetime,
    *,
    after: int | None = None,
    told: Intervention | None = None,
) -> None:
    """Record a promotion by itself, outside a rollout: going back to an earlier version, say.

    ``after`` is the sequence of the promotion decided on, None for whatever is the latest now.
    ``told`` is written with it, both or neither. The champion there is already adds no row.
    """
    body = asdict(champion)
    last = ledger.latest("promotion", model, "champion")
    rows = _told(model, told, at)
    if last is None or last.body != body:
        read = (last.sequence if last else 0) if after is None else after
        rows = [Record("promotion", model, "champion", read + 1, body, at), *rows]
    ledger.append(*rows)


def read_rollout(ledger: Ledger, model: str, version: str | None = None) -> RolloutState | None:
    """The latest state of a version's rollout, or of the model's latest rollout."""
    if version is None:
        row = ledger.latest("rollout", model)
        return RolloutState(**row.body) if row else None
    states = read_rollout_history(ledger, model, version)
    return states[-1] if states else None


def read_rollout_history(ledger: Ledger, model: str, version: str) -> list[RolloutState]:
    """Every recorded state of a version's rollout, oldest first."""
    rows = ledger.history("rollout", model, ROLLOUT)
    return [RolloutState(**row.body) for row in rows if row.body["version"] == version]


def write_rollout(
    ledger: Ledger,
    model: str,
    state: RolloutState,
    at: datetime,
    *,
    after: int | None = None,
    promoted: Champion | None = None,
    told: Intervention | None = None,
) -> None:
    """Record a rollout's next state, and what goes with it, all or nothing: the promotion it ends
    with, or what a person did.

    A model's rollouts share one sequence, so that two cannot begin at once. ``after`` is the
    sequence of the rollout row decided on (``sequence_of``), None for whatever is the latest now.
    Writing the latest state again does nothing. Raises ``LedgerConflict`` when another was first.
    """
    body = json.loads(json.dumps(asdict(state)))
    last = ledger.latest("rollout", model, ROLLOUT)
    if last and last.body == body:
        return
    read = (last.sequence if last else 0) if after is None else after
    rows = [Record("rollout", model, ROLLOUT, read + 1, body, at)]
    if promoted:
        sequence = sequence_of(ledger, "promotion", model, "champion") + 1
        rows.append(Record("promotion", model, "champion", sequence, asdict(promoted), at))
    ledger.append(*rows, *_told(model, told, at))


def read_intervention(ledger: Ledger, model: str, request: str) -> Intervention | None:
    """What came of a launch before, None for one that has changed nothing yet."""
    row = ledger.latest("intervention", model, request)
    return Intervention(**row.body) if row else None


def read_interventions(ledger: Ledger, model: str) -> list[tuple[datetime, Intervention]]:
    """What people did to a model's rollouts, oldest first."""
    rows = ledger.history("intervention", model)
    return [(row.at, Intervention(**row.body)) for row in rows]


def _told(model: str, told: Intervention | None, at: datetime) -> list[Record]:
    """The row of an intervention: the first of its request, so that it is done once."""
    return [Record("intervention", model, told.request, 1, asdict(told), at)] if told else []


def read_routing(ledger: Ledger, model: str) -> Routing:
    """The routing that follows from the latest promotion, rollout and cut-off."""
    rollout = read_rollout(ledger, model)
    cut_off = rollout is not None and read_cut_off(ledger, model, rollout.digest) is not None
    return build_routing(model, read_champion(ledger, model), rollout, cut_off=cut_off)


def write_cut_off(ledger: Ledger, model: str, cut_off: CutOff, at: datetime) -> Record:
    """Record that the endpoint stopped asking a version; saying it again does nothing."""
    return write_once(ledger, "cut_off", model, cut_off.digest, asdict(cut_off), at)


def read_cut_off(ledger: Ledger, model: str, digest: str) -> CutOff | None:
    """Why the endpoint stopped asking the version with this digest, None if it did not."""
    row = ledger.latest("cut_off", model, digest)
    return CutOff(**row.body) if row else None


def write_drill(
    ledger: Ledger, model: str, current: str, previous: str, drill: RollbackDrill, at: datetime
) -> None:
    """Record that going back from one version to another was tried; each drill is a row."""
    body = {"current": current, "previous": previous, **asdict(drill)}
    sequence = sequence_of(ledger, "drill", model, "rollback") + 1
    ledger.append(Record("drill", model, "rollback", sequence, body, at))


def read_drills(ledger: Ledger, model: str) -> list[tuple[datetime, str, str, RollbackDrill]]:
    """Every drill, oldest first: when, from which version, to which, and what it measured."""
    measured = [field.name for field in fields(RollbackDrill)]
    return [
        (
            row.at,
            row.body["current"],
            row.body["previous"],
            RollbackDrill(**{name: row.body[name] for name in measured}),
        )
        for row in ledger.history("drill", model, "rollback")
    ]


def read_override(ledger: Ledger, model: str, digest: str) -> Override | None:
    """The latest override of a verdict on a model digest, whether or not it still holds."""
    row = ledger.latest("override", model, digest)
    return Override(**row.body) if row else None


def find_live_override(ledger: Ledger, model: str, digest: str) -> Override | None:
    """The override of the latest verdict on a model digest; one of an earlier verdict is void, and
    a verdict that passed needs none. It may have expired: whoever releases asks for more."""
    row = ledger.latest("verdict", model, digest)
    override = read_override(ledger, model, digest)
    if row is None or override is None or row.body["outcome"] == "passed":
        return None
    return override if override.verdict == row.sequence else None


def may_serve(ledger: Ledger, model: str, digest: str) -> bool:
    """Whether the latest verdict on a model digest passed, or was overridden by a person.

    Releasing asks for more (``lifecycle.clearance``). This is the last look before a server loads
    files: an override that has expired takes no traffic away from a version that was released.
    """
    row = ledger.latest("verdict", model, digest)
    passed = row is not None and row.body["outcome"] == "passed"
    return passed or find_live_override(ledger, model, digest) is not None
