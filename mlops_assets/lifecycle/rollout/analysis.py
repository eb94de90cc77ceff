"""Measuring a canary against its baseline, in a way that stays valid however often one looks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from mlops_assets.lifecycle.verdicts import Verdict


@dataclass(frozen=True)
class Arm:
    """What one version did within a window. ``errors`` are requests it could not answer."""

    version: str
    requests: int
    errors: int

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Window:
    """The requests of both arms since one step of a rollout began; never pooled over steps."""

    canary: Arm
    baseline: Arm


@dataclass(frozen=True)
class AnalysisPolicy:
    """When a canary may go on and when it has to go.

    ``minimum_sample``: canary requests before a step can pass. ``false_rollback_rate``: how often
    an equally good canary may be rolled back in one step, over any number of looks.
    ``error_margin``: how far its error rate may lie above the baseline's and still pass.
    """

    minimum_sample: int = 200
    false_rollback_rate: float = 0.01
    error_margin: float = 0.01

    def __post_init__(self) -> None:
        if self.minimum_sample < 1:
            raise ValueError(f"minimum_sample must be at least 1, got {self.minimum_sample}")
        if not 0 < self.false_rollback_rate < 1:
            raise ValueError(
                f"false_rollback_rate must lie between 0 and 1, got {self.false_rollback_rate}"
            )
        if not 0 <= self.error_margin < 1:
            raise ValueError(f"error_margin must lie in [0, 1), got {self.error_margin}")


def log_error_evidence(window: Window, weight: float) -> float:
    """Logarithm of an e-value against "the canary fails no more often than the baseline".

    Given that a request failed, and equal failure rates, it was the canary's with probability
    ``weight`` (its share of the requests, in (0, 1), fixed within a step). The e-value is the
    likelihood of the arms of all failures under a uniform mixture of shares above ``weight``,
    over that under ``weight``: a test martingale, so by Ville's inequality it exceeds 1/alpha
    with probability at most alpha, at any of any number of looks.

    The mixture integral is the upper tail of a Beta distribution:
    int_w^1 p^k (1-p)^m dp / (1-w) = B(k+1, m+1) * (1 - I_w(k+1, m+1)) / (1-w); the tail is
    asked for as such, since 1 - I_w cancels to nothing where the canary is clearly better.
    """
    from scipy.special import betaincc, betaln

    k, m = window.canary.errors, window.baseline.errors
    if k + m == 0:
        return 0.0
    tail = betaincc(k + 1, m + 1, weight)
    if tail <= 0.0:
        return -math.inf
    mixture = betaln(k + 1, m + 1) + math.log(tail) - math.log1p(-weight)
    return float(mixture - k * math.log(weight) - m * math.log1p(-weight))


def judge_window(window: Window, weight: float, policy: AnalysisPolicy) -> Verdict:
    """Failed once the evidence of more errors is strong enough; passed on a sufficient sample
    within the margin; inconclusive until then.

    ``weight`` is the canary's share of the requests, in (0, 1).
    """
    name = "canary_errors_are_not_higher"
    canary, baseline = window.canary, window.baseline
    log_evidence = log_error_evidence(window, weight)
    evidence = {
        "canary": asdict(canary),
        "baseline": asdict(baseline),
        "weight": weight,
        "e_value": math.exp(min(log_evidence, 700.0)),
        "e_value_limit": 1 / policy.false_rollback_rate,
    }
    said = (
        f"{canary.version} failed {canary.errors} of {canary.requests} requests, "
        f"{baseline.version} {baseline.errors} of {baseline.requests}"
    )
    if log_evidence >= -math.log(policy.false_rollback_rate):
        return Verdict(name, "failed", f"{said}: more than chance explains", evidence)
    if canary.requests < policy.minimum_sample:
        wanted = f"{canary.requests} of {policy.minimum_sample} canary requests seen"
        return Verdict(name, "inconclusive", f"{said}; {wanted}", evidence)
    if canary.error_rate > baseline.error_rate + policy.error_margin:
        return Verdict(name, "inconclusive", f"{said}: above the margin, not yet proven", evidence)
    return Verdict(name, "passed", f"{said}: within the margin", evidence)
