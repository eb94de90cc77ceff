"""One recorded step of a rollout at a time, from a registered version to the champion."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.adapters.journal import (
    ROLLOUT,
    read_champion,
    read_rollout,
    sequence_of,
    write_rollout,
)
from mlops_assets.adapters.ports import Clock, Ledger, Registry, TableStore
from mlops_assets.adapters.serving_ports import Endpoint, Serving, Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.release import apply_aliases, require_release
from mlops_assets.components.stages.rollout_evidence import gather_evidence
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState
from mlops_assets.lifecycle.rollout.strategy import apply_decision, begin_rollout, decide_next


@dataclass(frozen=True)
class RolloutStep:
    """What one materialization of a deployment did, and on what evidence."""

    decision: RolloutDecision
    state: RolloutState
    evidence: RolloutEvidence
    endpoint: Endpoint


def step_rollout(
    model: ModelDefinition,
    version: str,
    ledger: Ledger,
    registry: Registry,
    serving: Serving,
    telemetry: Telemetry,
    tables: TableStore,
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
    evidence = gather_evidence(model, state, ledger, telemetry, tables)
    decision = _decide(model, state, evidence, serving)
    promoted = None
    if decision.action in ("advance", "promote"):
        # More traffic needs the verdict; taking traffic away never does.
        require_release(model, version, ledger, registry, clock)
    if decision.action == "promote":
        promoted = Champion(version, state.digest, state.train_as_of, decision.reason)
    moved = apply_decision(state, decision, clock.now())
    if moved != state:
        write_rollout(ledger, model.name, moved, clock.now(), after=after, promoted=promoted)
    apply_aliases(model, moved, ledger, registry)
    return RolloutStep(decision, moved, evidence, endpoint)


def _begin_once(
    model: ModelDefinition, version: str, ledger: Ledger, registry: Registry, clock: Clock
) -> None:
    """Record the first state of the version's rollout if it has none; verifies the verdict."""
    after = sequence_of(ledger, "rollout", model.name, ROLLOUT)
    if read_rollout(ledger, model.name, version) is not None:
        return
    digest, as_of = require_release(model, version, ledger, registry, clock)
    latest = read_rollout(ledger, model.name)
    if latest and latest.active:
        raise RefusedError(
            f"{model.name}: {latest.version} is being rolled out ({latest.weight} %); "
            f"{version} has to wait until that has ended"
        )
    champion = read_champion(ledger, model.name)
    begun = begin_rollout(version, digest, as_of, champion, clock.now())
    write_rollout(ledger, model.name, begun, clock.now(), after=after)


def _decide(
    model: ModelDefinition, state: RolloutState, evidence: RolloutEvidence, serving: Serving
) -> RolloutDecision:
    """What to do next with the rollout as it stands."""
    policy = model.spec.rollout
    waits = state.phase == "initializing" and not state.paused
    if waits and not serving.wait_until_ready(model.name, state.version, policy.ready_timeout):
        reason = f"the endpoint did not load {state.version} within {policy.ready_timeout:g} s"
        return RolloutDecision("roll_back", 0, reason)
    return decide_next(state, evidence, policy)
