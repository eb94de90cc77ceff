"""Days dealt anew, and what share of the dealings is as extreme as the truth."""

from __future__ import annotations

import itertools
import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from mlops_assets.lifecycle.drift.permutation import deal_days, p_value

MONDAY = date(2013, 1, 7)


def days(number: int, begin: date = MONDAY) -> list[date]:
    return [begin + timedelta(days=n) for n in range(number)]


@settings(max_examples=30)
@given(reference=st.integers(1, 40), current=st.integers(1, 20), seed=st.integers(0, 99))
def test_each_dealing_has_as_many_current_days_as_there_are(reference, current, seed):
    dealt = deal_days(days(reference), days(current), 50, seed)
    assert dealt.shape == (51, reference + current)
    assert set(np.unique(dealt)) <= {0.0, 1.0}
    assert (dealt.sum(axis=1) == current).all()
    assert dealt[0].tolist() == [0.0] * reference + [1.0] * current


def test_each_way_to_deal_is_as_likely_as_any_other():
    dealt = deal_days(days(4), days(2), 15_000, 0)[1:]
    ways, seen = np.unique(dealt, axis=0, return_counts=True)
    assert len(ways) == math.comb(6, 2)
    assert abs(seen - 1000).max() < 5 * math.sqrt(1000)


def test_half_a_week_changes_places_within_weekdays_only():
    dealt = deal_days(days(56), days(4, MONDAY + timedelta(days=56)), 500, 0)
    weekday = np.arange(60) % 7
    for day in range(7):
        assert (dealt[:, weekday == day].sum(axis=1) == (day < 4)).all()


def test_whole_weeks_and_weekdays_too_few_to_deal_within_change_places_freely():
    for reference, current in ((56, 7), (7, 4)):
        dealt = deal_days(days(reference), days(current), 4999, 0)
        weekday = np.array([*np.arange(reference) % 7, *np.arange(current) % 7])
        assert len(np.unique(dealt[:, weekday == 0].sum(axis=1))) > 1


def test_the_same_seed_deals_the_same_days():
    first, again, other = (deal_days(days(20), days(5), 99, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@settings(max_examples=15)
@given(values=st.lists(st.integers(0, 9), min_size=7, max_size=7))
def test_the_p_value_is_that_of_all_ways_up_to_chance(values):
    counts = np.array(values, dtype=float)
    drawn = p_value(deal_days(days(4), days(3), 4000, 3) @ counts)
    ways = [counts[list(chosen)].sum() for chosen in itertools.combinations(range(7), 3)]
    exact = np.mean(np.array(ways) >= counts[4:].sum())
    assert drawn == pytest.approx(exact, abs=5 * math.sqrt(0.25 / 4000))
    oracle = permutation_test(
        (counts[4:], counts[:4]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        alternative="greater",
        n_resamples=np.inf,
    )
    assert exact == pytest.approx(oracle.pvalue)


def test_what_no_dealing_reaches_has_the_smallest_p_value_and_a_tie_counts_as_reached():
    assert p_value(np.array([2.0, *[1.0] * 99])) == 0.01
    assert p_value(np.array([0.3, 0.1 + 0.2, *[0.0] * 98])) == 0.02
    assert p_value(np.full(100, 7.0)) == 1.0


def test_dealings_that_leave_a_side_empty_tie_and_none_is_more_extreme():
    with np.errstate(all="raise"):
        assert p_value(np.full(100, np.inf)) == 1.0
        assert p_value(np.array([np.inf, *[1.0] * 98, np.inf])) == 0.02
        assert p_value(np.array([1.0, *[0.0] * 98, np.inf])) == 0.02
