"""Shadow: copies of requests first, whose answers nobody gets; then steps, if there are any."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.absolute import judge_share_below
from mlops_assets.lifecycle.rollout.budget import log_alarm, log_proof
from mlops_assets.lifecycle.rollout.canary import decide_canary
from mlops_assets.lifecycle.rollout.decision import (
    RolloutDecision,
    RolloutEvidence,
    ShadowComparison,
)
from mlops_assets.lifecycle.rollout.moves import advance, first_with, hold, promote, roll_back
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.sequential import log10, log_betting_evidence
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.verdicts import Verdict


def decide_shadow(
    state: RolloutState, evidence: RolloutEvidence, policy: RolloutPolicy
) -> RolloutDecision:
    """Back once copies are shown to fail, to disagree or to be worse; on once all is shown."""
    if state.weight > 0:
        return decide_canary(state, evidence, policy)
    if state.mirror == 0:
        ready = f"{state.version} is loaded and ready, nobody gets its answers"
        return advance(0, ready, mirror=policy.shadow.mirror)
    if evidence.shadow is None:
        return hold(state, f"0 of {policy.shadow.minimum_sample} copies answered")
    return _after_copies(state, evidence.shadow, policy)


def _after_copies(
    state: RolloutState, seen: ShadowComparison, policy: RolloutPolicy
) -> RolloutDecision:
    verdicts = judge_shadow(seen, policy)
    if harm := first_with("failed", verdicts):
        return roll_back(harm.reason, harm, verdicts)
    if waiting := first_with("inconclusive", verdicts):
        return _wait(state, seen.units, policy, waiting, verdicts)
    said = "; ".join(verdict.reason for verdict in verdicts)
    if policy.steps:
        return advance(policy.steps[0], said, verdicts[0], verdicts)
    return promote(said, verdicts[0], verdicts)


def judge_shadow(seen: ShadowComparison, policy: RolloutPolicy) -> tuple[Verdict, ...]:
    """Its failures and its agreement, each against a fixed share, and with labels its loss."""
    shadow, answered = policy.shadow, seen.units - seen.failed
    # With no copy answered there is no share to speak of.
    agreement = seen.agreement if answered else 1.0
    verdicts = [
        judge_share_below(
            "shadow_answers",
            f"{seen.failed} of {seen.units} copies failed",
            seen.failed,
            seen.units,
            policy.analysis.error_margin,
            minimum_sample=shadow.minimum_sample,
            log_alarm=log_alarm(policy),
            # With steps to come a canary's proof is asked for there, of answers people get.
            log_proof=None if policy.steps else log_proof(policy),
        ),
        judge_share_below(
            "shadow_agrees",
            f"{agreement:.1%} of rows on the same side, {1 - agreement:.1%} are not",
            (1 - agreement) * answered,
            answered,
            1 - shadow.agreement,
            minimum_sample=shadow.minimum_sample,
            log_alarm=log_alarm(policy),
            log_proof=log_proof(policy),
        ),
    ]
    if shadow.labels:
        verdicts.append(_judge_differences(seen, policy))
    return tuple(verdicts)


def _judge_differences(seen: ShadowComparison, policy: RolloutPolicy) -> Verdict:
    """Paired: both answered the same rows, so most of the noise cancels."""
    import numpy as np

    margin = policy.shadow.margin
    losses = np.zeros(0) if seen.differences is None else np.asarray(seen.differences, dtype=float)
    worse = float(log_betting_evidence(losses - margin, np.full(losses.size, 1 + margin)))
    better = float(log_betting_evidence(margin - losses, np.full(losses.size, 1 - margin)))
    mean = float(losses.mean()) if losses.size else 0.0
    facts = {
        "labelled": int(losses.size),
        "difference": round(mean, 6),
        "margin": margin,
        "minimum_sample": policy.shadow.minimum_sample,
        "log10_e": log10(worse),
        "log10_e_limit": log10(log_alarm(policy)),
        "log10_proof": log10(better),
        "log10_proof_limit": log10(log_proof(policy)),
    }
    name = "shadow_is_within_the_margin"
    said = f"mean loss differs by {mean:+.4f} over {losses.size} labelled units"
    if worse >= log_alarm(policy):
        return Verdict(name, "failed", f"{said}: worse by more than {margin:g}", facts)
    if losses.size < policy.shadow.minimum_sample:
        why = f"waiting for labels, {losses.size} of {policy.shadow.minimum_sample} known"
        return Verdict(name, "inconclusive", f"{said}: {why}", facts)
    if better >= log_proof(policy):
        return Verdict(name, "passed", f"{said}: shown to be less than {margin:g} worse", facts)
    why = f"not yet shown to be less than {margin:g} worse"
    return Verdict(name, "inconclusive", f"{said}: {why}", facts)


def _wait(
    state: RolloutState,
    units: int,
    policy: RolloutPolicy,
    waiting: Verdict,
    verdicts: tuple[Verdict, ...],
) -> RolloutDecision:
    most = policy.analysis.maximum_sample
    if most is not None and units >= most:
        said = f"could not be shown in {units} copies (maximum_sample {most}): {waiting.reason}"
        return roll_back(said, waiting, verdicts)
    return hold(state, waiting.reason, waiting, verdicts)
