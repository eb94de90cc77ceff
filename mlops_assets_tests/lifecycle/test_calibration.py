"""Calibration: kept where it is shown to help, and exactly what was judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier

from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.calibration import calibrate
from mlops_assets.lifecycle.metrics import measure_metrics
from mlops_assets.lifecycle.training import ModelSignature

METHODS = ("sigmoid", "isotonic")


def rows(count, seed):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, 3)), columns=["x", "y", "z"])
    truth = (random.random(count) < expit(1.2 * frame["x"] - frame["y"] - 1)).astype(int)
    return frame, truth.to_numpy(), np.repeat(np.arange(7), count // 7 + 1)[:count]


@pytest.fixture(scope="module")
def later():
    return rows(3500, seed=2)


@pytest.fixture(scope="module")
def over_confident():
    """Leaves of five rows each: almost every probability is too near 0 or 1."""
    frame, truth, _ = rows(1500, seed=1)
    return DecisionTreeClassifier(min_samples_leaf=5, random_state=1).fit(frame, truth)


@pytest.fixture(scope="module")
def calibrated():
    """The very model the labels are drawn from, fitted on many rows."""
    frame, truth, _ = rows(60_000, seed=1)
    return LogisticRegression(C=np.inf).fit(frame, truth)


@pytest.mark.parametrize("method", METHODS)
def test_an_over_confident_model_is_calibrated(over_confident, later, method):
    choice = calibrate(over_confident, *later, method, seed=1)
    assert choice.method_applied == method
    assert choice.verdict.name == "calibration_helps"
    assert choice.verdict.passed
    assert choice.gain.low > 0
    assert choice.losses[method] < choice.losses["as_fitted"]
    assert choice.errors[method] < choice.errors["as_fitted"] / 2
    frame, truth, _ = rows(3500, seed=3)
    before = log_loss(truth, over_confident.predict_proba(frame))
    assert log_loss(truth, choice.model.predict_proba(frame)) < before - 0.05


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_model_stays_as_it_is(calibrated, later, method):
    choice = calibrate(calibrated, *later, method, seed=1)
    assert choice.model is calibrated
    assert choice.method_applied == "none"
    assert not choice.verdict.passed
    assert choice.gain.low <= 0
    assert set(choice.losses) == set(choice.errors) == {"as_fitted", method}


def test_a_calibrated_model_is_seldom_calibrated_again(calibrated):
    applied = [
        calibrate(calibrated, *rows(420, seed), "isotonic", seed=seed).method_applied
        for seed in range(100, 160)
    ]
    assert applied.count("isotonic") <= 6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["with a decision function", "without"])
def test_what_is_judged_is_scikit_learns_calibration_with_each_day_left_out(method, kind, later):
    early = rows(1000, seed=1)[:2]
    model = LogisticRegression() if kind != "without" else RandomForestClassifier(10, max_depth=4)
    model.set_params(random_state=1).fit(*early)
    frame, truth, days = later
    left_out = np.empty(len(truth))
    for day in range(7):
        inside = days == day
        peer = CalibratedClassifierCV(FrozenEstimator(model), method=method)
        peer.fit(frame[~inside], truth[~inside])
        left_out[inside] = peer.predict_proba(frame[inside])[:, 1]
    choice = calibrate(model, *later, method, seed=1)
    metrics = measure_metrics(truth, left_out)
    assert choice.losses[method] == pytest.approx(metrics["log_loss"], abs=1e-9)
    assert choice.errors[method] == pytest.approx(metrics["calibration_error"], abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_kept_is_scikit_learns_calibration_on_all_later_rows(over_confident, later, method):
    frame, truth, _ = later
    peer = CalibratedClassifierCV(FrozenEstimator(over_confident), method=method).fit(frame, truth)
    choice = calibrate(over_confident, *later, method, seed=1)
    assert np.abs(choice.model.predict_proba(frame) - peer.predict_proba(frame)).max() < 1e-12


def test_without_a_method_the_model_is_measured_only(over_confident, later):
    choice = calibrate(over_confident, *later, "none", seed=1)
    assert choice.model is over_confident
    assert (choice.method_applied, choice.gain) == ("none", None)
    assert set(choice.losses) == {"as_fitted"}
    assert choice.verdict.reason == "no calibration is asked for"


def test_one_day_is_too_few_to_calibrate(over_confident, later):
    frame, truth, _ = later
    choice = calibrate(over_confident, frame, truth, np.zeros(len(truth)), "sigmoid", seed=1)
    assert choice.model is over_confident
    assert "1 day of later rows" in choice.verdict.reason


def test_days_that_hold_all_positives_leave_too_few_to_calibrate(over_confident, later):
    frame, truth, _ = later
    some = np.concatenate([np.flatnonzero(truth == 1)[:3], np.flatnonzero(truth == 0)[:20]])
    days = np.repeat([0, 1], [3, 20])
    choice = calibrate(over_confident, frame.iloc[some], truth[some], days, "sigmoid", seed=1)
    assert "0 positive later rows" in choice.verdict.reason


def test_the_reason_says_losses_rows_days_interval_and_errors(over_confident, later):
    choice = calibrate(over_confident, *later, "sigmoid", seed=1)
    losses, errors, gain = choice.losses, choice.errors, choice.gain
    assert choice.verdict.reason == (
        f"sigmoid: log loss {losses['sigmoid']:.4f} against {losses['as_fitted']:.4f} as fitted on "
        f"3,500 later rows of 7 days, better by {gain.value:.4f} (90% interval of the gain "
        f"{gain.low:.4f} to {gain.high:.4f}); calibration error {errors['sigmoid']:.4f} against "
        f"{errors['as_fitted']:.4f}"
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrated_model_that_is_saved_and_loaded_answers_the_same(
    over_confident, later, method, tmp_path
):
    choice = calibrate(over_confident, *later, method, seed=1)
    files = FolderModelFiles(tmp_path)
    signature = ModelSignature("m", (), "id", "at", "late", "2013-01-07", "set", "tree")
    loaded, _ = files.load(files.save(choice.model, signature))
    assert (loaded.predict_proba(later[0]) == choice.model.predict_proba(later[0])).all()
