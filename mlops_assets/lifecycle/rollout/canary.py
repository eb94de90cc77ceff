"""Canary: rising shares of the units, each until enough were seen, with a proof at the end."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.guardrails import judge_guardrails
from mlops_assets.lifecycle.rollout.moves import (
    advance,
    canary_units,
    current_window,
    first_with,
    hold,
    promote,
    roll_back,
)
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.promotion import judge_promotion
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.verdicts import Verdict


def decide_canary(
    state: RolloutState, evidence: RolloutEvidence, policy: RolloutPolicy
) -> RolloutDecision:
    """Back on evidence of harm; on after the minimum sample; promoted once it is shown not to be
    worse than the margins, and back when that could not be shown in the maximum sample.
    """
    if state.weight == 0:
        return advance(policy.steps[0], f"{state.version} is loaded and ready")
    guardrails = judge_guardrails(evidence, policy)
    if harm := first_with("failed", guardrails):
        return roll_back(harm.reason, harm, guardrails)
    window = current_window(state, evidence)
    seen, wanted = window.canary.units if window else 0, policy.analysis.minimum_sample
    if seen < wanted:
        said = f"{seen} of {wanted} units seen at {state.weight} %"
        return hold(state, said, first_with("inconclusive", guardrails), guardrails)
    following = next((step for step in policy.steps if step > state.weight), None)
    if following is not None:
        said = f"{seen} units at {state.weight} % and no evidence of harm"
        return advance(following, said, guardrails[0], guardrails)
    return _after_the_last_step(state, evidence, policy, guardrails)


def _after_the_last_step(
    state: RolloutState,
    evidence: RolloutEvidence,
    policy: RolloutPolicy,
    guardrails: tuple[Verdict, ...],
) -> RolloutDecision:
    proofs = judge_promotion(evidence, policy)
    verdicts = (*guardrails, *proofs)
    missing = next((proof for proof in proofs if not proof.passed), None)
    if missing is None:
        return promote("; ".join(proof.reason for proof in proofs), proofs[0], verdicts)
    seen, most = canary_units(evidence), policy.analysis.maximum_sample
    if most is not None and seen >= most:
        said = f"could not be shown in {seen} units (maximum_sample {most}): {missing.reason}"
        return roll_back(said, missing, verdicts)
    return hold(state, missing.reason, missing, verdicts)
