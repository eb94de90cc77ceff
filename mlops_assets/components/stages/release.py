"""From a registered version to the endpoint, one recorded step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.adapters.journal import (
    read_champion,
    read_rollout,
    sequence_of,
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
    and what follows from it (aliases, routing) is applied again on every call. Raises
    ``LedgerConflict`` when somebody else moved the rollout since it was read here.
    """
    promotion = sequence_of(ledger, "promotion", model.name, "champion")
    _begin_once(model, version, ledger, registry, clock)
    row = ledger.latest("rollout", model.name, version)
    assert row is not None
    state = RolloutState(**row.body)
    endpoint = serving.ensure_running()
    decision = _decide(model, state, ledger, serving, telemetry)
    if decision.action in ("advance", "promote"):
        # More traffic needs the verdict; taking traffic away never does.
        require_verdict(model, state.digest, ledger)
    moved = apply_decision(state, decision, clock.now())
    champion = read_champion(ledger, model.name)
    if decision.action == "promote" and not _serves(champion, state):
        # The promotion is written first: killed in between, the next call finds the champion
        # in place and completes the rollout, never the other way round.
        promoted = Champion(version, state.digest, state.train_as_of, decision.reason)
        write_champion(ledger, model.name, promoted, clock.now(), after=promotion)
    write_rollout(ledger, model.name, moved, clock.now(), after=row.sequence)
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


def _begin_once(
    model: ModelDefinition, version: str, ledger: Ledger, registry: Registry, clock: Clock
) -> None:
    """Record the first state of the version's rollout if it has none; verifies the verdict."""
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
    if read_rollout(ledger, model.name, version) is not None:
        return
    require_verdict(model, known.digest, ledger)
    latest = read_rollout(ledger, model.name)
    if latest and latest.active:
        raise RefusedError(
            f"{model.name}: {latest.version} is being rolled out ({latest.weight} %); "
            f"{version} has to wait until that has ended"
        )
    champion = read_champion(ledger, model.name)
    as_of = recorded.body["train_as_of"]
    begun = begin_rollout(version, known.digest, as_of, champion, clock.now())
    write_rollout(ledger, model.name, begun, clock.now(), after=0)


def _decide(
    model: ModelDefinition,
    state: RolloutState,
    ledger: Ledger,
    serving: Serving,
    telemetry: Telemetry,
) -> RolloutDecision:
    """What to do next with the rollout as it stands."""
    policy = model.spec.rollout
    if state.active and _serves(read_champion(ledger, model.name), state):
        return RolloutDecision("promote", 100, "its promotion is recorded already")
    if state.phase != "initializing":
        return decide_next(state, _window(model, state, telemetry), policy)
    if serving.wait_until_ready(model.name, state.version, policy.ready_timeout):
        return decide_next(state, None, policy)
    reason = f"the endpoint did not load {state.version} within {policy.ready_timeout:g} s"
    return RolloutDecision("roll_back", 0, reason)


def _serves(champion: Champion | None, state: RolloutState) -> bool:
    return champion is not None and champion.digest == state.digest


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
