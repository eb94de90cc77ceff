"""One error budget per rollout: how sure each guardrail has to be."""

from __future__ import annotations

import math

from mlops_assets.lifecycle.rollout.policy import RolloutPolicy


def count_guardrails(policy: RolloutPolicy) -> int:
    """How many guardrails may take a version back in one rollout by this policy."""
    analysis = policy.analysis
    compared = (
        1
        + (analysis.slow_milliseconds is not None)
        + (analysis.prediction is not None)
        + (analysis.outcome is not None or policy.strategy == "ab_test")
    )
    if policy.strategy == "blue_green":
        return 1
    if policy.strategy == "shadow":
        return 2 + policy.shadow.labels + (compared if policy.steps else 0)
    return compared


def log_alarm(policy: RolloutPolicy) -> float:
    """From here on the evidence (natural logarithm) of one guardrail takes the version back.

    The false rollback rate is shared out evenly, so it holds for all of them together.
    """
    return math.log(count_guardrails(policy) / policy.analysis.false_rollback_rate)


def log_proof(policy: RolloutPolicy) -> float:
    """From here on evidence that a version is good enough counts as shown.

    Undivided: a version goes on only when everything that is asked of it is shown.
    """
    return -math.log(policy.analysis.false_promotion_rate)
