"""What labels that arrive later say about predictions, and what can be said before they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

PREDICTION = "probability"
"""The column of predictions that holds the answered probability."""

Maturity = Literal["estimated", "partial", "final"]
"""No label yet; some; all that will ever come."""


@dataclass(frozen=True)
class PerformanceReport:
    """What is known about logged predictions of one version in one partition.

    ``metrics`` are measured on the labelled rows, and empty while one class is missing.
    ``estimated`` has the same metrics as the model's own confidence would have them, on all rows
    (``accuracy``, ``brier`` and others), ``estimate_error`` by how much the estimate on the
    labelled rows lies above what was measured there. ``gap`` is the measured Brier score minus the
    estimated one on the labelled rows (``value``, ``low``, ``high``, ``days``; whole days
    resampled): above 0 the same rows mean something else than they did.
    """

    predictions: int
    labelled: int
    positive_rate: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    maturity: Maturity = "estimated"
    estimated: Mapping[str, float] = field(default_factory=dict)
    estimate_error: Mapping[str, float] = field(default_factory=dict)
    gap: Mapping[str, float | None] | None = None


def measure_performance(predictions: pl.DataFrame, label: str) -> PerformanceReport:
    """Metrics of predictions joined with labels; rows whose label is null have none yet, rows
    whose probability is null (requests that failed) never will.
    """
    from mlops_assets.lifecycle.evaluation import measure_metrics

    labelled = predictions.drop_nulls([label, PREDICTION])
    if labelled.is_empty():
        return PerformanceReport(predictions.height, 0, None)
    truth = labelled[label].cast(int).to_numpy()
    rate = float(truth.mean())
    both = 0 < rate < 1
    metrics = measure_metrics(truth, labelled[PREDICTION].to_numpy()) if both else {}
    maturity: Maturity = "final" if labelled.height == predictions.height else "partial"
    return PerformanceReport(predictions.height, labelled.height, rate, metrics, maturity)
