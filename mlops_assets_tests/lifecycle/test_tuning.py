"""Tuning: what may be searched, and that a trial is judged on later rows than it is fitted on."""

from __future__ import annotations

import math

import polars as pl
import pytest
from sklearn.metrics import log_loss

from mlops_assets.lifecycle.splits import Split
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets.lifecycle.tuning import Dimension, TrialScorer, Tuning


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "give either low and high, or choices"),
        ({"low": 1}, "give either low and high, or choices"),
        ({"high": 1}, "give either low and high, or choices"),
        ({"low": 1, "high": 2, "choices": (1, 2)}, "give either low and high, or choices"),
        ({"low": 2, "high": 2}, "low must be below high, got 2 and 2"),
        ({"low": 3, "high": 2}, "low must be below high, got 3 and 2"),
        ({"low": 0, "high": 2, "log": True}, "a log range must begin above 0, got 0"),
        ({"low": -1, "high": 2, "log": True}, "a log range must begin above 0, got -1"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        Dimension(**stated)


@pytest.mark.parametrize(
    "stated",
    [
        {"low": 0, "high": 1},
        {"low": -5, "high": 5, "int": True},
        {"low": 1e-6, "high": 1, "log": True},
        {"choices": ("a", 1.0, True)},
    ],
)
def test_a_range_or_a_choice_can_be_searched(stated):
    dimension = Dimension(**stated)
    assert {name: getattr(dimension, name) for name in stated} == stated


@pytest.mark.parametrize("stated", [{"low": 1, "choices": (1,)}, {"choices": ()}])
def test_half_a_range_beside_choices_and_an_empty_choice_are_refused(stated):
    with pytest.raises(ValueError, match="choices"):
        Dimension(**stated)


def test_a_search_needs_a_trial_and_a_parameter():
    space = {"classifier__C": Dimension(0.1, 1)}
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        Tuning(space, trials=0)
    with pytest.raises(ValueError, match="space must name at least one parameter"):
        Tuning({})
    assert Tuning(space, trials=1).trials == 1


@pytest.fixture(scope="module")
def split(make_rows) -> Split:
    tuning, validation, test = make_rows(300), make_rows(200, seed=1), make_rows(100, seed=2)
    return Split(pl.concat([tuning, validation]), tuning, validation, test)


@pytest.fixture
def recorded(build_logistic):
    """A builder that keeps every estimator it built."""
    built = []

    def build(features, seed):
        built.append(build_logistic(features, seed))
        return built[-1]

    return build, built


def test_a_trial_is_worth_its_log_loss_on_the_validation_rows(split, features, recorded):
    build, built = recorded
    value = TrialScorer(build, split, features, "late", seed=7)({"classifier__C": 0.5})
    (model,) = built
    probability = predict_probability(model, split.validation, features)
    assert value == pytest.approx(log_loss(split.validation["late"].to_numpy(), probability))
    assert model.get_params()["classifier__C"] == 0.5


def test_a_trial_sees_neither_the_rows_it_is_judged_on_nor_the_test_rows(
    split, features, build_logistic
):
    unseen = split.fit.clear()
    blind = Split(unseen, split.tuning, split.validation, unseen)
    asked = {"classifier__C": 0.5}
    seeing = TrialScorer(build_logistic, split, features, "late", seed=7)(asked)
    assert TrialScorer(build_logistic, blind, features, "late", seed=7)(asked) == seeing


def test_what_is_searched_overrides_what_is_fixed_and_the_rest_stays(split, features, recorded):
    build, built = recorded
    fixed = {"classifier__C": 9.0, "classifier__max_iter": 50}
    scorer = TrialScorer(build, split, features, "late", seed=7, fixed=fixed)
    scorer({"classifier__C": 0.5})
    parameters = built[0].get_params()
    assert (parameters["classifier__C"], parameters["classifier__max_iter"]) == (0.5, 50)
    assert fixed["classifier__C"] == 9.0


def test_a_useful_model_is_worth_more_than_one_that_cannot_learn(split, features, build_logistic):
    scorer = TrialScorer(build_logistic, split, features, "late", seed=7)
    learned, numb = scorer({"classifier__C": 1.0}), scorer({"classifier__C": 1e-9})
    assert learned < numb
    assert numb == pytest.approx(math.log(2), abs=0.02)


def test_validation_rows_of_one_class_still_give_a_value(split, features, build_logistic):
    late = split.validation.filter("late")
    one_class = Split(split.fit, split.tuning, late, split.test)
    scorer = TrialScorer(build_logistic, one_class, features, "late", seed=7)
    assert math.isfinite(scorer({"classifier__C": 1.0}))
