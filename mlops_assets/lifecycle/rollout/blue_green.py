"""Blue/green: all traffic at once, the old version kept warm until the new one has proved good."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.absolute import judge_share_below
from mlops_assets.lifecycle.rollout.budget import log_alarm, log_proof
from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.moves import (
    advance,
    current_window,
    hold,
    promote,
    roll_back,
)
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.rollout.window import Arm
from mlops_assets.lifecycle.verdicts import Verdict


def decide_blue_green(
    state: RolloutState, evidence: RolloutEvidence, policy: RolloutPolicy
) -> RolloutDecision:
    """Nobody else answers at the same time, so its failed units are held against a fixed share."""
    if state.weight != 100:
        return advance(100, f"{state.version} is loaded and ready, {state.baseline} stays warm")
    window, analysis = current_window(state, evidence), policy.analysis
    if window is None:
        return hold(state, f"0 of {analysis.minimum_sample} units seen")
    verdict = judge_failures(window.canary, policy)
    if verdict.outcome == "failed":
        return roll_back(verdict.reason, verdict, (verdict,))
    if verdict.passed:
        return promote(verdict.reason, verdict, (verdict,))
    seen, most = window.canary.units, analysis.maximum_sample
    if most is not None and seen >= most:
        said = f"could not be shown in {seen} units (maximum_sample {most}): {verdict.reason}"
        return roll_back(said, verdict, (verdict,))
    return hold(state, verdict.reason, verdict, (verdict,))


def judge_failures(arm: Arm, policy: RolloutPolicy) -> Verdict:
    """Whether the share of failed units is shown to lie above or below ``error_margin``."""
    return judge_share_below(
        "errors_stay_below_the_limit",
        f"{arm.version} failed {arm.failed} of {arm.units} units",
        arm.failed,
        arm.units,
        policy.analysis.error_margin,
        minimum_sample=policy.analysis.minimum_sample,
        log_alarm=log_alarm(policy),
        log_proof=log_proof(policy),
    )
