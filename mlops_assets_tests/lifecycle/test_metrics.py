"""Metrics: against scikit-learn, textbook sums, and the bins by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.lifecycle.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    log_losses,
    measure_calibration,
    measure_metrics,
    share_bins,
)


@st.composite
def judged(draw: st.DrawFn):
    """Truth with both classes, and probabilities with ties."""
    truth = [True, False, *draw(st.lists(st.booleans(), max_size=40))]
    level = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
    probability = draw(st.lists(level, min_size=len(truth), max_size=len(truth)))
    return np.array(truth, dtype=int), np.array(probability)


def rank_auc(truth, probability) -> float:
    """The share of pairs ranked right, ties counting half."""
    pairs = [
        (high > low) + 0.5 * (high == low)
        for high in probability[truth == 1]
        for low in probability[truth == 0]
    ]
    return sum(pairs) / len(pairs)


def calibration_by_hand(truth, probability) -> float:
    """Ten parts of rising probability, sizes differing by one at most, the larger ones first.

    Rows of one probability each stand for the mean truth of all of them.
    """
    order = sorted(range(len(truth)), key=lambda index: probability[index])
    mean_truth = {p: np.mean(truth[probability == p]) for p in probability}
    size, larger = divmod(len(order), 10)
    total, start = 0.0, 0
    for part in range(10):
        stop = start + size + (part < larger)
        inside, start = [probability[i] for i in order[start:stop]], stop
        total += abs(sum(inside) - sum(mean_truth[p] for p in inside))
    return total / len(order)


@settings(max_examples=60)
@given(made=judged())
def test_each_metric_equals_its_textbook_definition(made):
    truth, probability = made
    metrics = measure_metrics(truth, probability)
    assert tuple(metrics) == METRICS
    assert metrics["auc"] == pytest.approx(rank_auc(truth, probability))
    assert metrics["brier"] == pytest.approx(np.mean((truth - probability) ** 2))
    assert metrics["log_loss"] == pytest.approx(log_losses(truth, probability).mean())
    assert metrics["calibration_error"] == pytest.approx(
        calibration_by_hand(truth, probability), abs=1e-12
    )


@settings(max_examples=40)
@given(made=judged())
def test_metrics_agree_with_scikit_learn(made):
    truth, probability = made
    metrics = measure_metrics(truth, probability)
    assert metrics["auc"] == pytest.approx(roc_auc_score(truth, probability))
    assert metrics["brier"] == pytest.approx(brier_score_loss(truth, probability))
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, probability))


@settings(max_examples=60)
@given(made=judged())
def test_the_log_loss_of_a_row_alone_is_that_of_scikit_learn(made):
    truth, probability = made
    alone = [log_loss([one], [p], labels=[0, 1]) for one, p in zip(truth, probability, strict=True)]
    assert log_losses(truth, probability) == pytest.approx(alone, rel=1e-9, abs=1e-12)


def test_higher_is_better_for_exactly_the_metrics_that_a_perfect_model_raises():
    truth = np.array([0, 1] * 50)
    perfect = measure_metrics(truth, truth.astype(float))
    useless = measure_metrics(truth, np.random.default_rng(0).random(100))
    assert {name for name in METRICS if perfect[name] > useless[name]} == HIGHER_IS_BETTER


def test_a_calibrated_model_has_a_small_calibration_error_and_a_shifted_one_its_shift():
    random = np.random.default_rng(5)
    probability = random.uniform(0.1, 0.7, size=40_000)
    truth = (random.random(40_000) < probability).astype(int)
    assert measure_metrics(truth, probability)["calibration_error"] < 0.015
    shifted = measure_metrics(truth, probability + 0.2)["calibration_error"]
    assert shifted == pytest.approx(0.2, abs=0.015)


@settings(max_examples=60)
@given(made=judged(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_metric(made, seed):
    truth, probability = made
    order = np.random.default_rng(seed).permutation(len(truth))
    assert measure_metrics(truth[order], probability[order]) == pytest.approx(
        measure_metrics(truth, probability), abs=1e-12
    )


def test_a_constant_prediction_is_off_by_its_distance_from_the_mean_however_rows_are_sorted():
    truth = np.repeat([0, 1], [700, 300])
    error = measure_metrics(truth, np.full(1000, 0.35))["calibration_error"]
    assert error == pytest.approx(0.05)


@settings(max_examples=60)
@given(made=judged())
def test_each_row_lies_whole_in_the_bins_and_the_bins_are_equally_full(made):
    _, probability = made
    shares = share_bins(probability)
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(probability)))
    sizes = [len(part) for part in np.array_split(probability, 10)]
    assert shares.sum(axis=0) == pytest.approx(sizes, abs=1e-9)


def test_fewer_rows_than_bins_leave_no_empty_bin():
    bins = measure_calibration(np.array([0, 1, 1]), np.array([0.2, 0.9, 0.4]))
    assert bins["rows"] == [1.0, 1.0, 1.0]
    assert bins["predicted"] == [0.2, 0.4, 0.9]
    assert bins["observed"] == [0.0, 1.0, 1.0]
