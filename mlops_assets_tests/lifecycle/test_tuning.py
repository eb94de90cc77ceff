"""Tuning: what may be searched, and that a trial is judged on later rows than it is fitted on."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.splits import Fold
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets.lifecycle.tuning import (
    Dimension,
    Trial,
    TrialScorer,
    Tuning,
    TuningResult,
    conclude_study,
    require_finite,
    require_space,
    study_digest,
)

SPACE = {"classifier__C": Dimension(0.1, 1)}


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


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"timeout": 0.0}, "timeout must be above 0 seconds, got 0.0"),
        ({"timeout": -1.0}, "timeout must be above 0 seconds, got -1.0"),
        ({"timeout": math.nan}, "timeout must be above 0 seconds, got nan"),
    ],
)
def test_a_search_of_nothing_is_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        Tuning(SPACE, **stated)


def test_a_search_has_no_limit_one_worker_and_no_pruning_unless_told():
    tuning = Tuning(SPACE, trials=1)
    assert (tuning.timeout, tuning.workers, tuning.pruning) == (None, 1, False)


def test_an_empty_space_may_be_stated_but_not_searched():
    with pytest.raises(TrainingError, match="tuning delays: a search needs at least one parameter"):
        require_space("delays", Tuning())
    require_space("delays", Tuning(SPACE))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_refused_with_its_fold_and_parameters(value):
    with pytest.raises(TrainingError, match=rf"is {value} on fold 2 for \{{'depth': 3\}}"):
        require_finite("delays", value, {"depth": 3}, fold=1)
    require_finite("delays", 0.5, {"depth": 3}, fold=1)


def trial(number, *folds, pruned=False, seconds=1.0):
    value = None if pruned else sum(folds) / len(folds)
    return Trial(number, {"depth": number}, value, folds, seconds)


def test_a_trial_says_its_number_its_value_and_its_parameters():
    said = trial(3, 0.25, 0.5).describe(of=8)
    assert said == "trial 3 of 8: 0.37500 {'depth': 3}"


def test_a_pruned_trial_says_after_which_fold_and_at_what():
    said = trial(4, 0.5, 0.75, pruned=True).describe(of=10)
    assert said == "trial 4 of 10: pruned after fold 2 at 0.62500 {'depth': 4}"
    assert trial(4, 0.5, pruned=True).pruned
    assert not trial(4, 0.5).pruned


def test_trials_are_equal_whatever_time_they_took():
    assert trial(1, 0.5, seconds=1.0) == trial(1, 0.5, seconds=2.0)
    assert trial(1, 0.5) != trial(1, 0.6)


def test_the_best_trial_is_the_lowest_that_is_complete_and_the_first_of_equals():
    trials = [
        trial(1, 0.5, 0.7),
        trial(2, 0.1, pruned=True),
        trial(3, 0.25, 0.5),
        trial(4, 0.375, 0.375),
    ]
    result = conclude_study("delays", trials, {"depth": 1.0}, "time")
    assert result.parameters == {"depth": 3}
    assert result.value == trials[2].value
    assert result.values == (trials[0].value, trials[2].value, trials[3].value)
    assert result.trials == tuple(trials)
    assert (result.importance, result.stopped) == ({"depth": 1.0}, "time")


def test_a_study_whose_trials_were_all_pruned_has_no_result():
    with pytest.raises(TrainingError, match="none of 1 trial"):
        conclude_study("delays", [trial(1, 0.5, pruned=True)], {}, "trials")


def test_a_result_may_be_stated_by_its_trials_alone():
    result = TuningResult({"depth": 1}, 0.5, (trial(1, 0.5),))
    assert (result.importance, result.stopped, result.values) == ({}, "trials", (0.5,))


def key(tuning=Tuning(SPACE), data="data", code="code", estimator="build", **fixed):  # noqa: B008
    return study_digest(data, tuning, code, estimator=estimator, parameters=fixed)


@pytest.mark.parametrize(
    "other",
    [
        key(data="other"),
        key(code="other"),
        key(estimator="other"),
        key(depth=3),
        key(Tuning({"classifier__C": Dimension(0.1, 2)})),
        key(Tuning({"classifier__D": Dimension(0.1, 1)})),
        key(Tuning(SPACE, seed=8)),
        key(Tuning(SPACE, workers=2)),
        key(Tuning(SPACE, pruning=True)),
    ],
)
def test_whatever_a_trial_depends_on_makes_another_study(other):
    assert other != key()


@given(trials=st.integers(1, 500), timeout=st.none() | st.floats(0.1, 1e6))
def test_asking_for_more_trials_or_time_is_the_same_study(trials, timeout):
    assert key(Tuning(SPACE, trials=trials, timeout=timeout)) == key()


def test_the_order_of_parameters_makes_no_other_study():
    space = {"a": Dimension(0, 1), "b": Dimension(choices=("x", "y"))}
    turned = dict(reversed(space.items()))
    assert key(Tuning(space), a=1, b=2) == key(Tuning(turned), b=2, a=1)


@pytest.fixture(scope="module")
def parts(make_rows) -> tuple[Fold, ...]:
    """Two steps of a validation that walks forward."""
    first, second, third = make_rows(300), make_rows(200, seed=1), make_rows(150, seed=2)
    return Fold(first, second), Fold(first.vstack(second), third)


@pytest.fixture
def scorer(build_logistic, parts, features) -> TrialScorer:
    return TrialScorer(build_logistic, parts, features, "late", seed=7)


@pytest.fixture
def recorded(build_logistic):
    """A builder that keeps every estimator it built."""
    built = []

    def build(features, seed):
        built.append(build_logistic(features, seed))
        return built[-1]

    return build, built


@pytest.mark.parametrize("fold", [0, 1])
def test_a_trial_is_worth_its_log_loss_on_the_rows_of_the_fold(
    scorer, parts, features, recorded, fold
):
    build, built = recorded
    value = replace(scorer, build_estimator=build)({"classifier__C": 0.5}, fold)
    (model,) = built
    later = parts[fold].score
    probability = predict_probability(model, later, features)
    assert value == pytest.approx(log_loss(later["late"].to_numpy(), probability))
    assert model.get_params()["classifier__C"] == 0.5


def test_there_is_a_fold_for_each_part(scorer, parts):
    assert scorer.folds == 2
    assert replace(scorer, parts=parts[:1]).folds == 1


def test_a_fold_is_fitted_on_its_own_rows_alone(scorer, parts):
    asked = {"classifier__C": 0.5}
    first = replace(scorer, parts=parts[:1])(asked, 0)
    assert scorer(asked, 0) == first
    swapped = Fold(parts[1].fit, parts[0].score)
    assert replace(scorer, parts=(swapped,))(asked, 0) != first


def test_what_is_searched_overrides_what_is_fixed_and_the_rest_stays(scorer, recorded):
    build, built = recorded
    fixed = {"classifier__C": 9.0, "classifier__max_iter": 50}
    replace(scorer, build_estimator=build, fixed=fixed)({"classifier__C": 0.5}, 0)
    parameters = built[0].get_params()
    assert (parameters["classifier__C"], parameters["classifier__max_iter"]) == (0.5, 50)
    assert fixed["classifier__C"] == 9.0


def test_a_useful_model_is_worth_more_than_one_that_cannot_learn(scorer):
    learned, numb = scorer({"classifier__C": 1.0}, 0), scorer({"classifier__C": 1e-9}, 0)
    assert learned < numb
    assert numb == pytest.approx(math.log(2), abs=0.02)


def test_validation_rows_of_one_class_still_give_a_value(scorer, parts):
    one_class = Fold(parts[0].fit, parts[0].score.filter("late"))
    assert math.isfinite(replace(scorer, parts=(one_class,))({"classifier__C": 1.0}, 0))


def test_a_scorer_that_was_sent_elsewhere_says_the_same(scorer):
    # The builder is a closure of these tests; a real one is a function of an importable module.
    sent = pickle.loads(pickle.dumps(replace(scorer, build_estimator=None)))
    there = replace(sent, build_estimator=scorer.build_estimator)
    assert there({"classifier__C": 1.0}, 1) == scorer({"classifier__C": 1.0}, 1)
