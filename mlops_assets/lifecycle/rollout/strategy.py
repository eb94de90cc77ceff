"""The one question all strategies answer: what next. Beginning, moving on, pausing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.ab_test import decide_ab_test
from mlops_assets.lifecycle.rollout.blue_green import decide_blue_green
from mlops_assets.lifecycle.rollout.canary import decide_canary
from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.moves import hold, promote, roll_back
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy, Strategy
from mlops_assets.lifecycle.rollout.recreate import decide_recreate
from mlops_assets.lifecycle.rollout.shadow import decide_shadow
from mlops_assets.lifecycle.rollout.state import Champion, Phase, RolloutState
from mlops_assets.lifecycle.verdicts import Verdict

Decide = Callable[[RolloutState, RolloutEvidence, RolloutPolicy], RolloutDecision]

STRATEGIES: dict[Strategy, Decide] = {
    "shadow": decide_shadow,
    "canary": decide_canary,
    "blue_green": decide_blue_green,
    "ab_test": decide_ab_test,
    "recreate": decide_recreate,
}
"""How each strategy decides. A version that has no traffic yet is ready for its first step."""


def begin_rollout(
    version: str, digest: str, train_as_of: str, champion: Champion | None, at: datetime
) -> RolloutState:
    """The first state: loaded beside the champion, answering nothing yet."""
    against = champion.version if champion else None
    return RolloutState(
        version=version,
        digest=digest,
        train_as_of=train_as_of,
        phase="initializing",
        step=-1,
        weight=0,
        since=at.isoformat(),
        reason=f"loading beside {against}" if against else "loading, there is no champion yet",
        baseline=against,
    )


def decide_next(
    state: RolloutState, evidence: RolloutEvidence, policy: RolloutPolicy
) -> RolloutDecision:
    """What follows from everything that is known about the rollout.

    While the version is initializing the evidence is empty: it is then ready and has passed its
    gates, so it takes its first step. Without a baseline there is nothing to compare with, and
    the version is promoted at once. A version that its endpoint has cut off is rolled back, and
    so is a paused one that does harm; else a paused one stays where it is.
    """
    if not state.active:
        return hold(state, f"the rollout has {state.phase}")
    if evidence.cut_off is not None:
        return _after_cut_off(state, evidence.cut_off)
    if state.baseline is None:
        decision = promote("the first version: nothing to compare with")
    else:
        decision = STRATEGIES[policy.strategy](state, evidence, policy)
    return _while_paused(state, decision) if state.paused else decision


def apply_decision(state: RolloutState, decision: RolloutDecision, at: datetime) -> RolloutState:
    """The state after a decision; a hold leaves it as it is.

    Its evidence is, by the name of the verdict, what each guardrail rested on.
    """
    phase: Phase
    match decision.action:
        case "hold":
            return state
        case "advance":
            step, phase = state.step + 1, "progressing"
        case "promote":
            step, phase = state.step + 1, "succeeded"
        case "roll_back":
            step, phase = state.step, "failed"
    return replace(
        state,
        phase=phase,
        step=step,
        weight=decision.weight,
        mirror=decision.mirror,
        paused=False,
        since=at.isoformat(),
        reason=decision.reason,
        evidence=describe_verdicts(decision),
    )


def describe_verdicts(decision: RolloutDecision) -> dict[str, Any]:
    """Plain values, by the name of each verdict: its outcome, its reason and its evidence."""
    judged = decision.verdicts or ([decision.verdict] if decision.verdict else [])
    return {
        verdict.name: {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            **verdict.evidence,
        }
        for verdict in judged
    }


def pause(state: RolloutState, by: str, reason: str, at: datetime) -> RolloutState:
    """Hold the rollout where it is until somebody resumes it; harm still rolls it back.

    Raises ``RefusedError`` for a rollout that has ended or is paused already.
    """
    _require_active(state, "pause")
    if state.paused:
        raise RefusedError(f"{state.version} is paused already ({state.reason}); resume it first")
    return replace(state, paused=True, reason=_said("paused", by, reason, at))


def resume(state: RolloutState, by: str, reason: str, at: datetime) -> RolloutState:
    """Let a paused rollout go on. Raises ``RefusedError`` for one that is not paused."""
    _require_active(state, "resume")
    if not state.paused:
        raise RefusedError(f"{state.version} is not paused, there is nothing to resume")
    return replace(state, paused=False, reason=_said("resumed", by, reason, at))


def _said(done: str, by: str, reason: str, at: datetime) -> str:
    whom = f" by {by}" if by else ""
    return f"{done}{whom} at {at.isoformat(timespec='seconds')}: {reason}"


def _require_active(state: RolloutState, wanted: str) -> None:
    if not state.active:
        raise RefusedError(
            f"the rollout of {state.version} has {state.phase}; only one in progress can {wanted}"
        )


def _after_cut_off(state: RolloutState, cut_off: str) -> RolloutDecision:
    reason = f"the endpoint stopped asking {state.version}: {cut_off}"
    verdict = Verdict("the_endpoint_asks_the_version", "failed", reason)
    return roll_back(reason, verdict, (verdict,))


def _while_paused(state: RolloutState, decision: RolloutDecision) -> RolloutDecision:
    harmed = decision.verdict is not None and decision.verdict.outcome == "failed"
    if decision.action == "roll_back" and harmed:
        return decision
    return hold(state, state.reason, decision.verdict, decision.verdicts)
