"""Who answers an estimator's rows, and what is said when nothing was compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.training import Feature, predict_probability, to_model_frame
from mlops_assets.serving.compiling import build_predictor, classifiers
from mlops_assets.serving.compiling.columns import UndecidedError

NOT_COMPILED = {
    "forest": "RandomForestClassifier is not compiled",
    "extra_trees": "ExtraTreesClassifier is not compiled",
    "voting": "RandomForestClassifier is not compiled",
    "stacking": "RandomForestClassifier is not compiled",
    "calibrated_sigmoid": "RandomForestClassifier is not compiled",
    "calibrated_voting": "RandomForestClassifier is not compiled",
}


@pytest.fixture(scope="module")
def fitted(kinds) -> dict[str, Any]:
    return kinds.fit_kinds()


@pytest.mark.parametrize("height", [1, 2, 100, 1000])
def test_every_kind_of_model_answers_as_scikit_learn_and_says_who_answers(
    kinds, fitted, columns_of, height
):
    rows = kinds.make_rows(height, 5).drop("late")
    for name, model in fitted.items():
        predictor = build_predictor(model, kinds.FEATURES)
        assert predictor.reason == NOT_COMPILED.get(name)
        assert predictor.kind == ("scikit-learn" if name in NOT_COMPILED else "compiled")
        wanted = predict_probability(model, rows, kinds.FEATURES).tolist()
        assert predictor.predict(columns_of(rows), height) == wanted


def test_a_model_read_from_its_files_is_compiled_to_the_same_doubles(
    kinds, fitted, columns_of, tmp_path
):
    rows = kinds.make_rows(200, 5).drop("late")
    for name in ("logistic", "spline", "boosting", "calibrated_isotonic"):
        files = FolderModelFiles(tmp_path)
        digest = files.save(fitted[name], kinds.signature(name))
        model, signature = files.load(digest)
        predictor = build_predictor(model, signature.features)
        assert predictor.kind == "compiled"
        wanted = predict_probability(fitted[name], rows, kinds.FEATURES).tolist()
        assert predictor.predict(columns_of(rows), 200) == wanted


def plant(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """A compiler of trees whose answers are changed."""
    right = classifiers.compile_boosting

    def wrong(*given: Any) -> Any:
        decide = right(*given)
        return lambda rows: change(rows, decide(rows))

    monkeypatch.setattr(classifiers, "compile_boosting", wrong)


@pytest.mark.parametrize(
    "change",
    [
        lambda _, score: score + 1e-6,
        lambda rows, score: np.where(np.isnan(rows.numbers).any(axis=1), score + 1e-6, score),
        lambda _, score: score + 1e-6 * (len(score) > 1),
        lambda _, score: score * np.nan,
    ],
    ids=["everywhere", "where_missing", "among_others", "no_number"],
)
def test_a_wrong_compiled_form_is_found_out_and_not_used(
    monkeypatch, kinds, fitted, columns_of, change
):
    plant(monkeypatch, change)
    predictor = build_predictor(fitted["boosting"], kinds.FEATURES)
    assert predictor.kind == "scikit-learn"
    assert "the compiled form is not used, as it answers" in str(predictor.reason)
    rows = kinds.make_rows(10, 5).drop("late")
    wanted = predict_probability(fitted["boosting"], rows, kinds.FEATURES).tolist()
    assert predictor.predict(columns_of(rows), 10) == wanted


def test_a_difference_in_the_last_bits_is_borne(monkeypatch, kinds, fitted):
    plant(monkeypatch, lambda _, score: score + 1e-13)
    assert build_predictor(fitted["boosting"], kinds.FEATURES).kind == "compiled"


def test_a_compiled_form_that_answers_what_scikit_learn_refuses_is_not_used(monkeypatch, kinds):
    rows = kinds.make_rows(200, 1).drop_nulls()
    numbers = kinds.FEATURES[:2]
    strict = make_pipeline(
        FunctionTransformer(validate=True), HistGradientBoostingClassifier(max_iter=3)
    ).fit(to_model_frame(rows, numbers), rows["late"].to_numpy())
    assert build_predictor(strict, numbers).kind == "compiled"
    monkeypatch.setattr("mlops_assets.serving.compiling.numbers.require_finite", lambda _: None)
    predictor = build_predictor(strict, numbers)
    assert predictor.kind == "scikit-learn"
    assert "which scikit-learn refuses" in str(predictor.reason)


def test_a_compiled_form_that_answers_nothing_is_not_used(monkeypatch, kinds, fitted):
    def refuse(*_: Any) -> Any:
        raise UndecidedError("never")

    plant(monkeypatch, refuse)
    predictor = build_predictor(fitted["boosting"], kinds.FEATURES)
    assert "it answers none of the check rows" in str(predictor.reason)


def test_whatever_goes_wrong_while_compiling_is_the_reason(monkeypatch, kinds, fitted):
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("three by none")

    monkeypatch.setattr(classifiers, "compile_boosting", fail)
    predictor = build_predictor(fitted["boosting"], kinds.FEATURES)
    assert predictor.kind == "scikit-learn"
    assert predictor.reason == "compiling Pipeline raised ZeroDivisionError: three by none"


class Anything:
    """No scikit-learn estimator, yet it answers."""

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), 0.5)


def test_what_is_no_estimator_of_scikit_learn_answers_itself():
    predictor = build_predictor(Anything(), [Feature("distance", "numeric")])
    assert predictor.reason == "Anything is not compiled"
    assert predictor.predict({"distance": [1.0, None]}, 2) == [0.5, 0.5]


def test_an_estimator_that_was_never_fitted_is_left_to_say_so_itself():
    features = [Feature("distance", "numeric")]
    predictor = build_predictor(LogisticRegression(), features)
    assert "AttributeError" in str(predictor.reason)
    with pytest.raises(ValueError, match="not fitted"):
        predictor.predict({"distance": [1.0]}, 1)
