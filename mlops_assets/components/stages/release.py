"""From a registered version to the endpoint, one recorded step at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from mlops_assets.adapters.journal import (
    ROLLOUT,
    read_champion,
    read_rollout,
    sequence_of,
    write_champion,
    write_rollout,
)
from mlops_assets.adapters.ports import (
    Clock,
    Endpoint,
    Ledger,
    Record,
    Registry,
    Serving,
    Telemetry,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.clearance import (
    bound_of,
    find_objection,
    require_clearance,
)
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
    the promotion is written with the last of them, and what follows (aliases, routing) is applied
    again on every call. Raises
    ``LedgerConflict`` when somebody else moved the rollout since it was read here.
    """
    _begin_once(model, version, ledger, registry, clock)
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    state = read_rollout(ledger, model.name, version)
    assert state is not None
    endpoint = serving.ensure_running()
    decision = _decide(model, state, serving, telemetry)
    promoted = None
    if decision.action in ("advance", "promote"):
        # More traffic needs the verdict; taking traffic away never does.
        _require_release(model, version, ledger, registry, clock)
    if decision.action == "promote":
        promoted = Champion(version, state.digest, state.train_as_of, decision.reason)
    moved = apply_decision(state, decision, clock.now())
    if moved != state:
        write_rollout(ledger, model.name, moved, clock.now(), after=after, promoted=promoted)
    _apply_aliases(model, moved, ledger, registry)
    return RolloutStep(decision, moved, endpoint)


def roll_back(
    model: ModelDefinition, reason: str, ledger: Ledger, registry: Registry, clock: Clock
) -> str:
    """End the rollout in progress, or go back to the champion before; says which was done.

    Raises ``RefusedError`` when there is nothing to go back to.
    """
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    state = read_rollout(ledger, model.name)
    if state and state.active:
        ended = apply_decision(state, RolloutDecision("roll_back", 0, reason), clock.now())
        write_rollout(ledger, model.name, ended, clock.now(), after=after)
        _apply_aliases(model, ended, ledger, registry)
        return f"the rollout of {state.version} was ended at {state.weight} %"
    promotions = ledger.history("promotion", model.name, "champion")
    if not promotions:
        raise RefusedError(f"{model.name}: nothing was released yet")
    served = [Champion(**row.body) for row in promotions]
    # What served before this version first did: going back twice goes further back, never forth.
    earlier = served[: [champion.version for champion in served].index(served[-1].version)]
    if not earlier:
        raise RefusedError(f"{model.name}: no rollout in progress and no champion before this one")
    back = replace(earlier[-1], reason=reason)
    write_champion(ledger, model.name, back, clock.now(), after=promotions[-1].sequence)
    registry.set_alias(model.name, "champion", back.version)
    return f"champion is {back.version} again, instead of {served[-1].version}"


def find_next_step(
    model: ModelDefinition, ledger: Ledger, telemetry: Telemetry, clock: Clock
) -> NextStep | str:
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
    waiting = _waiting_version(model, ledger, clock)
    if waiting is None:
        return "no rollout in progress and no new version"
    objection = find_objection(model, waiting.subject, waiting.body["digest"], ledger)
    if objection:
        return objection
    reason = describe_clearance(model, waiting.subject, ledger, clock)
    return NextStep(waiting.subject, f"{waiting.subject}/begin", f"{waiting.subject} {reason}")


def _begin_once(
    model: ModelDefinition, version: str, ledger: Ledger, registry: Registry, clock: Clock
) -> None:
    """Record the first state of the version's rollout if it has none; verifies the verdict."""
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    if read_rollout(ledger, model.name, version) is not None:
        return
    digest, as_of = _require_release(model, version, ledger, registry, clock)
    latest = read_rollout(ledger, model.name)
    if latest and latest.active:
        raise RefusedError(
            f"{model.name}: {latest.version} is being rolled out ({latest.weight} %); "
            f"{version} has to wait until that has ended"
        )
    champion = read_champion(ledger, model.name)
    begun = begin_rollout(version, digest, as_of, champion, clock.now())
    write_rollout(ledger, model.name, begun, clock.now(), after=after)


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


def _require_release(
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


def _decide(
    model: ModelDefinition, state: RolloutState, serving: Serving, telemetry: Telemetry
) -> RolloutDecision:
    """What to do next with the rollout as it stands."""
    policy = model.spec.rollout
    if state.phase != "initializing":
        return decide_next(state, _window(model, state, telemetry), policy)
    if serving.wait_until_ready(model.name, state.version, policy.ready_timeout):
        return decide_next(state, None, policy)
    reason = f"the endpoint did not load {state.version} within {policy.ready_timeout:g} s"
    return RolloutDecision("roll_back", 0, reason)


def _window(model: ModelDefinition, state: RolloutState, telemetry: Telemetry) -> Window | None:
    if state.phase != "progressing" or state.baseline is None:
        return None
    since = datetime.fromisoformat(state.since)
    return telemetry.window(model.name, since, state.version, state.baseline)


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
