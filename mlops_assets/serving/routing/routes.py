"""Which loaded versions answer for a model: pure values, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_assets.lifecycle.rollout.state import Routing, Target
from mlops_assets.serving.routing.versions import Version


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

    def without(self, cut_off: frozenset[str]) -> Route:
        """The same, but digests that are cut off get neither requests nor copies."""
        return replace(self, served=silence(self.served, cut_off))


def describe_routing(routing: Routing) -> dict[str, Any]:
    """A routing as plain values, as it is kept on disk."""
    return {
        "model": routing.model,
        "targets": [
            {
                "version": t.version,
                "digest": t.digest,
                "weight": t.weight,
                "arm": t.arm,
                "mirror": t.mirror,
            }
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
    if canary and primary and canary.digest == primary.digest:
        canary = None  # it answers already, in place of the wanted one
    weight, mirror = (canary.weight, canary.mirror) if canary and primary else (0, 0)
    targets: list[Target] = []
    if primary:
        targets.append(Target(primary.version, primary.digest, 100 - weight, "primary"))
    if canary:
        targets.append(Target(canary.version, canary.digest, weight, "canary", mirror))
    return Routing(wanted.model, tuple(targets))


def silence(routing: Routing, cut_off: frozenset[str]) -> Routing:
    """The routing with neither requests nor copies for a canary that is cut off.

    A primary goes on answering: there is nobody to answer in its place.
    """
    canary = routing.canary
    if canary is None or canary.digest not in cut_off:
        return routing
    idle = replace(canary, weight=0, mirror=0)
    others = (t if t.arm != "primary" else replace(t, weight=100) for t in routing.targets)
    return replace(routing, targets=tuple(idle if t is canary else t for t in others))
