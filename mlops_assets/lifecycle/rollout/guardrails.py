"""What takes a version back: errors, time, answers, outcomes, each against the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.rollout.budget import log_alarm
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence
from mlops_assets.lifecycle.rollout.outcomes import (
    count_labelled,
    log_outcome_harm,
    mean_difference,
)
from mlops_assets.lifecycle.rollout.policy import PredictionPolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.sequential import (
    log10,
    log_mean,
    log_odds_evidence,
    log_ratio_evidence,
)
from mlops_assets.lifecycle.rollout.window import Window
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]
    Answers = tuple[npt.ArrayLike, npt.ArrayLike]

Windows = Sequence[Window]


def judge_guardrails(evidence: RolloutEvidence, policy: RolloutPolicy) -> tuple[Verdict, ...]:
    """One verdict per guardrail that is on, errors first.

    Failed once the evidence of harm is strong enough; passed while it is not, on the minimum
    sample; inconclusive until then.
    """
    windows, analysis = evidence.windows, policy.analysis
    verdicts = [_judge_first_events(windows, policy, "errors")]
    if analysis.slow_milliseconds is not None:
        verdicts.append(_judge_first_events(windows, policy, "slow"))
    if analysis.prediction is not None:
        verdicts.append(_judge_predictions(windows, policy, analysis.prediction))
    if analysis.outcome is not None or policy.strategy == "ab_test":
        verdicts.append(_judge_outcomes(evidence, policy))
    return tuple(verdicts)


_FIRST_EVENTS = {
    "errors": ("canary_errors_are_not_higher", "failed", "more than chance explains"),
    "slow": ("canary_is_not_slower", "were slow for", "more than chance explains"),
}


def _judge_first_events(windows: Windows, policy: RolloutPolicy, event: str) -> Verdict:
    name, did, harm = _FIRST_EVENTS[event]
    log_evidence = log_ratio_evidence(*_counts(windows, event), _shares(windows))
    return _verdict(name, did, harm, float(log_evidence), windows, policy, event)


def _judge_predictions(
    windows: Windows, policy: RolloutPolicy, prediction: PredictionPolicy
) -> Verdict:
    """Whether their odds differ in either direction, by more than is tolerated."""
    tolerated = prediction.odds_ratio
    canary, baseline = (
        (high, [n - k for n, k in zip(units, high, strict=True)])
        for high, units in zip(_counts(windows, "high"), _counts(windows, "units"), strict=True)
    )
    log_evidence = log_prediction_evidence(canary, baseline, _shares(windows), tolerated)
    name, did = "predictions_keep_their_distribution", "gave a high first answer to"
    harm = f"their odds differ by a factor above {tolerated:g}"
    return _verdict(name, did, harm, float(log_evidence), windows, policy, "high")


def log_prediction_evidence(
    canary: Answers, baseline: Answers, shares: Sequence[float], tolerated: float
) -> Numbers:
    """Against "the odds of a high first answer differ by at most a factor of ``tolerated``".

    ``canary`` and ``baseline``: units with a high and with a low one, per window.
    """
    away = [1 - share for share in shares]
    return log_mean(
        log_odds_evidence(canary, baseline, shares, tolerated),
        log_odds_evidence(baseline, canary, away, tolerated),
    )


def _judge_outcomes(evidence: RolloutEvidence, policy: RolloutPolicy) -> Verdict:
    name, wanted = "outcomes_are_not_worse", policy.analysis.minimum_sample
    canary, baseline = count_labelled(evidence.outcomes)
    harm, difference = log_outcome_harm(evidence.outcomes), mean_difference(evidence.outcomes)
    said = f"mean loss differs by {difference:+.4f} over {canary} and {baseline} labelled units"
    outcome: Outcome = "passed"
    if harm >= log_alarm(policy):
        outcome, said = "failed", f"{said}: worse, more than chance explains"
    elif canary < wanted:
        outcome, said = "inconclusive", f"{said}: {canary} of {wanted} canary labels known"
    else:
        said = f"{said}: no evidence of harm"
    facts = {
        "canary": canary,
        "baseline": baseline,
        "difference": round(difference, 6),
        "minimum_sample": wanted,
        "log10_e": log10(harm),
        "log10_e_limit": log10(log_alarm(policy)),
    }
    return Verdict(name, outcome, said, facts)


def _verdict(
    name: str,
    did: str,
    harm: str,
    log_evidence: float,
    windows: Windows,
    policy: RolloutPolicy,
    event: str,
) -> Verdict:
    """The verdict on counts of units, with the numbers it rests on."""
    limit, wanted = log_alarm(policy), policy.analysis.minimum_sample
    counts, units = _counts(windows, event), _counts(windows, "units")
    versions = [(w.canary.version, w.baseline.version) for w in windows[-1:]] or [("", "")]
    said = ", ".join(
        f"{version} {did} {sum(of)} of {sum(all_)} units"
        for version, of, all_ in zip(versions[0], counts, units, strict=True)
        if version
    )
    seen = sum(units[0])
    outcome: Outcome = "passed"
    if log_evidence >= limit:
        outcome, why = "failed", harm
    elif seen < wanted:
        outcome, why = "inconclusive", f"{seen} of {wanted} units of the canary seen"
    else:
        why = "no evidence of harm"
    evidence = {
        "canary": sum(counts[0]),
        "baseline": sum(counts[1]),
        "canary_units": seen,
        "baseline_units": sum(units[1]),
        "windows": [asdict(window) for window in windows],
        "minimum_sample": wanted,
        "log10_e": log10(log_evidence),
        "log10_e_limit": log10(limit),
    }
    return Verdict(name, outcome, f"{said}: {why}" if said else why, evidence)


def _counts(windows: Windows, event: str) -> tuple[list[int], list[int]]:
    """Of both arms, per window."""
    return (
        [getattr(window.canary, event) for window in windows],
        [getattr(window.baseline, event) for window in windows],
    )


def _shares(windows: Windows) -> list[float]:
    return [window.weight / 100 for window in windows]
