"""Scores of labelled units: unbiased by enumeration, valid at many looks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.decision import Outcomes
from mlops_assets.lifecycle.rollout.outcomes import (
    count_labelled,
    log_outcome_harm,
    log_outcome_proof,
    mean_difference,
    score_outcomes,
)
from mlops_assets.lifecycle.rollout.sequential import log_betting_evidence

UNITS = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.01, 0.99)), min_size=1, max_size=40
)


def outcomes(units) -> Outcomes:
    loss, canary, share = zip(*units, strict=True) if units else ((), (), ())
    return Outcomes(np.array(loss, float), np.array(canary, bool), np.array(share, float))


@given(units=UNITS)
def test_scores_follow_their_formula_one_by_one_and_stay_within_their_bounds(units):
    scores, below, above = score_outcomes(outcomes(units))
    for at, (loss, canary, share) in enumerate(units):
        centre = (sum(unit[0] for unit in units[:at]) + 1.0) / (at + 4)
        expected = (loss - centre) * (1 / share if canary else -1 / (1 - share))
        assert scores[at] == pytest.approx(expected, abs=1e-9)
        assert -below[at] - 1e-9 <= scores[at] <= above[at] + 1e-9


def expected_evidence(bad: float, good: float, shares: tuple[float, ...], evidence) -> float:
    """Over all arms and all losses of 0 or 1, the mean e-value."""
    mean = 0.0
    for units in itertools.product(
        itertools.product([True, False], [0.0, 1.0]), repeat=len(shares)
    ):
        p = 1.0
        for (canary, loss), share in zip(units, shares, strict=True):
            rate = bad if canary else good
            p *= (share if canary else 1 - share) * (rate if loss else 1 - rate)
        seen = outcomes(
            [(loss, canary, w) for (canary, loss), w in zip(units, shares, strict=True)]
        )
        mean += p * math.exp(evidence(seen))
    return mean


SHARES = (0.1, 0.1, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_over_all_arms_and_losses_the_mean_is_one_for_an_equal_canary(rate):
    assert expected_evidence(rate, rate, SHARES, log_outcome_harm) == pytest.approx(1)
    assert expected_evidence(0.5 * rate, rate, SHARES, log_outcome_harm) < 1
    assert expected_evidence(min(1.5 * rate, 1), rate, SHARES, log_outcome_harm) > 1


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_over_all_arms_and_losses_the_mean_of_a_proof_is_one_at_the_margin(rate):
    def proof(seen: Outcomes) -> float:
        return log_outcome_proof(seen, 0.1)

    assert expected_evidence(rate + 0.1, rate, SHARES, proof) == pytest.approx(1)
    assert expected_evidence(rate + 0.3, rate, SHARES, proof) < 1


def test_a_base_rate_that_moves_with_the_share_is_no_evidence():
    """Losses and the canary's share rise together: pooled means differ, the versions do not."""
    random, alarms, alpha = np.random.default_rng(6), 0, 0.05
    for _ in range(300):
        late = np.arange(600) >= 300
        share = np.where(late, 0.5, 0.1)
        canary = random.random(600) < share
        loss = random.beta(np.where(late, 6, 2), 8)
        looks = log_betting_evidence(*score_outcomes(Outcomes(loss, canary, share))[:2], every=1)
        alarms += bool((looks >= -math.log(alpha)).any())
        assert loss[canary].mean() > loss[~canary].mean() + 0.05
    assert alarms / 300 <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 300)


def test_a_worse_canary_is_found_and_a_better_one_is_proved():
    random = np.random.default_rng(9)
    canary = random.random(3000) < 0.5
    base, share = random.beta(2, 8, 3000) * 0.9, np.full(3000, 0.5)
    worse = Outcomes(base + 0.03 * canary, canary, share)
    better = Outcomes(base + 0.03 * ~canary, canary, share)
    assert log_outcome_harm(worse) > math.log(100) > log_outcome_harm(better)
    assert log_outcome_proof(better, 0.0) > math.log(100) > log_outcome_proof(worse, 0.0)
    assert mean_difference(worse) == pytest.approx(0.03, abs=0.02)


@given(units=UNITS, idle=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0]))))
def test_units_of_a_time_when_all_fell_the_same_way_compare_nothing(units, idle):
    silent = [(loss, bool(share), share) for loss, share in idle]
    for evidence in (log_outcome_harm, mean_difference, lambda seen: log_outcome_proof(seen, 0.01)):
        with_them = evidence(outcomes([*silent, *units]))
        assert with_them == pytest.approx(evidence(outcomes(units)), abs=1e-9)


def test_without_labels_there_is_nothing_to_say():
    for nothing in (None, outcomes([])):
        assert log_outcome_harm(nothing) == pytest.approx(0)
        assert log_outcome_proof(nothing, 0.01) == pytest.approx(0)
        assert mean_difference(nothing) == 0
        assert count_labelled(nothing) == (0, 0)


def test_labelled_units_are_counted_by_arm():
    assert count_labelled(outcomes([(0.1, True, 0.5), (0.2, False, 0.5), (0.3, True, 0.5)])) == (
        2,
        1,
    )
