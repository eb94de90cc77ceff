"""The analysis of a canary: right by integration, valid at every look, quick when it matters."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mlops_assets.lifecycle.rollout.analysis import (
    AnalysisPolicy,
    Arm,
    Window,
    judge_window,
    log_error_evidence,
)

POLICY = AnalysisPolicy(minimum_sample=200, false_rollback_rate=0.01, error_margin=0.01)
WEIGHTS = st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 0.99])


def window(canary: tuple[int, int], baseline: tuple[int, int]) -> Window:
    """Both arms as (errors, requests)."""
    return Window(
        Arm("v2", requests=canary[1], errors=canary[0]),
        Arm("v1", requests=baseline[1], errors=baseline[0]),
    )


def evidence(k: int, m: int, weight: float) -> float:
    return log_error_evidence(window((k, 1000), (m, 1000)), weight)


def evidence_by_integration(k: int, m: int, weight: float) -> float:
    """The mean likelihood ratio over shares above the weight, integrated numerically."""

    def ratio(share: float) -> float:
        against = m * math.log((1 - share) / (1 - weight)) if m else 0.0
        return math.exp(k * math.log(share / weight) + against)

    peak = min(max(k / max(k + m, 1), weight), 1.0)
    area, _ = quad(ratio, weight, 1.0, points=[peak], limit=500, epsabs=0, epsrel=1e-10)
    return math.log(area / (1 - weight))


# --- the e-value --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(k=st.integers(0, 60), m=st.integers(0, 60), weight=WEIGHTS)
def test_the_evidence_equals_numerical_integration_where_it_speaks_against_the_canary(k, m, weight):
    expected = evidence_by_integration(k, m, weight)
    if expected > 0 or k >= weight * (k + m):
        assert evidence(k, m, weight) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    else:
        assert evidence(k, m, weight) < 0


@pytest.mark.parametrize(("k", "m", "weight"), [(0, 60, 0.5), (1, 200, 0.3), (10, 60, 0.9)])
def test_the_evidence_equals_numerical_integration_where_the_canary_is_better(k, m, weight):
    expected = evidence_by_integration(k, m, weight)
    assert evidence(k, m, weight) == pytest.approx(expected, rel=1e-3)


def test_an_error_of_the_canary_raises_the_evidence_in_the_far_tail_too():
    assert evidence(1, 15, 0.9) > evidence(0, 15, 0.9)


def test_without_errors_there_is_no_evidence_either_way():
    assert evidence(0, 0, 0.1) == 0.0


@settings(deadline=None)
@given(k=st.integers(0, 30), m=st.integers(0, 30), weight=WEIGHTS)
def test_an_error_of_the_canary_raises_the_evidence_and_one_of_the_baseline_lowers_it(k, m, weight):
    now = evidence(k, m, weight)
    assert evidence(k + 1, m, weight) > now > evidence(k, m + 1, weight)


@settings(deadline=None)
@given(k=st.integers(0, 40), m=st.integers(0, 20), weight=WEIGHTS)
def test_the_evidence_is_a_martingale_under_equal_error_rates(k, m, weight):
    """The expected e-value after one more error is the e-value now: what Ville's bound rests on."""
    now = evidence(k, m, weight)
    canary, baseline = evidence(k + 1, m, weight), evidence(k, m + 1, weight)
    expected = weight * math.exp(canary - now) + (1 - weight) * math.exp(baseline - now)
    assert expected == pytest.approx(1, rel=1e-5)


@settings(deadline=None)
@given(k=st.integers(0, 20), m=st.integers(0, 20), successes=st.integers(0, 10_000))
def test_requests_that_were_answered_do_not_change_the_evidence(k, m, successes):
    more = window((k, k + successes), (m, m + successes))
    assert log_error_evidence(more, 0.1) == log_error_evidence(window((k, k), (m, m)), 0.1)


def evidence_table(weight: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The evidence of whole arrays of error counts, each distinct pair judged once."""

    def of(k: np.ndarray, m: np.ndarray) -> np.ndarray:
        table = np.full((k.max() + 1, m.max() + 1), np.nan)
        met = np.zeros_like(table, dtype=bool)
        met[k, m] = True
        for a, b in np.argwhere(met):
            table[a, b] = evidence(int(a), int(b), weight)
        return table[k, m]

    return of


def simulate(
    random: np.random.Generator, runs: int, requests: int, weight: float, bad: float, good: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After each request of each rollout: errors of both arms and requests of the canary."""
    canary = random.random((runs, requests)) < weight
    failed = random.random((runs, requests)) < np.where(canary, bad, good)
    return (
        (failed & canary).cumsum(axis=1),
        (failed & ~canary).cumsum(axis=1),
        canary.cumsum(axis=1),
    )


@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_an_equally_good_canary_is_seldom_rolled_back_however_often_one_looks(weight):
    alpha, runs = 0.05, 2000
    random = np.random.default_rng(int(100 * weight))
    k, m, _ = simulate(random, runs, 1000, weight, 0.05, 0.05)
    crossed = (evidence_table(weight)(k, m) >= -math.log(alpha)).any(axis=1).mean()
    assert 0 < crossed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_test_for_one_look_would_not_survive_looking_often():
    """What the e-value is for: a z-test at 5 %, looked at after each request, alarms often."""
    random = np.random.default_rng(3)
    k, m, seen = simulate(random, 500, 1000, 0.5, 0.05, 0.05)
    others = np.arange(1, 1001) - seen
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k + m) / (seen + others)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / seen + 1 / others))
        z = (k / seen - m / others) / spread
    assert (z > 1.645).any(axis=1).mean() > 0.15


@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_a_broken_canary_is_caught_within_forty_of_its_requests_in_the_median(weight):
    random = np.random.default_rng(5)
    requests = int(200 / weight)
    k, m, seen = simulate(random, 200, requests, weight, 0.25, 0.005)
    caught = evidence_table(weight)(k, m) >= -math.log(POLICY.false_rollback_rate)
    assert caught.any(axis=1).mean() > 0.99
    first = caught.argmax(axis=1)
    assert np.median(seen[np.arange(200), first]) <= 40


# --- the verdict --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canary", "baseline", "outcome", "said"),
    [
        ((0, 200), (0, 1800), "passed", "within the margin"),
        ((3, 200), (9, 1800), "passed", "within the margin"),
        ((0, 199), (0, 1800), "inconclusive", "199 of 200 canary requests seen"),
        ((0, 0), (0, 0), "inconclusive", "0 of 200 canary requests seen"),
        ((4, 200), (9, 1800), "inconclusive", "above the margin, not yet proven"),
        ((20, 200), (9, 1800), "failed", "more than chance explains"),
        ((5, 5), (0, 45), "failed", "more than chance explains"),
        ((0, 500), (400, 4500), "passed", "within the margin"),
    ],
)
def test_a_window_passes_fails_or_waits(canary, baseline, outcome, said):
    verdict = judge_window(window(canary, baseline), 0.1, POLICY)
    assert (verdict.name, verdict.outcome) == ("canary_errors_are_not_higher", outcome)
    assert verdict.reason.endswith(said)
    assert verdict.reason.startswith(
        f"v2 failed {canary[0]} of {canary[1]} requests, v1 {baseline[0]} of {baseline[1]}"
    )


@settings(deadline=None)
@given(
    errors=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    answered=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    weight=WEIGHTS,
    policy=st.builds(
        AnalysisPolicy, st.integers(1, 400), st.sampled_from([0.001, 0.01, 0.2]), st.floats(0, 0.3)
    ),
)
def test_a_verdict_follows_from_evidence_sample_and_margin(errors, answered, weight, policy):
    arms = window((errors[0], errors[0] + answered[0]), (errors[1], errors[1] + answered[1]))
    verdict = judge_window(arms, weight, policy)
    proven = log_error_evidence(arms, weight) >= math.log(1 / policy.false_rollback_rate)
    within = arms.canary.error_rate <= arms.baseline.error_rate + policy.error_margin
    assert (verdict.outcome == "failed") == proven
    assert verdict.passed == (
        not proven and arms.canary.requests >= policy.minimum_sample and within
    )


def test_the_evidence_of_a_verdict_is_what_it_rests_on():
    found = judge_window(window((20, 200), (9, 1800)), 0.1, POLICY).evidence
    assert found["canary"] == {"version": "v2", "requests": 200, "errors": 20}
    assert found["baseline"] == {"version": "v1", "requests": 1800, "errors": 9}
    assert found["weight"] == 0.1
    assert found["e_value_limit"] == pytest.approx(100)
    assert math.log(found["e_value"]) == pytest.approx(evidence(20, 9, 0.1))


def test_overwhelming_evidence_stays_a_finite_number():
    found = judge_window(window((5000, 5000), (0, 45_000)), 0.1, POLICY).evidence
    assert math.isfinite(found["e_value"])


def test_the_error_rate_of_an_arm_without_requests_is_nothing():
    assert Arm("v1", 0, 0).error_rate == 0.0
    assert Arm("v1", 8, 2).error_rate == 0.25


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"minimum_sample": 0}, "minimum_sample must be at least 1, got 0"),
        ({"false_rollback_rate": 0}, "false_rollback_rate must lie between 0 and 1, got 0"),
        ({"false_rollback_rate": 1}, "false_rollback_rate must lie between 0 and 1, got 1"),
        ({"error_margin": -0.1}, r"error_margin must lie in \[0, 1\), got -0.1"),
        ({"error_margin": 1}, r"error_margin must lie in \[0, 1\), got 1"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        AnalysisPolicy(**stated)
