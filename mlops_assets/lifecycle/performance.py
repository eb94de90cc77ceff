"""What labels that arrive later say about predictions, and what can be said before they do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.confidence import (
    ConfidenceMap,
    estimate_metrics,
    expected_squares,
    move_expected_squares,
)
from mlops_assets.lifecycle.resampling import Interval, measure_mean
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

PREDICTION = "probability"
"""The column of predictions that holds the answered probability."""

SETTLED = "settled"
"""The column that says whether all is known of a row's label that ever will be: a settled row
without a label never gets one (a cancelled flight), one that is not settled may still."""

DAY = "day"
"""The column of the day a row belongs to: what is resampled as a whole."""

Maturity = Literal["estimated", "partial", "final"]
"""No label yet; some; all that will ever come."""


@dataclass(frozen=True)
class PerformanceReport:
    """What is known about logged predictions of one version in one partition.

    ``metrics`` are measured on the labelled rows, without ``auc`` while one class is missing.
    ``estimated`` has the same metrics as the model's own confidence would have them, on all rows
    (``accuracy``, ``brier`` and others), ``estimate_error`` by how much the estimate on the
    labelled rows lies above what was measured there. ``gap`` is the measured Brier score minus the
    estimated one on the labelled rows (``value``, ``low``, ``high``, ``days``; whole days
    resampled, those the map was fitted on as well): above 0 the same rows mean something else than
    they did. ``pending``: rows whose label may still come. ``note`` says why there is no estimate.
    """

    predictions: int
    labelled: int
    positive_rate: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    maturity: Maturity = "estimated"
    estimated: Mapping[str, float] = field(default_factory=dict)
    estimate_error: Mapping[str, float] = field(default_factory=dict)
    gap: Mapping[str, float | None] | None = None
    pending: int = 0
    note: str = ""


def measure_performance(
    predictions: pl.DataFrame,
    label: str,
    *,
    confidence: ConfidenceMap | None = None,
    threshold: float = 0.5,
    note: str = "",
    seed: int = 0,
) -> PerformanceReport:
    """Metrics of predictions joined with labels, and the estimate where there is a ``confidence``.

    A row whose label is null has none yet, unless a column ``settled`` says it never will; one
    whose probability is null (a request that failed) never counts. ``threshold``: rows answered at
    least that are taken as positive. A column ``day`` is needed for the gap.
    """
    import polars as pl

    answered = predictions.drop_nulls(PREDICTION)
    labelled = answered.drop_nulls(label)
    open_rows = answered.filter(pl.col(label).is_null())
    if SETTLED in answered.columns:
        open_rows = open_rows.filter(~pl.col(SETTLED))
    truth = labelled[label].cast(int).to_numpy()
    probability = labelled[PREDICTION].to_numpy()
    metrics = _measure(truth, probability, threshold)
    estimated: dict[str, float] = {}
    gap = None
    if confidence is not None:
        estimated = estimate_metrics(confidence, answered[PREDICTION].to_numpy(), threshold)
        gap = _measure_gap(labelled, truth, probability, confidence, seed)
    return PerformanceReport(
        predictions=predictions.height,
        labelled=labelled.height,
        positive_rate=float(truth.mean()) if labelled.height else None,
        metrics=metrics,
        maturity=_mature(answered.height, labelled.height, open_rows.height),
        estimated=estimated,
        estimate_error=_compare(confidence, probability, threshold, metrics, truth),
        gap=gap.plain if gap else None,
        pending=open_rows.height,
        note=note if confidence is None else "",
    )


def judge_gap(report: PerformanceReport | None) -> Verdict:
    """Whether the answers were as good as their own confidence promised.

    Failed only where the whole interval of the gap lies above 0: the same rows mean something
    else than when the version was tested. Rows that are harder alone raise both sides alike.
    """
    name = "is_as_good_as_promised"
    if report is None:
        return Verdict(name, "inconclusive", "nobody got an answer")
    gap = report.gap
    if gap is None:
        why = report.note or f"none of {report.predictions:,} predictions has a label yet"
        return Verdict(name, "inconclusive", why)
    if gap["low"] is None:
        return Verdict(name, "inconclusive", "labels of one day say nothing about how days differ")
    worse = gap["low"] > 0
    said = (
        f"Brier score {gap['value']:+.4f} against what was promised on {report.labelled:,} "
        f"labelled rows of {gap['days']} days (95% interval {gap['low']:+.4f} to "
        f"{gap['high']:+.4f}); {report.maturity}, {report.pending:,} labels pending"
    )
    return Verdict(name, "failed" if worse else "passed", said, dict(gap))


def _measure(
    truth: npt.NDArray[np.int64], probability: npt.NDArray[np.float64], threshold: float
) -> dict[str, float]:
    from mlops_assets.lifecycle.metrics import measure_losses, measure_metrics

    if not len(truth):
        return {}
    measure = measure_metrics if 0 < truth.mean() < 1 else measure_losses
    right = (probability >= threshold) == (truth == 1)
    return {**measure(truth, probability), "accuracy": float(right.mean())}


def _mature(answered: int, labelled: int, pending: int) -> Maturity:
    if answered and not pending:
        return "final"
    return "partial" if labelled else "estimated"


def _compare(
    confidence: ConfidenceMap | None,
    probability: npt.NDArray[np.float64],
    threshold: float,
    metrics: Mapping[str, float],
    truth: npt.NDArray[np.int64],
) -> dict[str, float]:
    """The estimate on the labelled rows minus what was measured there."""
    if confidence is None or not metrics:
        return {}
    measured = {**metrics, "positive_rate": float(truth.mean())}
    expected = estimate_metrics(confidence, probability, threshold)
    return {name: value - measured[name] for name, value in expected.items() if name in measured}


def _measure_gap(
    labelled: pl.DataFrame,
    truth: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float64],
    confidence: ConfidenceMap,
    seed: int,
) -> Interval | None:
    """The squared errors above those to expect, with what is unsure about both.

    The rows of the partition and those the map was fitted on are independent, so the squared
    distances to either end add up (Zou and Donner, "Construction of confidence limits about
    effect measures", Statistics in Medicine 27, 2008, equation 3).
    """
    import numpy as np

    if labelled.is_empty() or DAY not in labelled.columns:
        return None
    above = (truth - probability) ** 2 - expected_squares(confidence, probability)
    here = measure_mean(above, labelled[DAY].to_numpy(), seed=seed)
    moves = move_expected_squares(confidence, probability)
    if not len(moves):
        return here
    then = measure_mean(moves * len(moves), np.arange(len(moves)), seed=seed + 1)
    below = math.hypot(here.value - here.low, then.high - then.value)
    beyond = math.hypot(here.high - here.value, then.value - then.low)
    return Interval(here.value, here.value - below, here.value + beyond, here.days)
