"""Which version may be released, and which step of a rollout is due."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.adapters.journal import read_champion, read_rollout
from mlops_assets.adapters.ports import Clock, Ledger, Record, Registry, TableStore
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.clearance import (
    bound_of,
    find_objection,
    require_clearance,
)
from mlops_assets.components.stages.rollout_evidence import gather_evidence
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.rollout.strategy import decide_next


@dataclass(frozen=True)
class NextStep:
    """A step that is due: for which version, what identifies it, and why."""

    version: str
    key: str
    reason: str


def find_next_step(
    model: ModelDefinition,
    ledger: Ledger,
    telemetry: Telemetry,
    tables: TableStore,
    clock: Clock,
) -> NextStep | str:
    """The step that is due now, or in words why none is. Reads only, and no more than it needs."""
    state = read_rollout(ledger, model.name)
    if state and state.active:
        evidence = gather_evidence(model, state, ledger, telemetry, tables, slices=False)
        decision = decide_next(state, evidence, model.spec.rollout)
        if decision.action == "hold":
            return f"{state.version} stays at {state.weight} %: {decision.reason}"
        return NextStep(
            state.version,
            f"{state.version}/{state.phase}/{state.step}/{decision.action}",
            decision.reason,
        )
    if model.spec.rollout.start == "manual":
        return "rollouts begin by hand (rollout.start is manual)"
    waiting = _waiting_version(model, ledger, clock)
    if waiting is None:
        return "no rollout in progress and no new version"
    objection = find_objection(model, waiting.subject, waiting.body["digest"], ledger)
    if objection:
        return objection
    reason = describe_clearance(model, waiting.subject, ledger, clock)
    return NextStep(waiting.subject, f"{waiting.subject}/begin", f"{waiting.subject} {reason}")


def describe_clearance(model: ModelDefinition, version: str, ledger: Ledger, clock: Clock) -> str:
    """What lets a version out, or why nothing does: one line for wherever it is shown."""
    recorded = ledger.latest("version", model.name, version)
    if recorded is None:
        return "never registered"
    try:
        cleared = require_clearance(model, bound_of(model, recorded.body), ledger, clock)
    except RefusedError as error:
        return f"refused: {error}"
    return cleared.describe()


def require_release(
    model: ModelDefinition, version: str, ledger: Ledger, registry: Registry, clock: Clock
) -> tuple[str, str]:
    """The digest and training date of a version that may get traffic. Raises ``RefusedError``."""
    try:
        known = registry.get(model.name, version)
    except KeyError as error:
        raise RefusedError(f"{model.name} {version}: the registry has no such version") from error
    recorded = ledger.latest("version", model.name, version)
    if recorded is None or recorded.body["digest"] != known.digest:
        raise RefusedError(
            f"{model.name} {version}: the registry's digest is not the recorded one; "
            "it was registered or edited by other hands, train and register it again"
        )
    require_clearance(model, bound_of(model, recorded.body), ledger, clock)
    objection = find_objection(model, version, known.digest, ledger)
    if objection:
        raise RefusedError(f"{model.name}: {objection}")
    return known.digest, str(recorded.body["train_as_of"])


def apply_aliases(
    model: ModelDefinition, state: RolloutState | None, ledger: Ledger, registry: Registry
) -> None:
    """Make the registry's aliases say what the ledger says; applying it twice is harmless."""
    champion = read_champion(ledger, model.name)
    if champion:
        registry.set_alias(model.name, "champion", champion.version)
    challengers = [
        version.version
        for version in registry.versions(model.name)
        if "challenger" in version.aliases
    ]
    if state and not state.active and state.version in challengers:
        registry.set_alias(model.name, "challenger", None)


def _waiting_version(model: ModelDefinition, ledger: Ledger, clock: Clock) -> Record | None:
    """The newest version, if it may be released, is no older than the champion, and was never
    rolled out.
    """
    newest, champion = ledger.latest("version", model.name), read_champion(ledger, model.name)
    if newest is None or read_rollout(ledger, model.name, newest.subject):
        return None
    if champion and newest.body["train_as_of"] < champion.train_as_of:
        return None
    try:
        require_clearance(model, bound_of(model, newest.body), ledger, clock)
    except RefusedError:
        return None
    return newest
