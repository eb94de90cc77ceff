"""What has to be shown before a canary is promoted: that it is not worse than the margins."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.budget import log_proof
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence
from mlops_assets.lifecycle.rollout.outcomes import (
    count_labelled,
    log_outcome_proof,
    mean_difference,
)
from mlops_assets.lifecycle.rollout.policy import OutcomePolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.sequential import log10, log_margin_evidence
from mlops_assets.lifecycle.verdicts import Verdict


def judge_promotion(evidence: RolloutEvidence, policy: RolloutPolicy) -> tuple[Verdict, ...]:
    """One verdict per margin, errors first: passed once shown, else inconclusive.

    "Not significantly worse" is no proof: it lets a worse canary pass that was hardly looked at.
    """
    verdicts = [_judge_errors(evidence, policy)]
    if policy.analysis.outcome is not None:
        verdicts.append(_judge_outcomes(evidence, policy, policy.analysis.outcome))
    return tuple(verdicts)


def _judge_errors(evidence: RolloutEvidence, policy: RolloutPolicy) -> Verdict:
    """Never pooled: each window is scored at the share it had.

    A unit counts by its first request alone, which is settled once it was seen: what returning
    callers do later could be looked at until it pleases.
    """
    windows, margin, limit = evidence.windows, policy.analysis.error_margin, log_proof(policy)
    proof = float(
        log_margin_evidence(
            [window.canary.failed for window in windows],
            [window.baseline.failed for window in windows],
            [window.canary.units + window.baseline.units for window in windows],
            [window.weight / 100 for window in windows],
            margin,
        )
    )
    failed, units = _totals(evidence, "failed"), _totals(evidence, "units")
    said = f"{failed[0]} of {units[0]} units failed, {failed[1]} of {units[1]} in the baseline"
    facts = {
        "canary": failed[0],
        "canary_units": units[0],
        "baseline": failed[1],
        "baseline_units": units[1],
        "margin": margin,
        "log10_proof": log10(proof),
        "log10_proof_limit": log10(limit),
    }
    name = "canary_is_within_the_margin"
    if proof >= limit:
        return Verdict(name, "passed", f"{said}: less than {margin:g} worse", facts)
    why = f"not yet shown to be less than {margin:g} worse"
    return Verdict(name, "inconclusive", f"{said}: {why}", facts)


def _judge_outcomes(
    evidence: RolloutEvidence, policy: RolloutPolicy, asked: OutcomePolicy
) -> Verdict:
    limit, wanted = log_proof(policy), policy.analysis.minimum_sample
    canary, baseline = count_labelled(evidence.outcomes)
    proof = log_outcome_proof(evidence.outcomes, asked.margin)
    difference = mean_difference(evidence.outcomes)
    said = f"mean loss differs by {difference:+.4f} over {canary} and {baseline} labelled units"
    facts = {
        "canary": canary,
        "baseline": baseline,
        "difference": round(difference, 6),
        "margin": asked.margin,
        "minimum_sample": wanted,
        "log10_proof": log10(proof),
        "log10_proof_limit": log10(limit),
    }
    name = "outcomes_are_within_the_margin"
    if canary < wanted:
        why = f"waiting for labels, {canary} of {wanted} canary labels known"
        return Verdict(name, "inconclusive", f"{said}: {why}", facts)
    if proof >= limit:
        return Verdict(name, "passed", f"{said}: less than {asked.margin:g} worse", facts)
    why = f"not yet shown to be less than {asked.margin:g} worse"
    return Verdict(name, "inconclusive", f"{said}: {why}", facts)


def _totals(evidence: RolloutEvidence, count: str) -> tuple[int, int]:
    """Of both arms over all windows; to be read by people, never to be tested."""
    return (
        sum(getattr(window.canary, count) for window in evidence.windows),
        sum(getattr(window.baseline, count) for window in evidence.windows),
    )
