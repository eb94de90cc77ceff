"""What labels that arrive later say about predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PREDICTION = "probability"
"""The column of predictions that holds the answered probability."""


@dataclass(frozen=True)
class PerformanceReport:
    """What labels say about logged predictions. ``metrics`` is empty while one class is missing."""

    predictions: int
    labelled: int
    positive_rate: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


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
    return PerformanceReport(predictions.height, labelled.height, rate, metrics)
