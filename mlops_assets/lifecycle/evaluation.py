"""Measuring a fitted model on rows later than any it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.costs import CostPolicy, measure_costs
from mlops_assets.lifecycle.importance import measure_importance
from mlops_assets.lifecycle.metrics import (
    HIGHER_IS_BETTER,
    METRICS,
    measure_calibration,
    measure_metrics,
)
from mlops_assets.lifecycle.resampling import measure_intervals
from mlops_assets.lifecycle.slices import measure_slices
from mlops_assets.lifecycle.training import Feature, predict_probability

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

__all__ = [
    "HIGHER_IS_BETTER",
    "METRICS",
    "EvaluationReport",
    "measure_evaluation",
    "measure_importance",
    "measure_metrics",
    "predict_probability",
]

_CURVE_POINTS = 60


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics and the points of the plots, as plain values.

    ``roc``: false and true positive rates. ``calibration``: mean prediction and late share of
    ten equally full bins. ``slices``: per name, per value: rows, positive_rate, auc, brier and,
    with days, brier_low, brier_high, days. ``importance``: loss of AUC when a feature is shuffled.
    ``intervals``: per metric value, low, high (None below two days) and the number of days;
    ``confidence`` is theirs. ``costs``: see ``measure_costs``.
    """

    rows: int
    positive_rate: float
    metrics: Mapping[str, float]
    roc: Mapping[str, list[float]] = field(default_factory=dict)
    calibration: Mapping[str, list[float]] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    confidence: float = 0.95
    costs: Mapping[str, Any] = field(default_factory=dict)


def measure_evaluation(
    model: Any,
    rows: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    *,
    slices: Mapping[str, str] | None = None,
    days: npt.NDArray[Any] | None = None,
    costs: CostPolicy | None = None,
    probability: npt.NDArray[np.float64] | None = None,
    confidence: float = 0.95,
    seed: int,
) -> EvaluationReport:
    """Everything a person or a gate wants to know about a model on ``rows``.

    ``slices``: name to SQL expression over the columns of ``rows``. ``days``: the day of each row,
    for intervals; None measures none. ``probability``: what ``predict_probability`` says of these
    rows, where that was asked already. Both classes have to be present.
    """
    truth = rows[label].cast(int).to_numpy()
    if probability is None:
        probability = predict_probability(model, rows, features)
    cut = measure_slices(
        rows, slices or {}, truth, probability, days=days, confidence=confidence, seed=seed
    )
    policy = costs or CostPolicy()
    return EvaluationReport(
        rows=rows.height,
        positive_rate=float(truth.mean()),
        metrics=measure_metrics(truth, probability),
        roc=_roc(truth, probability),
        calibration=measure_calibration(truth, probability),
        slices=cut,
        importance=measure_importance(model, rows, features, label, seed=seed),
        intervals=_intervals(truth, probability, days, confidence, seed),
        confidence=confidence,
        costs=measure_costs(
            truth, probability, policy, days=days, confidence=confidence, seed=seed
        ),
    )


def _intervals(
    truth: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float64],
    days: npt.NDArray[Any] | None,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, float | None]]:
    if days is None:
        return {}
    found = measure_intervals(truth, probability, days, confidence=confidence, seed=seed)
    return {metric: interval.plain for metric, interval in found.items()}


def _roc(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]
) -> dict[str, list[float]]:
    import numpy as np
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(truth, probability)
    at = np.unique(np.linspace(0, len(false_positive) - 1, _CURVE_POINTS).astype(int))
    return {
        "false_positive_rate": false_positive[at].tolist(),
        "true_positive_rate": true_positive[at].tolist(),
    }
