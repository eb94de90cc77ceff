"""Whether a model may be registered and released: its verdict says so, or a person answers for it.

A verdict binds what was judged: the digests of the model's files, its training set, the code of
its features and the gates. Where one of them is another now, the verdict is about something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops_assets.lifecycle.errors import RefusedError

SHORTEST_REASON = 10
"""Characters: shorter than this explains nothing to whoever reads it later."""


@dataclass(frozen=True)
class Bound:
    """What a verdict has to be about: digests of the model, its training set, the science that
    made it and the gates it has to pass today."""

    model: str
    training_set: str
    code: str
    policy: str


@dataclass(frozen=True)
class Override:
    """A person lets out a model whose verdict did not pass, until a moment (ISO 8601, UTC).

    ``verdict`` is the sequence of the verdict that the person has seen: a later one voids it.
    """

    by: str
    reason: str
    expires: str
    policy: str
    verdict: int

    def describe(self) -> str:
        """One line, shown wherever the version is shown."""
        return f"overridden by {self.by} until {self.expires[:16]}: {self.reason}"


@dataclass(frozen=True)
class Clearance:
    """That a model may go on; ``override`` is None when its verdict passed."""

    bound: Bound
    override: Override | None = None

    def describe(self) -> str:
        """One line, shown wherever the version is shown."""
        return f"was {self.override.describe()}" if self.override else "passed its gates"


def decide_clearance(
    name: str,
    bound: Bound,
    verdict: Mapping[str, Any] | None,
    sequence: int,
    override: Override | None,
    now: datetime,
) -> Clearance:
    """Whether ``verdict``, the latest on a model (its ``sequence``), or an override lets it pass.

    Raises ``RefusedError`` saying what is missing and what to do.
    """
    said = f"{name}: model {bound.model[:12]}"
    if verdict is None:
        raise RefusedError(f"{said} has no verdict; materialize its evaluation first")
    for key, what, then in (
        ("model", "on another model", "materialize its evaluation again"),
        ("training_set", "on another training set", "materialize its evaluation again"),
        ("code", "with another model.py than it was trained with", "train and evaluate it again"),
        (
            "policy",
            "by other gates than defs.yaml states now",
            "materialize its evaluation again",
        ),
    ):
        if verdict.get(key) != getattr(bound, key):
            raise RefusedError(f"{said} was judged {what}; {then}")
    if verdict["outcome"] == "passed":
        return Clearance(bound)
    if override is None or override.verdict != sequence or override.policy != bound.policy:
        raise RefusedError(f"{said} was judged {verdict['outcome']}: {verdict['reason']}")
    if datetime.fromisoformat(override.expires) <= now:
        raise RefusedError(
            f"{said} was judged {verdict['outcome']} and its override by {override.by} expired "
            f"{override.expires[:16]}: {verdict['reason']}"
        )
    return Clearance(bound, override)


def build_override(
    by: str, reason: str, expires: str, *, policy: str, verdict: int, now: datetime
) -> Override:
    """An override of the verdict with the given sequence. ``expires`` is ISO 8601, UTC when it
    names no offset.

    Raises ``RefusedError`` unless somebody answers for it, says why, and it ends.
    """
    person = require_person("override", by, reason)
    try:
        named = datetime.fromisoformat(expires)
        until = (named if named.tzinfo else named.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: in UTC it is beyond the last year
        raise RefusedError(
            f"override: expires '{expires}' is no ISO 8601 moment, such as 2026-01-31T12:00"
        ) from None
    if until <= now:
        raise RefusedError(f"override: expires {until:%Y-%m-%d %H:%M} has passed; name a later one")
    return Override(person, reason.strip(), until.isoformat(), policy, verdict)


def require_person(what: str, by: str, reason: str) -> str:
    """The name of whoever answers for it. Raises ``RefusedError`` without one, or a reason."""
    if not by.strip():
        raise RefusedError(f"{what}: 'by' is empty; name the person who answers for it")
    if len(reason.strip()) < SHORTEST_REASON:
        raise RefusedError(
            f"{what}: reason '{reason.strip()}' is shorter than {SHORTEST_REASON} characters; say "
            "why, for whoever reads it later"
        )
    return by.strip()
