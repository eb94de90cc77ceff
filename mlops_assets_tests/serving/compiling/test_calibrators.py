"""From scores to probabilities, as scikit-learn's own calibrators do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mlops_assets.serving.compiling.calibrators import compile_calibrator
from mlops_assets.serving.compiling.columns import NotCompiledError

RANDOM = np.random.default_rng(6)
SCORES = RANDOM.normal(size=500)
TRUTH = RANDOM.random(500) < 1 / (1 + np.exp(-2 * SCORES))
ODD = np.array([0.0, -0.0, 5e-324, 1e30, -1e30, 1e308, -1e308, *SCORES[:5]])


def calibrator_of(method: str):
    model = LogisticRegression().fit(SCORES.reshape(-1, 1), TRUTH)
    fitted = CalibratedClassifierCV(FrozenEstimator(model), method=method, cv=2)
    fitted.fit(SCORES.reshape(-1, 1), TRUTH)
    return fitted.calibrated_classifiers_[0].calibrators[0]


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_any_score_becomes_the_same_probability(method):
    calibrator = calibrator_of(method)
    correct = compile_calibrator(calibrator)
    for scores in (
        ODD,
        RANDOM.normal(size=1000) * 5,
        *(ODD[place : place + 1] for place in range(12)),
    ):
        np.testing.assert_array_equal(correct(scores), calibrator.predict(scores))


def test_scores_at_the_steps_of_an_isotonic_regression_and_beside_them():
    calibrator = calibrator_of("isotonic")
    steps = calibrator.X_thresholds_
    beside = np.concatenate([steps, np.nextafter(steps, -np.inf), np.nextafter(steps, np.inf)])
    np.testing.assert_array_equal(
        compile_calibrator(calibrator)(beside), calibrator.predict(beside)
    )


def test_an_isotonic_regression_of_one_step():
    flat = IsotonicRegression(out_of_bounds="clip").fit([1.0, 1.0], [0.0, 1.0])
    np.testing.assert_array_equal(compile_calibrator(flat)(ODD), flat.predict(ODD))


@pytest.mark.parametrize(
    ("calibrator", "reason"),
    [
        (calibrator_of("temperature"), "_TemperatureScaling"),
        (IsotonicRegression().fit([1.0, 2.0], [0.0, 1.0]), "does not clip"),
        (
            IsotonicRegression(out_of_bounds="clip").fit(
                np.array([1, 2], dtype=np.float32), np.array([0, 1], dtype=np.float32)
            ),
            "doubles",
        ),
    ],
)
def test_what_has_no_compiled_form_says_so(calibrator, reason):
    with pytest.raises(NotCompiledError, match=reason):
        compile_calibrator(calibrator)
