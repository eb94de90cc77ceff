"""From the score of a classifier to a calibrated probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from mlops_assets.serving.compiling.columns import Matrix, NotCompiledError


def compile_calibrator(calibrator: Any) -> Callable[[Matrix], Matrix]:
    """Platt's sigmoid (1 / (1 + exp(a score + b))) or an isotonic regression, as fitted.

    Raises ``NotCompiledError`` for any other calibration.
    """
    if type(calibrator) is IsotonicRegression:
        return _compile_isotonic(calibrator)
    if type(calibrator).__name__ != "_SigmoidCalibration":
        raise NotCompiledError(f"calibration by {type(calibrator).__name__} is not compiled")
    slope, offset = calibrator.a_, calibrator.b_

    def sigmoid(score: Matrix) -> Matrix:
        answer: Matrix = expit(-(slope * score + offset))
        return answer

    return sigmoid


def _compile_isotonic(regression: Any) -> Callable[[Matrix], Matrix]:
    knots, values = regression.X_thresholds_, regression.y_thresholds_
    if regression.out_of_bounds != "clip" or {knots.dtype, values.dtype} != {np.dtype(np.float64)}:
        raise NotCompiledError("IsotonicRegression that does not clip doubles is not compiled")
    low, high = regression.X_min_, regression.X_max_

    def isotonic(score: Matrix) -> Matrix:
        answer: Matrix = np.interp(np.clip(score, low, high), knots, values)
        return answer

    return isotonic
