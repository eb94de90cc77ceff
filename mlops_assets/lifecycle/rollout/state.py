"""The state of a rollout, the champion, and the routing that follows from both.

A rollout's states are rows of the ledger; nothing here is kept anywhere else, so a step that is
applied twice, or is killed half-way, leaves the old state or the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["initializing", "progressing", "succeeded", "failed"]
ACTIVE: tuple[Phase, ...] = ("initializing", "progressing")


@dataclass(frozen=True)
class Champion:
    """The version that answers by default: like ``v3``; ``digest`` names its files."""

    version: str
    digest: str
    train_as_of: str
    reason: str = ""


@dataclass(frozen=True)
class RolloutState:
    """Where a version's rollout stands.

    ``step`` counts the strategy's steps from 0; ``weight`` is the share of requests in percent
    that the version answers; ``since`` (ISO 8601, UTC) is when this step began, so that an
    analysis never pools over steps; ``baseline`` is the champion it is compared with. ``mirror``
    is the share of requests in percent that are copied to it, whose answers nobody gets.
    ``paused``: a person holds it where it is; it can still be rolled back.
    """

    version: str
    digest: str
    train_as_of: str
    phase: Phase
    step: int
    weight: int
    since: str
    reason: str
    baseline: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    mirror: int = 0
    paused: bool = False

    @property
    def active(self) -> bool:
        return self.phase in ACTIVE


@dataclass(frozen=True)
class CutOff:
    """That an endpoint stopped asking a version by itself, or was told to.

    ``by`` is ``endpoint``, or who told it; ``reason`` says in words what the version did.
    """

    version: str
    digest: str
    reason: str
    by: str = "endpoint"


@dataclass(frozen=True)
class Target:
    """One version in the routing. ``weight`` in percent; 0 keeps it loaded and idle.

    ``mirror``: percent of the requests that are copied to it; its answers are logged only.
    """

    version: str
    digest: str
    weight: int
    arm: Literal["primary", "canary"]
    mirror: int = 0


@dataclass(frozen=True)
class Routing:
    """Which versions an endpoint serves. Weights add up to 100 once there is a primary."""

    model: str
    targets: tuple[Target, ...]

    @property
    def primary(self) -> Target | None:
        return next((t for t in self.targets if t.arm == "primary"), None)

    @property
    def canary(self) -> Target | None:
        return next((t for t in self.targets if t.arm == "canary"), None)


def build_routing(
    model: str,
    champion: Champion | None,
    rollout: RolloutState | None,
    *,
    cut_off: bool = False,
) -> Routing:
    """The routing that follows from the champion and the model's latest rollout.

    Before there is a champion the version that is initializing is loaded but answers nothing;
    nor does one that the endpoint has cut off, until its rollout has ended.
    """
    canary = rollout if rollout and rollout.active else None
    if canary and champion and canary.digest == champion.digest:
        canary = None
    targets: list[Target] = []
    silent = champion is None or cut_off
    weight = 0 if canary is None or silent else canary.weight
    if champion:
        targets.append(Target(champion.version, champion.digest, 100 - weight, "primary"))
    if canary:
        mirror = 0 if silent else canary.mirror
        targets.append(Target(canary.version, canary.digest, weight, "canary", mirror))
    return Routing(model, tuple(targets))
