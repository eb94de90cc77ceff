"""Measuring a model on parts of its rows, cut by expressions over their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.resampling import measure_mean

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

MISSING, OTHER = "missing", "other"
LARGEST_VALUES = 30
"""How many values of a slice are measured apart; rows of all others are one part."""

SliceMeasures = dict[str, dict[str, float | None]]
"""Per value: rows, positive_rate, auc, brier; with days also brier_low, brier_high, days."""


def cut_slices(rows: pl.DataFrame, slices: Mapping[str, str]) -> dict[str, npt.NDArray[Any]]:
    """Per slice the value of each row as text: one of the largest, ``other`` or ``missing``.

    ``slices``: name to SQL expression over the columns of ``rows``. Raises ``FeatureError`` naming
    the slice whose expression does not fit the rows.
    """
    return {name: _cut(_evaluate(rows, name, sql))[0] for name, sql in slices.items()}


def measure_slices(
    rows: pl.DataFrame,
    slices: Mapping[str, str],
    truth: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    *,
    days: npt.NDArray[Any] | None = None,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, SliceMeasures]:
    """Per slice, per value: metrics of its rows, and with ``days`` an interval of the Brier score.

    Values come in their own order, then ``other`` and ``missing``. AUC is None where one class is
    missing, an end of an interval where there is but one day. Raises ``FeatureError`` like
    ``cut_slices``.
    """
    import numpy as np

    day = None if days is None else np.unique(np.asarray(days), return_inverse=True)[1]
    measured: dict[str, SliceMeasures] = {}
    for name, sql in slices.items():
        values, order = _cut(_evaluate(rows, name, sql))
        parts = {value: np.flatnonzero(values == value) for value in order}
        measured[name] = {v: _measure(truth[at], probability[at]) for v, at in parts.items()}
        if day is not None:
            for value, at in parts.items():
                errors = (truth[at] - probability[at]) ** 2
                interval = measure_mean(errors, day[at], confidence=confidence, seed=seed).plain
                measured[name][value] |= {
                    "brier_low": interval["low"],
                    "brier_high": interval["high"],
                    "days": interval["days"],
                }
    return measured


def _cut(column: pl.Series) -> tuple[npt.NDArray[Any], list[str]]:
    """The value of each row as text, and the values that occur in their order."""
    import polars as pl

    text = column.cast(pl.String)
    counted = column.drop_nulls().value_counts(sort=True)
    kept = counted[column.name].head(LARGEST_VALUES).sort().cast(pl.String)
    cut = text.to_frame().select(
        pl.when(text.is_null())
        .then(pl.lit(MISSING))
        .when(text.is_in(kept.implode()))
        .then(text)
        .otherwise(pl.lit(OTHER))
    )
    values = cut.to_series()
    present = set(values.unique())
    order = dict.fromkeys([*kept, OTHER, MISSING])
    return values.to_numpy(), [value for value in order if value in present]


def _evaluate(rows: pl.DataFrame, name: str, expression: str) -> pl.Series:
    """The expression per row; numbers without a fraction are whole numbers, NaN is missing."""
    import polars as pl

    try:
        column = rows.with_columns(pl.sql_expr(expression).alias(name))[name]
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise FeatureError(
            f"evaluation: slice '{name}', expression '{expression}': {reason}; it may use "
            f"{', '.join(rows.columns)}"
        ) from error
    if column.dtype.is_float():
        column = column.fill_nan(None)
        known = column.drop_nulls()
        if known.is_finite().all() and (known == known.round()).all():
            return column.cast(pl.Int64)
    return column


def _measure(truth: npt.NDArray[Any], probability: npt.NDArray[Any]) -> dict[str, float | None]:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    both = 0 < truth.sum() < len(truth)
    return {
        "rows": float(len(truth)),
        "positive_rate": float(truth.mean()),
        "auc": float(roc_auc_score(truth, probability)) if both else None,
        "brier": float(np.mean((truth - probability) ** 2)),
    }
