"""Importance: the feature that tells, reproducibly, in one prediction."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.lifecycle import importance as measured
from mlops_assets.lifecycle.importance import measure_importance
from mlops_assets.lifecycle.training import Feature, fit_estimator, predict_probability


class Echo:
    """A model whose probability is the feature ``p`` itself."""

    def predict_proba(self, frame):
        return np.column_stack([1 - frame["p"], frame["p"]])


class Counting:
    """Another model, which is asked in its place and counts the rows."""

    def __init__(self, model):
        self.model, self.asked = model, []

    def predict_proba(self, frame):
        self.asked.append(len(frame))
        return self.model.predict_proba(frame)


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


def test_shuffling_the_one_feature_leaves_chance():
    random = np.random.default_rng(1)
    probability = random.random(500)
    rows = pl.DataFrame({"p": probability, "late": random.random(500) < probability})
    importance = measure_importance(Echo(), rows, [Feature("p", "numeric")], "late", seed=7)
    auc = roc_auc_score(rows["late"].to_numpy(), probability)
    assert importance["p"] == pytest.approx(auc - 0.5, abs=0.1)


def test_importance_is_that_of_asking_for_each_feature_alone(fitted, make_rows, features):
    rows = make_rows(300, seed=4).sample(300, seed=7)
    late = rows["late"].to_numpy()
    base = roc_auc_score(late, predict_probability(fitted, rows, features))
    found = measure_importance(fitted, make_rows(300, seed=4), features, "late", seed=7)
    for feature in features:
        shuffled = rows.with_columns(rows[feature.name].shuffle(seed=7))
        auc = roc_auc_score(late, predict_probability(fitted, shuffled, features))
        assert found[feature.name] == pytest.approx(base - auc, abs=1e-12)


def test_importance_asks_the_model_once_about_a_sample_only(fitted, make_rows, features):
    rows, counting = make_rows(900, seed=4), Counting(fitted)
    once = measure_importance(counting, rows, features, "late", seed=7, sample=300)
    assert measure_importance(fitted, rows, features, "late", seed=7, sample=300) == once
    assert counting.asked == [300 * 4]


def test_more_copies_than_fit_at_once_are_asked_in_batches(
    fitted, make_rows, features, monkeypatch
):
    rows, counting = make_rows(300, seed=4), Counting(fitted)
    once = measure_importance(fitted, rows, features, "late", seed=7)
    monkeypatch.setattr(measured, "_ROWS_AT_ONCE", 900)
    assert measure_importance(counting, rows, features, "late", seed=7) == pytest.approx(once)
    assert counting.asked == [900, 300]


def test_importance_of_rows_of_one_class_is_unknown(fitted, make_rows, features):
    rows = make_rows(100).filter("late")
    assert measure_importance(fitted, rows, features, "late", seed=7) == {}


def test_importance_leaves_the_rows_as_they_were(fitted, make_rows, features):
    rows = make_rows(100)
    before = rows.clone()
    measure_importance(fitted, rows, features, "late", seed=7)
    assert rows.equals(before)
