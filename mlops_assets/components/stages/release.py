"""From a registered version to the endpoint, one recorded step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.adapters.journal import (
    read_champion,
    read_rollout,
    write_champion,
    write_rollout,
)
from mlops_assets.adapters.ports import Clock, Endpoint, Ledger, Registry, Serving, Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training import require_verdict
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.analysis import Window
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState
from mlops_assets.lifecycle.rollout.strategy import (
    RolloutDecision,
    apply_decision,
    begin_rollout,
    decide_next,
)


@dataclass(frozen=True)
class RolloutStep:
    """What one materialization of a deployment did."""

    decision: RolloutDecision
    state: RolloutState
    endpoint: Endpoint


@dataclass(frozen=True)
class NextStep:
    """A step that is due: for which version, what identifies it, and why."""

    version: str
    key: str
    reason: str


def step_rollout(
    model: ModelDefinition,
    version: str,
    ledger: Ledger,
    registry: Registry,
    serving: Serving,
    telemetry: Telemetry,
    clock: Clock,
) -> RolloutStep:
    """Take the version's rollout one decision further.

    Applying a step twice is harmless: each state is a ledger row that only one writer can add,
    and what follows from it (aliases, routing) is applied again on every call.
    """
    state = _current_or_new(model, version, ledger, registry, clock)
    endpoint = serving.ensure_running()
    if state.phase == "initializing":
        decision = _decide_initial(model, state, serving)
    else:
        decision = decide_next(state, _window(model, state, telemetry), model.spec.rollout)
    moved = apply_decision(state, decision, clock.now())
    if decision.action == "promote":
        # The promotion is written first: killed in between, the next call finds the champion
        # in place and completes the rollout, never the other way round.
        champion = Champion(version, state.digest, state.train_as_of, decision.reason)
        write_champion(ledger, model.name, champion, clock.now())
    write_rollout(ledger, model.name, moved, clock.now())
    _apply_aliases(model, moved, ledger, registry)
    return RolloutStep(decision, moved, endpoint)


def find_next_step(model: ModelDefinition, ledger: Ledger, telemetry: Telemetry) -> NextStep | str:
    """The step that is due now, or in words why none is. Reads only."""
    state = read_rollout(ledger, model.name)
    if state and state.active:
        decision = decide_next(state, _window(model, state, telemetry), model.spec.rollout)
        if decision.action == "hold":
            return f"{state.version} stays at {state.weight} %: {decision.reason}"
        return NextStep(
            state.version,
            f"{state.version}/{state.phase}/{state.step}/{decision.action}",
            decision.reason,
        )
    if model.spec.rollout.start == "manual":
        return "rollouts begin by hand (rollout.start is manual)"
    waiting = _waiting_version(model, ledger)
    if waiting is None:
        return "no rollout in progress and no new version"
    return NextStep(waiting, f"{waiting}/begin", f"{waiting} passed its gates")


def rollout_history(ledger: Ledger, model: str, version: str) -> list[RolloutState]:
    """Every recorded state of a version's rollout, oldest first."""
    return [RolloutState(**row.body) for row in ledger.history("rollout", model, version)]


def _current_or_new(
    model: ModelDefinition, version: str, ledger: Ledger, registry: Registry, clock: Clock
) -> RolloutState:
    """The version's rollout, begun first if it has none. Verifies the verdict itself."""
    known = registry.get(model.name, version)
    recorded = ledger.latest("version", model.name, version)
    if recorded is None or recorded.body["digest"] != known.digest:
        raise RefusedError(
            f"{model.name} {version}: the registry's digest is not the recorded one; "
            "it was registered or edited by other hands, train and register it again"
        )
    state = read_rollout(ledger, model.name, version)
    if state and not state.active:
        return state
    require_verdict(model, known.digest, ledger)
    if state:
        return state
    latest = read_rollout(ledger, model.name)
    if latest and latest.active:
        raise RefusedError(
            f"{model.name}: {latest.version} is being rolled out ({latest.weight} %); "
            f"{version} has to wait until that has ended"
        )
    begun = begin_rollout(
        version,
        known.digest,
        recorded.body["train_as_of"],
        read_champion(ledger, model.name),
        clock.now(),
    )
    write_rollout(ledger, model.name, begun, clock.now())
    return begun


def _decide_initial(
    model: ModelDefinition, state: RolloutState, serving: Serving
) -> RolloutDecision:
    """Begin once the endpoint has loaded the version; give up when it cannot."""
    timeout = model.spec.rollout.ready_timeout
    if serving.wait_until_ready(model.name, state.version, timeout):
        return decide_next(state, None, model.spec.rollout)
    reason = f"the endpoint did not load {state.version} within {timeout:g} s"
    return RolloutDecision("roll_back", 0, reason)


def _window(model: ModelDefinition, state: RolloutState, telemetry: Telemetry) -> Window | None:
    if state.phase != "progressing" or state.baseline is None:
        return None
    since = datetime.fromisoformat(state.since)
    return telemetry.window(model.name, since, state.version, state.baseline)


def _waiting_version(model: ModelDefinition, ledger: Ledger) -> str | None:
    """The newest version, if it has passed its gates and was never rolled out."""
    newest = ledger.latest("version", model.name)
    if newest is None or ledger.latest("rollout", model.name, newest.subject):
        return None
    try:
        require_verdict(model, newest.body["digest"], ledger)
    except RefusedError:
        return None
    return newest.subject


def _apply_aliases(
    model: ModelDefinition, state: RolloutState, ledger: Ledger, registry: Registry
) -> None:
    """Make the registry's aliases say what the ledger says."""
    champion = read_champion(ledger, model.name)
    if champion:
        registry.set_alias(model.name, "champion", champion.version)
    challengers = [
        version.version
        for version in registry.versions(model.name)
        if "challenger" in version.aliases
    ]
    if not state.active and state.version in challengers:
        registry.set_alias(model.name, "challenger", None)
