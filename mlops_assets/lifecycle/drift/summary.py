"""One side of a column in a few numbers."""

from __future__ import annotations

from mlops_assets.lifecycle.drift.report import ColumnSummary
from mlops_assets.lifecycle.drift.sample import Column, Days
from mlops_assets.lifecycle.drift.tails import find_ends


def summarise(column: Column, days: Days) -> tuple[ColumnSummary, ColumnSummary]:
    """The reference's summary and the current one."""
    return _side(column, days, 0, days.reference), _side(
        column, days, days.reference, len(days.rows)
    )


def _side(column: Column, days: Days, first: int, end: int) -> ColumnSummary:
    import numpy as np

    missing = float(column.missing[first:end].sum() / days.rows[first:end].sum())
    known = column.values[(column.day >= first) & (column.day < end)]
    if not column.numeric or not known.size:
        return ColumnSummary(missing)
    quantiles = np.quantile(known, np.arange(5, 100, 5) / 100).tolist()
    return ColumnSummary(missing, tuple(quantiles), *find_ends(known))
