"""Building ensembles: what was judged, of members that stay as they are, in files that load."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.ensembles import EnsemblePolicy, build_ensemble, choose, fit_blend
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import ModelSignature

STACKING = EnsemblePolicy("stacking")


@pytest.fixture(scope="module")
def fitted():
    """Three real models, the later rows they were not fitted on, and what happened there."""
    random = np.random.default_rng(8)
    frame = pd.DataFrame(random.normal(size=(1400, 3)), columns=["x", "y", "z"])
    truth = (random.random(1400) < expit(frame["x"] + frame["y"] * frame["z"] - 0.5)).astype(int)
    early, later = slice(0, 700), slice(700, None)
    models = {
        "logistic": LogisticRegression(),
        "forest": RandomForestClassifier(20, min_samples_leaf=10, random_state=1),
        "bayes": GaussianNB(),
    }
    for model in models.values():
        model.fit(frame[early], truth[early])
    return models, frame[later], truth[later].to_numpy()


def test_a_blend_answers_the_weighted_mean_of_its_members(fitted):
    models, frame, truth = fitted
    asked = {name: model.predict_proba(frame)[:, 1] for name, model in models.items()}
    weights = fit_blend(truth, asked) | {"bayes": 0.0}
    weights = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    blend = build_ensemble(models, weights, "blend", frame, truth)
    mean = sum(weights[name] * asked[name] for name in models)
    assert np.abs(blend.predict_proba(frame)[:, 1] - mean).max() < 1e-12
    assert [name for name, _ in blend.estimators] == ["logistic", "forest"]


def test_stacking_answers_the_regression_that_was_judged(fitted):
    models, frame, truth = fitted
    asked = {name: model.predict_proba(frame)[:, 1] for name, model in models.items()}
    choice = choose(truth, asked, np.arange(700) % 7, STACKING, seed=1)
    stacked = build_ensemble(models, choice.weights, "stacking", frame, truth)
    assert stacked.final_estimator_.coef_[0] == pytest.approx(list(choice.weights.values()))
    inputs = np.column_stack(list(asked.values()))
    expected = stacked.final_estimator_.intercept_ + inputs @ list(choice.weights.values())
    assert logit(stacked.predict_proba(frame)[:, 1]) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["blend", "stacking"])
def test_members_stay_as_they_were_fitted(fitted, method):
    models, frame, truth = fitted
    before = {name: model.predict_proba(frame) for name, model in models.items()}
    weights = dict.fromkeys(models, 1 / 3)
    build_ensemble(models, weights, method, frame.iloc[:60], truth[:60])
    for name, model in models.items():
        assert (model.predict_proba(frame) == before[name]).all()


@pytest.mark.parametrize("method", ["blend", "stacking"])
def test_an_ensemble_that_is_saved_and_loaded_answers_the_same(fitted, method, tmp_path):
    models, frame, truth = fitted
    ensemble = build_ensemble(models, dict.fromkeys(models, 1 / 3), method, frame, truth)
    files = FolderModelFiles(tmp_path)
    signature = ModelSignature("m", (), "id", "at", "late", "2013-01-07", "set", "ensemble")
    loaded, _ = files.load(files.save(ensemble, signature))
    assert (loaded.predict_proba(frame) == ensemble.predict_proba(frame)).all()


def test_weights_of_a_member_that_is_not_there_are_refused(fitted):
    models, frame, truth = fitted
    with pytest.raises(TrainingError, match="name boosting, fitted are logistic"):
        build_ensemble(models, {"boosting": 1.0}, "blend", frame, truth)
