"""Days left out: each is predicted from the others, and only from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.left_out_days import predict_left_out_days, say_why_not_left_out


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5)), min_size=2, max_size=30))
def test_each_row_is_predicted_from_exactly_the_rows_of_other_days(rows):
    truth, days = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(days)) < 2:
        return

    def fit(inputs, truth):
        return lambda later: np.full(len(later), truth.mean())

    predicted = predict_left_out_days(truth, np.zeros((len(rows), 1)), days, fit)
    expected = [truth[days != day].mean() for day in days]
    assert predicted == pytest.approx(expected)


def test_the_inputs_of_a_row_go_with_it():
    inputs = np.arange(6.0)[:, None]
    days = np.array(["b", "a", "b", "c", "a", "c"])
    echoed = predict_left_out_days(np.zeros(6), inputs, days, lambda *_: lambda later: later[:, 0])
    assert echoed.tolist() == inputs[:, 0].tolist()


@pytest.mark.parametrize(
    ("truth", "days", "said"),
    [
        ([0, 1, 0, 1], [1, 1, 1, 1], "1 day of later rows, at least 2 are needed to leave one out"),
        ([1, 1, 0, 0, 0], [8, 8, 9, 9, 9], "without 8 there are 0 positive later rows"),
        ([1, 1, 1, 1, 0, 0], [8, 8, 9, 9, 9, 9], "without 9 there are 0 negative later rows"),
        ([0, 0, 1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 2, 2, 2, 2], None),
    ],
)
def test_why_no_day_can_be_left_out_is_said(truth, days, said):
    why = say_why_not_left_out(np.array(truth), np.array(days))
    assert why is None if said is None else why.startswith(said)


def test_a_fit_that_needs_more_rows_of_each_class_may_ask_for_them():
    truth, days = np.array([0, 1, 0, 1]), np.array([1, 1, 2, 2])
    assert say_why_not_left_out(truth, days, each_class=1) is None
    assert "at least 2 are needed" in say_why_not_left_out(truth, days, each_class=2)
