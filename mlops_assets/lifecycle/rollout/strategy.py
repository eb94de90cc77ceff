"""Which strategy a model's rollouts follow, and the one question all of them answer: what next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from mlops_assets.lifecycle.rollout.analysis import AnalysisPolicy, Window, judge_window
from mlops_assets.lifecycle.rollout.state import Champion, Phase, RolloutState
from mlops_assets.lifecycle.verdicts import Verdict


@dataclass(frozen=True)
class RolloutPolicy:
    """How a version gets from no traffic to all of it.

    ``canary`` goes through ``steps`` (percent of the requests) and is analysed at each;
    ``recreate`` switches at once. ``start``: ``automatic`` begins as soon as a challenger has
    passed its gates, ``manual`` waits for a person. ``approval``: no version gets traffic before
    a person has approved it.
    """

    strategy: Literal["canary", "recreate"] = "recreate"
    steps: tuple[int, ...] = ()
    analysis: AnalysisPolicy = field(default_factory=AnalysisPolicy)
    start: Literal["automatic", "manual"] = "automatic"
    approval: bool = False
    ready_timeout: float = 60.0

    def __post_init__(self) -> None:
        if self.strategy == "recreate" and self.steps:
            raise ValueError("steps belong to strategy canary, recreate has none")
        if self.strategy == "canary":
            _require_steps(self.steps)
        if not self.ready_timeout > 0:  # said in this way, it refuses NaN too
            raise ValueError(f"ready_timeout must be above 0, got {self.ready_timeout}")


@dataclass(frozen=True)
class RolloutDecision:
    """What to do next with a rollout, and why."""

    action: Literal["advance", "promote", "hold", "roll_back"]
    weight: int
    reason: str
    verdict: Verdict | None = None


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
    state: RolloutState, window: Window | None, policy: RolloutPolicy
) -> RolloutDecision:
    """What follows from the requests of the current step.

    While the version is initializing there is no window: it is then ready and has passed its
    gates, so it takes its first step. Without a baseline there is nothing to compare with, and
    the version is promoted at once. After that, no window means no evidence: it waits.
    """
    if not state.active:
        return RolloutDecision("hold", state.weight, f"the rollout has {state.phase}")
    if state.phase == "initializing":
        return _first_step(state, policy)
    if window is None:
        return RolloutDecision("hold", state.weight, "no requests seen yet")
    verdict = judge_window(window, state.weight / 100, policy.analysis)
    match verdict.outcome:
        case "failed":
            return RolloutDecision("roll_back", 0, verdict.reason, verdict)
        case "inconclusive":
            return RolloutDecision("hold", state.weight, verdict.reason, verdict)
        case "passed":
            return _onward(state, policy, verdict.reason, verdict)


def apply_decision(state: RolloutState, decision: RolloutDecision, at: datetime) -> RolloutState:
    """The state after a decision; a hold leaves it as it is."""
    evidence = decision.verdict.evidence if decision.verdict else {}
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
        since=at.isoformat(),
        reason=decision.reason,
        evidence=evidence,
    )


def _first_step(state: RolloutState, policy: RolloutPolicy) -> RolloutDecision:
    if state.baseline is None:
        return RolloutDecision("promote", 100, "the first version: nothing to compare with")
    return _onward(state, policy, f"{state.version} is loaded and ready", None)


def _onward(
    state: RolloutState, policy: RolloutPolicy, reason: str, verdict: Verdict | None
) -> RolloutDecision:
    """The next step of the policy, or promotion after the last."""
    if state.step + 1 < len(policy.steps):
        return RolloutDecision("advance", policy.steps[state.step + 1], reason, verdict)
    return RolloutDecision("promote", 100, reason, verdict)


def _require_steps(steps: tuple[int, ...]) -> None:
    if not steps:
        raise ValueError("canary needs steps, for example [10, 50]")
    if any(not 1 <= step <= 99 for step in steps):
        raise ValueError(
            f"steps must be percentages from 1 to 99, got {list(steps)}; 100 follows by itself"
        )
    if list(steps) != sorted(set(steps)):
        raise ValueError(f"steps must rise from one to the next, got {list(steps)}")
