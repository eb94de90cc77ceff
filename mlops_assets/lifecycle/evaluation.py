"""Measuring a fitted model on rows later than any it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.training import Feature, predict_probability

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

METRICS = ("auc", "brier", "log_loss", "calibration_error")
"""What every evaluation measures. Higher is better for ``auc`` alone."""

HIGHER_IS_BETTER = frozenset({"auc"})
_CURVE_POINTS = 60


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics and the points of the plots, as plain values.

    ``roc``: false and true positive rates. ``calibration``: mean prediction and late share of
    ten equally full bins. ``slices``: per column, per value: rows, positives, auc, brier.
    ``importance``: loss of AUC when a feature is shuffled.
    """

    rows: int
    positive_rate: float
    metrics: Mapping[str, float]
    roc: Mapping[str, list[float]] = field(default_factory=dict)
    calibration: Mapping[str, list[float]] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)
    importance: Mapping[str, float] = field(default_factory=dict)


def measure_evaluation(
    model: Any,
    rows: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    *,
    slices: Sequence[str] = (),
    seed: int,
) -> EvaluationReport:
    """Everything a person or a gate wants to know about a model on ``rows``."""
    truth = rows[label].cast(int).to_numpy()
    probability = predict_probability(model, rows, features)
    return EvaluationReport(
        rows=rows.height,
        positive_rate=float(truth.mean()),
        metrics=measure_metrics(truth, probability),
        roc=_roc(truth, probability),
        calibration=_calibration(truth, probability),
        slices={name: _slice(rows, name, truth, probability) for name in slices},
        importance=measure_importance(model, rows, features, label, seed=seed),
    )


def measure_metrics(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]
) -> dict[str, float]:
    """AUC, Brier score, log loss and expected calibration error over ten equally full bins.

    Both classes have to be present.
    """
    import numpy as np
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    bins = _calibration(truth, probability)
    gaps = np.abs(np.array(bins["predicted"]) - np.array(bins["observed"]))
    return {
        "auc": float(roc_auc_score(truth, probability)),
        "brier": float(brier_score_loss(truth, probability)),
        "log_loss": float(log_loss(truth, probability)),
        "calibration_error": float(np.average(gaps, weights=bins["rows"])),
    }


def measure_importance(
    model: Any,
    rows: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    *,
    seed: int,
    sample: int = 2000,
) -> dict[str, float]:
    """How much AUC is lost when one feature's values are shuffled, on a sample of rows."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    few = rows.sample(min(sample, rows.height), seed=seed)
    truth = few[label].cast(int).to_numpy()
    if len(np.unique(truth)) < 2:
        return {}
    base = roc_auc_score(truth, predict_probability(model, few, features))
    losses = {}
    for feature in features:
        shuffled = few.with_columns(few[feature.name].shuffle(seed=seed))
        losses[feature.name] = float(
            base - roc_auc_score(truth, predict_probability(model, shuffled, features))
        )
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


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


def _calibration(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64]
) -> dict[str, list[float]]:
    import numpy as np

    bins = [
        part for part in np.array_split(np.argsort(probability, kind="stable"), 10) if len(part)
    ]
    return {
        "predicted": [float(probability[part].mean()) for part in bins],
        "observed": [float(truth[part].mean()) for part in bins],
        "rows": [float(len(part)) for part in bins],
    }


def _slice(
    rows: pl.DataFrame,
    column: str,
    truth: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float64],
) -> dict[str, dict[str, float | None]]:
    """Per value of a column; AUC is None where a slice holds one class only."""
    import numpy as np
    from sklearn.metrics import brier_score_loss, roc_auc_score

    values = rows[column].cast(str).fill_null("missing").to_numpy()
    measured: dict[str, dict[str, float | None]] = {}
    for value in sorted(set(values)):
        inside = values == value
        both = len(np.unique(truth[inside])) == 2
        measured[str(value)] = {
            "rows": float(inside.sum()),
            "positive_rate": float(truth[inside].mean()),
            "auc": float(roc_auc_score(truth[inside], probability[inside])) if both else None,
            "brier": float(brier_score_loss(truth[inside], probability[inside], labels=[0, 1])),
        }
    return measured
