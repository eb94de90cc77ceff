"""Day-resampled intervals: against plain loops, scipy, and simulated coverage."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, ndtr, stdtrit
from scipy.stats import bootstrap
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.metrics import METRICS, measure_metrics, share_bins
from mlops_assets.lifecycle.resampling import (
    Interval,
    compare_models,
    draw_multiplicities,
    measure_intervals,
    measure_mean,
)

DAYS = st.integers(1, 6)


def rows_with_day_effects(days, rows, seed, effect=0.7):
    """Truth, the probability known before each day's own effect, and the day."""
    random = np.random.default_rng(seed)
    day = random.integers(0, days, rows)
    known = random.normal(-1, 1, rows)
    truth = random.random(rows) < expit(known + random.normal(0, effect, days)[day])
    return truth.astype(int), expit(known), day


def plain_loop(truth, probability, day, metric, resamples, seed):
    """Each resample written out: whole days are joined, then the metric of scikit-learn."""
    names = sorted(set(day.tolist()))
    shares = share_bins(probability)
    measured = []
    for times in draw_multiplicities(len(names), resamples, seed):
        drawn = [name for name, count in zip(names, times, strict=True) for _ in range(count)]
        rows = np.concatenate([np.flatnonzero(day == name) for name in drawn])
        if metric == "calibration_error":
            gaps = (probability[rows] - truth[rows]) @ shares[rows]
            measured.append(np.abs(gaps).sum() / len(rows))
        elif metric != "auc" or 0 < truth[rows].sum() < len(rows):
            score = {"auc": roc_auc_score, "brier": brier_score_loss, "log_loss": log_loss}[metric]
            labels = {} if metric == "auc" else {"labels": [0, 1]}
            measured.append(score(truth[rows], probability[rows], **labels))
    return np.array(measured)


def levels(confidence, days):
    """The expanded percentile levels, from the textbook's formula."""
    level = ndtr(math.sqrt(days / (days - 1)) * stdtrit(days - 1, (1 - confidence) / 2))
    return [level, 1 - level]


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_equals_the_plain_loop_over_resampled_days(metric):
    truth, probability, day = rows_with_day_effects(9, 900, seed=1)
    probability = probability.round(2)
    found = measure_intervals(truth, probability, day, confidence=0.9, resamples=80, seed=5)[metric]
    loop = plain_loop(truth, probability, day, metric, 80, seed=5)
    assert len(loop) == 80
    low, high = np.quantile(loop, levels(0.9, 9))
    assert found.value == pytest.approx(measure_metrics(truth, probability)[metric], abs=1e-12)
    assert found.low == pytest.approx(min(low, found.value), abs=1e-9)
    assert found.high == pytest.approx(max(high, found.value), abs=1e-9)
    assert found.days == 9


@pytest.mark.parametrize("metric", METRICS)
def test_a_comparison_equals_the_plain_loop_with_the_same_days_for_both(metric):
    truth, probability, day = rows_with_day_effects(7, 700, seed=2)
    other = expit(0.5 * logit(probability) - 0.3)
    found = compare_models(truth, probability, other, day, metric, resamples=60, seed=3)
    worse = plain_loop(truth, probability, day, metric, 60, seed=3) - plain_loop(
        truth, other, day, metric, 60, seed=3
    )
    worse = -worse if metric == "auc" else worse
    assert [found.low, found.high] == pytest.approx(
        np.quantile(worse, levels(0.95, 7)).tolist(), abs=1e-9
    )


@pytest.mark.parametrize("metric", METRICS)
def test_the_worse_model_is_worse_by_a_positive_number_in_every_metric(metric):
    truth, probability, day = rows_with_day_effects(20, 4000, seed=3, effect=0.1)
    noisy = expit(logit(probability) + np.random.default_rng(0).normal(0, 2, 4000))
    worse = compare_models(truth, noisy, probability, day, metric, seed=1)
    assert 0 < worse.low <= worse.value <= worse.high


@st.composite
def judged_days(draw: st.DrawFn):
    """Truth with both classes, two models with ties, and days."""
    size = draw(st.integers(2, 30))
    level = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
    column = st.lists(level, min_size=size, max_size=size).map(np.array)
    truth = [1, 0, *draw(st.lists(st.integers(0, 1), min_size=size - 2, max_size=size - 2))]
    days = draw(st.lists(DAYS, min_size=size, max_size=size))
    return np.array(truth), draw(column), draw(column), np.array(days)


@settings(max_examples=50)
@given(made=judged_days(), metric=st.sampled_from(METRICS))
def test_a_model_is_no_better_and_no_worse_than_itself(made, metric):
    truth, probability, _, days = made
    same = compare_models(truth, probability, probability, days, metric, resamples=50, seed=1)
    assert same.value == 0
    if same.days > 1 and math.isfinite(same.low):
        assert (same.low, same.high) == (0, 0)


@settings(max_examples=50)
@given(made=judged_days(), metric=st.sampled_from(METRICS))
def test_when_models_change_places_then_the_interval_changes_sign(made, metric):
    truth, probability, other, days = made
    one = compare_models(truth, probability, other, days, metric, resamples=50, seed=1)
    two = compare_models(truth, other, probability, days, metric, resamples=50, seed=1)
    assert (one.value, one.low, one.high) == pytest.approx(
        (-two.value, -two.high, -two.low), abs=1e-12
    )


@settings(max_examples=50)
@given(made=judged_days(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_interval(made, seed):
    truth, probability, _, days = made
    order = np.random.default_rng(seed).permutation(len(truth))
    first = measure_intervals(truth, probability, days, resamples=50, seed=1)
    again = measure_intervals(truth[order], probability[order], days[order], resamples=50, seed=1)
    for metric in METRICS:
        assert vars(again[metric]) == pytest.approx(vars(first[metric]), abs=1e-9)


@settings(max_examples=50)
@given(made=judged_days(), metric=st.sampled_from(METRICS))
def test_an_interval_holds_its_value_and_grows_with_confidence(made, metric):
    truth, probability, _, days = made
    narrow = measure_intervals(truth, probability, days, confidence=0.8, resamples=50, seed=1)
    wide = measure_intervals(truth, probability, days, confidence=0.99, resamples=50, seed=1)
    inner, outer = narrow[metric], wide[metric]
    assert outer.low <= inner.low <= inner.value == outer.value <= inner.high <= outer.high


@pytest.mark.parametrize("kind", ["dates", "text", "datetime64"])
def test_days_may_be_anything_that_can_be_sorted(kind):
    truth, probability, day = rows_with_day_effects(8, 400, seed=4)
    begin = date(2013, 1, 7)
    dates = np.array([begin + timedelta(days=int(number)) for number in day])
    named = {"dates": dates, "text": dates.astype(str), "datetime64": dates.astype("M8[D]")}[kind]
    assert measure_intervals(truth, probability, named, seed=2) == measure_intervals(
        truth, probability, day, seed=2
    )


def test_the_seed_decides_alone():
    made = rows_with_day_effects(8, 400, seed=4)
    assert measure_intervals(*made, seed=2) == measure_intervals(*made, seed=2)
    assert measure_intervals(*made, seed=2) != measure_intervals(*made, seed=3)


def test_the_mean_over_equally_full_days_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=(12, 50)) + np.linspace(0, 3, 12)[:, None]
    day = np.repeat(np.arange(12), 50)
    found = measure_mean(values.ravel(), day, confidence=0.9, resamples=20_000, seed=1)
    level = levels(0.9, 12)
    peer = bootstrap(
        (values.mean(axis=1),),
        np.mean,
        method="percentile",
        confidence_level=level[1] - level[0],
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = peer.high - peer.low
    assert found.low == pytest.approx(peer.low, abs=0.03 * width)
    assert found.high == pytest.approx(peer.high, abs=0.03 * width)


@pytest.mark.parametrize("metric", ["brier", "auc"])
def test_resampled_days_cover_the_truth_where_resampled_rows_do_not(metric):
    def measure(seed, days):
        truth, probability, day = rows_with_day_effects(14, 1400, seed, effect=1.0)
        names = day if days == "day" else np.arange(1400)
        return measure_intervals(truth, probability, names, resamples=200, seed=seed)[metric]

    far = [rows_with_day_effects(2000, 40_000, seed=90 + part, effect=1.0) for part in range(3)]
    true = np.mean([measure_metrics(t, p)[metric] for t, p, _ in far])

    def coverage(days, runs):
        found = [measure(seed, days) for seed in range(runs)]
        return np.mean([interval.low <= true <= interval.high for interval in found])

    assert coverage("day", 200) == pytest.approx(0.95, abs=0.05)
    if metric == "brier":
        assert coverage("row", 30) < 0.75


def test_below_two_days_the_interval_has_no_ends():
    truth, probability, _ = rows_with_day_effects(1, 100, seed=1)
    day = np.zeros(100)
    found = measure_intervals(truth, probability, day, seed=1)["brier"]
    assert found == Interval(
        pytest.approx(np.mean((truth - probability) ** 2)), -math.inf, math.inf, 1
    )
    assert found.plain == {"value": found.value, "low": None, "high": None, "days": 1}
    again = compare_models(truth, probability, probability, day, "auc", seed=1)
    assert (again.low, again.high) == (-math.inf, math.inf)


def test_a_resample_of_one_class_is_left_out_of_the_interval_of_auc_alone():
    truth = np.array([1, 1, 0, 0, 0, 1])
    probability = np.array([0.9, 0.8, 0.1, 0.7, 0.2, 0.6])
    day = np.array([0, 0, 1, 1, 2, 2])
    found = measure_intervals(truth, probability, day, resamples=300, seed=1)
    loop = plain_loop(truth, probability, day, "auc", 300, seed=1)
    assert 200 < len(loop) < 300
    assert found["auc"].low == pytest.approx(np.quantile(loop, levels(0.95, 3)[0]))
    assert len(plain_loop(truth, probability, day, "brier", 300, seed=1)) == 300


def test_every_resample_holds_as_many_days_as_there_are():
    drawn = draw_multiplicities(14, 5000, seed=1)
    assert (drawn.sum(axis=1) == 14).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(14), abs=0.06)
    assert drawn.var(axis=0) == pytest.approx(np.full(14, 13 / 14), abs=0.1)


def test_rows_of_one_class_are_refused_with_their_number():
    ones = np.ones(5)
    with pytest.raises(TrainingError, match="5 of 5 rows are positive"):
        measure_intervals(ones, ones, np.arange(5), seed=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"confidence": 1.0}, "confidence must lie between 0 and 1, got 1.0"),
        ({"resamples": 0}, "0 resample"),
        ({"probability": np.ones(3)}, "for 4 rows"),
        ({"truth": [], "probability": [], "days": []}, "0 row"),
    ],
)
def test_impossible_arguments_are_refused(change, said):
    given_ = {"truth": [0, 1, 0, 1], "probability": [0.1, 0.5, 0.2, 0.4], "days": [1, 1, 2, 2]}
    with pytest.raises(ValueError, match=said):
        measure_intervals(**{**given_, "seed": 1, **change})


def test_an_unknown_metric_is_refused_with_a_hint():
    with pytest.raises(ValueError, match="did you mean 'brier'"):
        compare_models([0, 1], [0.1, 0.2], [0.1, 0.2], [1, 2], "bier", seed=1)
