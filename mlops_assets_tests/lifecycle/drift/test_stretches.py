"""What is usual is the worst stretch of the reference, without its worst day."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.lifecycle.drift.sample import Days
from mlops_assets.lifecycle.drift.stretches import compare_with_worst, rank_days


def days(reference: int, current: int, rows: float = 100.0) -> Days:
    size = reference + current
    return Days(np.ones((1, size)), np.full(size, rows), reference)


def test_each_side_is_told_without_its_worst_day():
    reference = [1, 1, 50, 2, 2, 2, 9, 3, 3]  # stretches of three days
    now, worst = compare_with_worst(np.array([*reference, 80, 10, 20.0]), days(9, 3))
    assert now == pytest.approx(0.15)
    assert worst == pytest.approx(0.03)


def test_one_day_alone_is_told_as_it_is():
    assert compare_with_worst(np.array([4.0, 7, 30]), days(2, 1)) == pytest.approx((0.3, 0.07))


def test_a_day_counts_by_its_share_and_not_by_its_rows():
    ranks = rank_days(np.array([10.0, 30, 5]), np.array([100.0, 1000, 10]))
    assert ranks.tolist() == [2, 1, 3]


def test_days_alike_share_a_rank():
    assert rank_days(np.zeros(4), np.full(4, 9.0)).tolist() == [2.5] * 4
