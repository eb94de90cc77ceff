"""Which loaded versions answer for a model: pure values, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.lifecycle.rollout.state import Routing, Target
from mlops_assets.serving.versions import Version


@dataclass(frozen=True)
class Route:
    """What is wanted for one model and what answers.

    ``wanted`` follows from the ledger; ``served`` holds the targets that are loaded and let pass,
    and so may keep the previous primary when the wanted one cannot answer. ``versions`` are all
    loaded versions by digest, warm ones included.
    """

    wanted: Routing
    served: Routing
    versions: Mapping[str, Version] = field(default_factory=dict)

    def target(self, version: str) -> Target | None:
        """The target of that version, served or wanted."""
        targets = (*self.served.targets, *self.wanted.targets)
        return next((target for target in targets if target.version == version), None)

    def loaded(self, version: str) -> Version | None:
        """The loaded version of that name, routed or warm."""
        return next((v for v in self.versions.values() if v.name == version), None)


def describe_routing(routing: Routing) -> dict[str, Any]:
    """A routing as plain values, as it is kept on disk."""
    return {
        "model": routing.model,
        "targets": [
            {"version": t.version, "digest": t.digest, "weight": t.weight, "arm": t.arm}
            for t in routing.targets
        ],
    }


def restore_routing(plain: Mapping[str, Any]) -> Routing:
    """The routing that ``describe_routing`` described."""
    return Routing(plain["model"], tuple(Target(**target) for target in plain["targets"]))


def merge_served(wanted: Routing, previous: Routing, able: frozenset[str]) -> Routing:
    """The targets that answer, given the digests that are able to.

    A wanted primary that is not able leaves the previous one in its place while that is able.
    Without a primary nothing is routed, and a canary stays loaded and idle.
    """
    candidates = (wanted.primary, previous.primary)
    primary = next((t for t in candidates if t and t.digest in able), None)
    canary = wanted.canary if wanted.canary and wanted.canary.digest in able else None
    weight = canary.weight if canary and primary else 0
    targets: list[Target] = []
    if primary:
        targets.append(Target(primary.version, primary.digest, 100 - weight, "primary"))
    if canary and canary.digest != (primary.digest if primary else None):
        targets.append(Target(canary.version, canary.digest, weight, "canary"))
    return Routing(wanted.model, tuple(targets))
