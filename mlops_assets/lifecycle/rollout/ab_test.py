"""A/B test: two versions side by side until the outcomes of their answers name a winner."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.budget import log_proof
from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.guardrails import judge_guardrails
from mlops_assets.lifecycle.rollout.moves import (
    advance,
    canary_units,
    first_with,
    hold,
    promote,
    roll_back,
)
from mlops_assets.lifecycle.rollout.outcomes import (
    count_labelled,
    log_outcome_proof,
    mean_difference,
)
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.sequential import log10
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.verdicts import Verdict


def decide_ab_test(
    state: RolloutState, evidence: RolloutEvidence, policy: RolloutPolicy
) -> RolloutDecision:
    """The challenger wins when its mean loss is shown to be lower, the champion when it is shown
    to be lower than the challenger's (a guardrail), and also when time is up.
    """
    if state.weight != policy.split:
        return advance(policy.split, f"{state.version} is loaded and ready")
    guardrails = judge_guardrails(evidence, policy)
    if harm := first_with("failed", guardrails):
        return roll_back(harm.reason, harm, guardrails)
    better = judge_challenger(evidence, policy)
    verdicts = (*guardrails, better)
    if better.passed:
        return promote(better.reason, better, verdicts)
    seen, most = canary_units(evidence), policy.analysis.maximum_sample
    if most is not None and seen >= most:
        said = f"no winner in {seen} units (maximum_sample {most}), {state.baseline} stays"
        return roll_back(f"{said}; {better.reason}", better, verdicts)
    return hold(state, better.reason, better, verdicts)


def judge_challenger(evidence: RolloutEvidence, policy: RolloutPolicy) -> Verdict:
    """Whether the challenger's mean loss is shown to be lower."""
    limit, wanted = log_proof(policy), policy.analysis.minimum_sample
    canary, baseline = count_labelled(evidence.outcomes)
    proof = log_outcome_proof(evidence.outcomes, 0.0)
    difference = mean_difference(evidence.outcomes)
    said = f"mean loss differs by {difference:+.4f} over {canary} and {baseline} labelled units"
    facts = {
        "canary": canary,
        "baseline": baseline,
        "difference": round(difference, 6),
        "minimum_sample": wanted,
        "log10_proof": log10(proof),
        "log10_proof_limit": log10(limit),
    }
    if canary >= wanted and proof >= limit:
        return Verdict("challenger_is_better", "passed", f"{said}: the challenger is better", facts)
    why = "no winner yet" if canary >= wanted else f"{canary} of {wanted} canary labels known"
    return Verdict("challenger_is_better", "inconclusive", f"{said}: {why}", facts)
