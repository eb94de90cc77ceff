"""Evaluation: metrics against scikit-learn and plain loops, importance, slices."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.lifecycle.evaluation import (
    HIGHER_IS_BETTER,
    METRICS,
    measure_evaluation,
    measure_importance,
    measure_metrics,
)
from mlops_assets.lifecycle.training import Feature, fit_estimator


class Echo:
    """A model whose probability is the feature ``p`` itself."""

    def predict_proba(self, frame):
        return np.column_stack([1 - frame["p"], frame["p"]])


ECHO = (Feature("p", "numeric"),)


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
    """Ten parts of rising probability, sizes differing by one at most, the larger ones first."""
    order = sorted(range(len(truth)), key=lambda index: probability[index])
    size, larger = divmod(len(order), 10)
    total, start = 0.0, 0
    for part in range(10):
        stop = start + size + (part < larger)
        inside, start = order[start:stop], stop
        total += abs(sum(probability[i] for i in inside) - sum(truth[i] for i in inside))
    return total / len(order)


@settings(deadline=None, max_examples=60)
@given(made=judged())
def test_each_metric_equals_its_textbook_definition(made):
    truth, probability = made
    metrics = measure_metrics(truth, probability)
    assert tuple(metrics) == METRICS
    assert metrics["auc"] == pytest.approx(rank_auc(truth, probability))
    assert metrics["brier"] == pytest.approx(np.mean((truth - probability) ** 2))
    inside = np.clip(probability, np.finfo(float).eps, 1 - np.finfo(float).eps)
    losses = -np.log(np.where(truth == 1, inside, 1 - inside))
    assert metrics["log_loss"] == pytest.approx(losses.mean(), rel=1e-6)
    assert metrics["calibration_error"] == pytest.approx(calibration_by_hand(truth, probability))


@settings(deadline=None, max_examples=40)
@given(made=judged())
def test_metrics_agree_with_scikit_learn(made):
    truth, probability = made
    metrics = measure_metrics(truth, probability)
    assert metrics["auc"] == pytest.approx(roc_auc_score(truth, probability))
    assert metrics["brier"] == pytest.approx(brier_score_loss(truth, probability))
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, probability))


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


@pytest.fixture(scope="module")
def echoed() -> pl.DataFrame:
    random = np.random.default_rng(1)
    probability = random.random(500)
    return pl.DataFrame(
        {
            "p": probability,
            "late": random.random(500) < probability,
            "origin": random.choice(["EWR", "JFK"], size=500),
        }
    )


@pytest.fixture(scope="module")
def echo_report(echoed):
    return measure_evaluation(Echo(), echoed, ECHO, "late", slices=["origin"], seed=7)


def test_a_report_counts_rows_and_positives(echoed, echo_report):
    assert echo_report.rows == 500
    assert echo_report.positive_rate == echoed["late"].mean()
    truth, probability = echoed["late"].cast(int).to_numpy(), echoed["p"].to_numpy()
    assert echo_report.metrics == measure_metrics(truth, probability)


def test_the_roc_curve_is_short_rises_from_corner_to_corner_and_spans_the_area(echo_report):
    x, y = echo_report.roc["false_positive_rate"], echo_report.roc["true_positive_rate"]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert x == sorted(x)
    assert y == sorted(y)
    assert len(x) == len(y) <= 60
    assert np.trapezoid(y, x) == pytest.approx(echo_report.metrics["auc"], abs=0.01)


def test_the_calibration_bins_are_equally_full_and_hold_every_row(echoed, echo_report):
    bins = echo_report.calibration
    assert bins["rows"] == [50.0] * 10
    assert bins["predicted"] == sorted(bins["predicted"])
    assert np.average(bins["observed"], weights=bins["rows"]) == pytest.approx(
        echo_report.positive_rate
    )
    lowest = echoed.sort("p").head(50)
    assert bins["observed"][0] == pytest.approx(lowest["late"].mean())


def test_fewer_rows_than_bins_leave_no_empty_bin():
    bins = measure_evaluation(
        Echo(), pl.DataFrame({"p": [0.2, 0.9, 0.4], "late": [0, 1, 1]}), ECHO, "late", seed=7
    ).calibration
    assert bins["rows"] == [1.0, 1.0, 1.0]
    assert bins["predicted"] == [0.2, 0.4, 0.9]


def test_slices_measure_their_own_rows_and_add_up(echoed, echo_report):
    slices = echo_report.slices["origin"]
    assert sum(measured["rows"] for measured in slices.values()) == 500
    for origin, rows in echoed.partition_by("origin", as_dict=True).items():
        measured = slices[origin[0]]
        late, probability = rows["late"].to_numpy(), rows["p"].to_numpy()
        assert measured["rows"] == rows.height
        assert measured["positive_rate"] == pytest.approx(late.mean())
        assert measured["auc"] == pytest.approx(roc_auc_score(late, probability))
        assert measured["brier"] == pytest.approx(brier_score_loss(late, probability))


@pytest.mark.parametrize("late", [True, False])
def test_a_slice_of_one_class_has_no_auc_but_the_rest(echoed, late):
    rows = echoed.with_columns(late=pl.when(pl.col("origin") == "EWR").then(late).otherwise("late"))
    measured = measure_evaluation(Echo(), rows, ECHO, "late", slices=["origin"], seed=7)
    one, other = measured.slices["origin"]["EWR"], measured.slices["origin"]["JFK"]
    assert one["auc"] is None
    probability = rows.filter(pl.col("origin") == "EWR")["p"].to_numpy()
    assert one["brier"] == pytest.approx(np.mean((late - probability) ** 2))
    assert other["auc"] is not None


def test_missing_values_and_numbers_are_slices_with_a_name(echoed):
    rows = echoed.with_columns(
        terminal=pl.when(pl.int_range(500) % 2 == 0).then(pl.int_range(500) % 3)
    )
    measured = measure_evaluation(Echo(), rows, ECHO, "late", slices=["terminal"], seed=7)
    assert list(measured.slices["terminal"]) == ["0", "1", "2", "missing"]
    assert measured.slices["terminal"]["missing"]["rows"] == 250


@pytest.fixture(scope="module")
def fitted(make_rows, features, build_logistic):
    return fit_estimator(build_logistic, make_rows(800), features, "late", parameters={}, seed=7)


def test_importance_finds_the_feature_that_tells_the_label(fitted, make_rows, features):
    importance = measure_importance(fitted, make_rows(600, seed=4), features, "late", seed=7)
    assert next(iter(importance)) == "signal"
    assert set(importance) == {"signal", "noise", "group"}
    assert importance["signal"] > 0.2
    assert abs(importance["noise"]) < 0.02
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_shuffling_the_one_feature_leaves_chance(echoed):
    importance = measure_importance(Echo(), echoed, ECHO, "late", seed=7)
    auc = roc_auc_score(echoed["late"].to_numpy(), echoed["p"].to_numpy())
    assert importance["p"] == pytest.approx(auc - 0.5, abs=0.1)


def test_importance_is_reproducible_and_looks_at_a_sample_only(fitted, make_rows, features):
    rows = make_rows(900, seed=4)
    asked: list[int] = []

    class Counting:
        def predict_proba(self, frame):
            asked.append(len(frame))
            return fitted.predict_proba(frame)

    once = measure_importance(Counting(), rows, features, "late", seed=7, sample=300)
    assert measure_importance(fitted, rows, features, "late", seed=7, sample=300) == once
    assert asked == [300] * 4


def test_importance_of_rows_of_one_class_is_unknown(fitted, make_rows, features):
    rows = make_rows(100).filter("late")
    assert measure_importance(fitted, rows, features, "late", seed=7) == {}


def test_importance_leaves_the_rows_as_they_were(fitted, make_rows, features):
    rows = make_rows(100)
    before = rows.clone()
    measure_importance(fitted, rows, features, "late", seed=7)
    assert rows.equals(before)
