"""Who may answer the requests to a model and what they carry, worked out once per routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.answering.inputs import Inputs, Lookups, plan_inputs
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.routing.routes import Route
from mlops_assets.serving.routing.versions import Version

MAX_PLANS = 256
"""Plans kept; one more and all are made anew."""


@dataclass(frozen=True)
class Trial:
    """The version in rollout beside the primary, loaded, and what it gets: requests or copies."""

    version: Version
    target: Target


@dataclass(frozen=True)
class Plan:
    """How requests are answered: read as ``inputs``, by ``version``, or by the one on trial.

    ``arm`` is the place of ``version`` in the routing, None outside of it.
    """

    inputs: Inputs
    version: Version
    arm: Literal["primary", "canary"] | None
    trial: Trial | None = None


@dataclass(frozen=True)
class _Kept:
    route: Route
    version: Version
    keys: frozenset[str]
    optional: frozenset[str]
    plan: Plan


class Plans:
    """The plan for each request; made again when the routing or the online features change."""

    def __init__(self, catalog: Catalog, lookups: Lookups | None) -> None:
        self._catalog = catalog
        self._lookups = lookups
        self._kept: dict[tuple[str, str | None], _Kept] = {}

    def find(self, model: str, name: str | None) -> Plan:
        """The plan by the routing, or for the version called by ``name`` whatever its weight.

        Raises ``RequestError``: 404 for what does not exist, 503 for what is not ready.
        """
        route = self._catalog.route(model)
        version = self._catalog.version(route, name) if name else self._catalog.primary(route)[1]
        keys = self._lookups.inputs(model) if self._lookups else frozenset()
        optional = self._lookups.features(model) if self._lookups else frozenset()
        kept = self._kept.get((model, name))
        if (
            kept is None
            or kept.route is not route
            or kept.version is not version
            or kept.keys != keys
            or kept.optional != optional
        ):
            plan = _plan(route, version, name, keys, optional)
            kept = _Kept(route, version, keys, optional, plan)
            if len(self._kept) >= MAX_PLANS:
                self._kept.clear()
            self._kept[model, name] = kept
        return kept.plan


def _plan(
    route: Route,
    version: Version,
    name: str | None,
    keys: frozenset[str],
    optional: frozenset[str],
) -> Plan:
    signatures = [version.signature]
    if name:
        target = route.target(name)
        inputs = plan_inputs(signatures, keys=keys, optional=optional)
        return Plan(inputs, version, target.arm if target else None)
    target = route.served.canary
    trial = Trial(route.versions[target.digest], target) if target else None
    if trial and (trial.target.weight or trial.target.mirror):
        signatures.append(trial.version.signature)
    inputs = plan_inputs(signatures, keys=keys, optional=optional)
    return Plan(inputs, version, "primary", trial)
