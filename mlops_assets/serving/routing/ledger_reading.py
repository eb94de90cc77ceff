"""Reading what there is to serve from the ledger, for all models at once."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_assets.adapters.journal import (
    NO_MODEL,
    find_live_override,
    may_serve,
    read_cut_off,
    read_routing,
)
from mlops_assets.adapters.ports import Ledger
from mlops_assets.lifecycle.rollout.state import CutOff, Routing, Target
from mlops_assets.serving.routing.last_good import LedgerReading


def read_ledger(ledger: Ledger, position: int, previous: Mapping[str, Routing]) -> LedgerReading:
    """The routing of every model, and which digests, of these and ``previous``, may serve."""
    models = [model for model in ledger.models() if model != NO_MODEL]
    routings = {model: read_routing(ledger, model) for model in models}
    standby = {
        model: target
        for model, routing in routings.items()
        if (target := read_previous_champion(ledger, model, routing))
    }
    passed = {
        target.digest
        for model, routing in routings.items()
        for target in (
            *routing.targets,
            *previous.get(model, routing).targets,
            *([standby[model]] if model in standby else []),
        )
        if may_serve(ledger, model, target.digest)
    }
    return LedgerReading(
        position,
        routings,
        frozenset(passed),
        standby,
        read_overrides(ledger, routings),
        read_cut_offs(ledger, routings),
    )


def read_previous_champion(ledger: Ledger, model: str, routing: Routing) -> Target | None:
    """The champion before the present one, as a target that answers nothing; None without one."""
    if routing.primary is None:
        return None
    for row in reversed(ledger.history("promotion", model, "champion")):
        if row.body["digest"] != routing.primary.digest:
            return Target(row.body["version"], row.body["digest"], 0, "primary")
    return None


def read_overrides(ledger: Ledger, routings: Mapping[str, Routing]) -> dict[str, str]:
    """One line for each routed digest that a person let out although its verdict did not pass."""
    return {
        target.digest: override.describe()
        for model, routing in routings.items()
        for target in routing.targets
        if (override := find_live_override(ledger, model, target.digest))
    }


def read_cut_offs(ledger: Ledger, routings: Mapping[str, Routing]) -> dict[str, CutOff]:
    """The canaries that some endpoint stopped asking, by model."""
    return {
        model: cut_off
        for model, routing in routings.items()
        if routing.canary and (cut_off := read_cut_off(ledger, model, routing.canary.digest))
    }
