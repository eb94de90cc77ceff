"""The share of the weekly gain: what it is, and how sure one can be of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.commands.replay_year.gain import ReplayError, measure_gain
from mlops_assets.commands.replay_year.weeks import Week

SCORES = st.floats(0.01, 0.99)


def weeks(*briers: float, rows: int = 10, days: int = 7) -> list[Week]:
    """Weeks of equal days, each with this Brier score."""
    return [
        Week(
            f"w{number:02d}",
            "v1",
            rows * days,
            0.2,
            {f"w{number:02d}-{day}": (brier * rows, rows) for day in range(days)},
        )
        for number, brier in enumerate(briers)
    ]


def uneven(briers: np.ndarray, seed: int) -> list[Week]:
    """Weeks whose days differ around a Brier score."""
    generator = np.random.default_rng(seed)
    return [
        Week(
            f"w{number:02d}",
            "v1",
            70,
            0.2,
            {f"d{day}": (10 * brier * generator.uniform(0.5, 1.5), 10) for day in range(7)},
        )
        for number, brier in enumerate(briers)
    ]


def test_a_policy_half_way_between_reaches_half_of_the_gain():
    gain = measure_gain(weeks(0.2, 0.3), weeks(0.19, 0.28), weeks(0.18, 0.26))
    assert gain.value == pytest.approx(0.5)


def test_each_week_counts_the_same_however_many_rows_it_has():
    never = [*weeks(0.2), *weeks(0.2, rows=1000)]
    policy = [*weeks(0.1), *weeks(0.2, rows=1000)]
    weekly = [*weeks(0.1), *weeks(0.1, rows=1000)]
    assert measure_gain(never, policy, weekly).value == pytest.approx(0.5)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=6))
def test_never_gains_nothing_and_weekly_all_of_it(pairs):
    never = weeks(*(max(pair) + 0.01 for pair in pairs))
    weekly = weeks(*(min(pair) for pair in pairs))
    assert measure_gain(never, never, weekly, resamples=20).value == pytest.approx(0)
    gain = measure_gain(never, weekly, weekly, resamples=20)
    assert (gain.value, gain.low, gain.high) == pytest.approx((1, 1, 1))


def test_the_interval_holds_the_value_and_narrows_with_more_weeks():
    def width(count: int) -> float:
        base = np.full(count, 0.2)
        gain = measure_gain(uneven(base, 1), uneven(base - 0.03, 2), uneven(base - 0.06, 3), seed=5)
        assert gain.low < gain.value < gain.high
        return gain.high - gain.low

    assert width(40) < width(10)


def test_days_that_are_all_alike_leave_no_doubt():
    gain = measure_gain(weeks(0.3, 0.2), weeks(0.25, 0.15), weeks(0.2, 0.1))
    assert (gain.low, gain.high) == pytest.approx((gain.value, gain.value))


def test_given_no_gain_at_all_then_it_is_said_and_not_divided_by():
    with pytest.raises(ReplayError, match="gains nothing over never"):
        measure_gain(weeks(0.2), weeks(0.2), weeks(0.2))


def test_given_other_days_then_it_is_refused():
    other = [Week("w00", "v1", 1, 0.2, {"elsewhere": (0.1, 1)})]
    with pytest.raises(ReplayError, match="not answer the same days of w00"):
        measure_gain(weeks(0.3), other, weeks(0.2))


def test_where_a_resample_has_no_gain_there_is_no_interval():
    never = uneven(np.full(2, 0.2), 1)
    weekly = uneven(np.full(2, 0.195), 2)
    try:
        gain = measure_gain(never, never, weekly)
    except ReplayError:
        pytest.skip("the yardstick of this draw gains nothing at all")
    assert (gain.low, gain.high) == (None, None)
