"""Votes, stacks and calibrations of compiled classifiers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_assets.lifecycle.calibration import _calibrator
from mlops_assets.lifecycle.ensembles import build_ensemble
from mlops_assets.lifecycle.training import to_model_frame
from mlops_assets.serving.compiling.classifiers import compile_classifier
from mlops_assets.serving.compiling.columns import NotCompiledError, Seen, frame_columns

HEIGHTS = (1, 2, 33, 100)


@pytest.fixture(scope="module")
def ground(kinds) -> Any:
    """Fitted models, and the frame and the truth to combine them on."""
    kinds.rows = kinds.make_rows(400, 11)
    kinds.frame = to_model_frame(kinds.rows, kinds.FEATURES)
    kinds.truth = kinds.rows["late"].cast(int).to_numpy()
    kinds.models = cache(kinds.fit_kinds)
    return kinds


def members(ground: Any) -> dict[str, Any]:
    models = ground.models()
    return {name: models[name] for name in ("logistic", "boosting", "spline")}


def rows_of(ground: Any) -> Any:
    return ground.rows.drop("late")


@pytest.mark.parametrize(
    "weights", [None, [0.5, 0.3, 0.2], [1, 0, 3], [0.1, 0.2, 0.7], [1e-300, 1.0, 1e300]]
)
def test_a_vote_is_the_mean_that_scikit_learn_takes(ground, same, weights):
    frozen = [(name, FrozenEstimator(model)) for name, model in members(ground).items()]
    vote = VotingClassifier(frozen, voting="soft", weights=weights)
    same(vote.fit(ground.frame, ground.truth), ground.FEATURES, rows_of(ground), HEIGHTS)


def test_a_vote_without_one_of_its_members(ground, same):
    frozen = [(name, FrozenEstimator(model)) for name, model in members(ground).items()]
    vote = VotingClassifier(frozen, voting="soft", weights=[0.5, 0.3, 0.2])
    vote.set_params(boosting="drop").fit(ground.frame, ground.truth)
    same(vote, ground.FEATURES, rows_of(ground), HEIGHTS)


def test_a_vote_of_many_is_added_up_in_the_same_order(ground, same):
    models = list(members(ground).values())
    frozen = [(f"m{place}", FrozenEstimator(models[place % 3])) for place in range(11)]
    shares = np.random.default_rng(1).random(11).tolist()
    for weights in (shares, None):
        vote = VotingClassifier(frozen, voting="soft", weights=weights)
        same(vote.fit(ground.frame, ground.truth), ground.FEATURES, rows_of(ground), (1, 2))


@pytest.mark.parametrize("method", ["blend", "stacking"])
@pytest.mark.parametrize("calibration", [None, "sigmoid", "isotonic"])
def test_what_the_training_builds_is_compiled(ground, same, method, calibration):
    weights = {"logistic": 0.2, "boosting": 0.5, "spline": 0.3}
    model = build_ensemble(members(ground), weights, method, ground.frame, ground.truth)
    if calibration:
        model = _calibrator(model, calibration).fit(ground.frame, ground.truth)
    same(model, ground.FEATURES, rows_of(ground), HEIGHTS)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_a_stack_is_asked_by_its_method(ground, same, method):
    frozen = [(name, FrozenEstimator(model)) for name, model in members(ground).items()]
    stack = StackingClassifier(frozen, cv="prefit", stack_method=method)
    same(stack.fit(ground.frame, ground.truth), ground.FEATURES, rows_of(ground), HEIGHTS)


def test_boosting_may_have_the_last_word_of_a_stack(ground, same):
    frozen = [(name, FrozenEstimator(model)) for name, model in members(ground).items()]
    last = HistGradientBoostingClassifier(max_iter=5)
    stack = StackingClassifier(frozen, last, cv="prefit").fit(ground.frame, ground.truth)
    same(stack, ground.FEATURES, rows_of(ground), HEIGHTS)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("member", ["logistic", "boosting"])
def test_a_calibration_over_folds_is_the_mean_of_them(ground, same, method, member):
    unfitted = CalibratedClassifierCV(ground.models()[member], method=method, cv=3)
    fitted = unfitted.fit(ground.frame, ground.truth)
    assert len(fitted.calibrated_classifiers_) == 3
    same(fitted, ground.FEATURES, rows_of(ground), HEIGHTS)


def test_combinations_may_hold_combinations(ground, same):
    inner = build_ensemble(
        members(ground), dict.fromkeys(members(ground), 1.0), "blend", ground.frame, ground.truth
    )
    calibrated = _calibrator(inner, "isotonic").fit(ground.frame, ground.truth)
    outer = VotingClassifier(
        [("inner", FrozenEstimator(calibrated)), ("one", FrozenEstimator(inner))], voting="soft"
    ).fit(ground.frame, ground.truth)
    same(outer, ground.FEATURES, rows_of(ground), HEIGHTS)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda frozen: VotingClassifier(frozen, voting="hard"),
            "VotingClassifier with hard votes is not compiled",
        ),
        (
            lambda frozen: StackingClassifier(
                frozen, RandomForestClassifier(5), cv="prefit", stack_method="predict_proba"
            ),
            "RandomForestClassifier is not compiled",
        ),
        (
            lambda frozen: CalibratedClassifierCV(frozen[0][1], method="temperature"),
            "_TemperatureScaling is not compiled",
        ),
        (
            lambda frozen: StackingClassifier(frozen, cv="prefit", stack_method="predict"),
            "StackingClassifier over predict is not compiled",
        ),
    ],
)
def test_what_has_no_compiled_form_says_so(ground, build, reason):
    frozen = [(name, FrozenEstimator(model)) for name, model in members(ground).items()]
    model = build(frozen).fit(ground.frame, ground.truth)
    with pytest.raises(NotCompiledError, match=reason):
        compile_classifier(model, frame_columns(ground.FEATURES), Seen())


def test_a_stack_that_hands_its_input_on_is_not_compiled(ground):
    features = ground.FEATURES[:1]
    frame = ground.frame[["distance"]]
    one = LogisticRegression().fit(frame, ground.truth)
    stack = StackingClassifier([("one", FrozenEstimator(one))], cv="prefit", passthrough=True)
    with pytest.raises(NotCompiledError, match="passthrough"):
        compile_classifier(stack.fit(frame, ground.truth), frame_columns(features), Seen())


@pytest.mark.parametrize(
    "model", [LogisticRegression(), HistGradientBoostingClassifier(max_iter=2)]
)
def test_three_classes_are_not_compiled(ground, model):
    fitted = make_pipeline(model).fit(ground.frame[["distance"]], np.arange(400) % 3)
    with pytest.raises(NotCompiledError, match="of 3 classes is not compiled"):
        compile_classifier(fitted, frame_columns(ground.FEATURES[:1]), Seen())
