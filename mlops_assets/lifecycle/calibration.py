"""Calibrating a fitted model on later rows, where that is shown to help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.left_out_days import predict_left_out_days, say_why_not_left_out
from mlops_assets.lifecycle.metrics import log_losses, measure_calibration_error
from mlops_assets.lifecycle.resampling import Interval, compare_models
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

CalibrationMethod = Literal["none", "sigmoid", "isotonic"]

_FOLDS = 2
_NAME = "calibration_helps"


@dataclass(frozen=True)
class CalibrationChoice:
    """A model, calibrated or as it was, and why.

    ``method_applied`` is ``none`` for the model as it was. ``losses`` (log loss in nats) and
    ``errors`` (expected calibration error): ``as_fitted``, and of the method on days it was not
    fitted on. ``gain``: how much lower that log loss is; None where nothing was compared.
    """

    model: Any
    method_applied: CalibrationMethod
    losses: Mapping[str, float]
    errors: Mapping[str, float]
    gain: Interval | None
    verdict: Verdict


def calibrate(
    model: Any,
    frame: pd.DataFrame,
    truth: npt.NDArray[Any],
    days: npt.NDArray[Any],
    method: CalibrationMethod,
    *,
    confidence: float = 0.9,
    seed: int,
) -> CalibrationChoice:
    """The model with its probabilities calibrated on later rows, if that lowers their log loss.

    ``sigmoid`` is Platt's scaling, ``isotonic`` a monotone step function. It is kept only where
    the two-sided interval of the gain, whole days left out and resampled, lies above 0.
    """
    import numpy as np

    truth = np.asarray(truth).astype(np.int64)
    probability = np.asarray(model.predict_proba(frame)[:, 1], dtype=float)
    losses = {"as_fitted": float(log_losses(truth, probability).mean())}
    errors = {"as_fitted": measure_calibration_error(truth, probability)}
    refused = (
        "no calibration is asked for"
        if method == "none"
        else say_why_not_left_out(truth, days, each_class=_FOLDS)
    )
    if refused:
        verdict = Verdict(_NAME, "inconclusive", refused)
        return CalibrationChoice(model, "none", losses, errors, None, verdict)
    scores = _scores(model, frame, probability)
    left_out = predict_left_out_days(truth, scores, days, _fit_on_scores(method))
    gain = compare_models(
        truth, probability, left_out, days, "log_loss", confidence=confidence, seed=seed
    )
    losses[method] = float(log_losses(truth, left_out).mean())
    errors[method] = measure_calibration_error(truth, left_out)
    verdict = _judge(method, losses, errors, gain, len(truth), confidence)
    if not verdict.passed:
        return CalibrationChoice(model, "none", losses, errors, gain, verdict)
    calibrated = _calibrator(model, method).fit(frame, truth)
    return CalibrationChoice(calibrated, method, losses, errors, gain, verdict)


def _calibrator(model: Any, method: CalibrationMethod) -> Any:
    """scikit-learn's own calibration around the model as it is.

    Folds do not matter, as a frozen model is not fitted in any; fewer ask for fewer rows.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    return CalibratedClassifierCV(FrozenEstimator(model), method=method, cv=_FOLDS)


def _scores(
    model: Any, frame: pd.DataFrame, probability: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """What scikit-learn calibrates, shape (rows, 1): the decision function where there is one."""
    import numpy as np

    decide = getattr(model, "decision_function", None)
    scores = probability if decide is None else np.asarray(decide(frame), dtype=float)
    return scores.reshape(-1, 1)


def _fit_on_scores(
    method: CalibrationMethod,
) -> Callable[
    [npt.NDArray[Any], npt.NDArray[Any]], Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]
]:
    """The same calibration of a model that hands its one input on: no day asks the model again."""

    def fit(
        scores: npt.NDArray[Any], truth: npt.NDArray[Any]
    ) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]]:
        calibrated = _calibrator(_hand_on(), method).fit(scores, truth)
        return lambda later: calibrated.predict_proba(later)[:, 1]

    return fit


def _hand_on() -> Any:
    """A fitted classifier whose decision function is its one input."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_, model.n_features_in_ = np.array([0, 1]), 1
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    return model


def _judge(
    method: CalibrationMethod,
    losses: Mapping[str, float],
    errors: Mapping[str, float],
    gain: Interval,
    rows: int,
    confidence: float,
) -> Verdict:
    said = (
        f"{method}: log loss {losses[method]:.4f} against {losses['as_fitted']:.4f} as fitted on "
        f"{rows:,} later rows of {gain.days} days, "
        f"{'worse' if gain.value < 0 else 'better'} by {abs(gain.value):.4f} "
        f"({confidence:.0%} interval of the gain {gain.low:.4f} to {gain.high:.4f}); "
        f"calibration error {errors[method]:.4f} against {errors['as_fitted']:.4f}"
    )
    outcome: Outcome = "inconclusive"
    if gain.low > 0:
        outcome = "passed"
    elif gain.high < 0:
        outcome = "failed"
    evidence = {"gain": gain.plain, "rows": rows, "confidence": confidence}
    return Verdict(_NAME, outcome, said, evidence)
