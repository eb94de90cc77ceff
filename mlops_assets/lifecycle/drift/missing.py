"""Whether a column is missing more often than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.examined import Suspicion
from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.drift.sample import Column, Days

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ROUNDING = 1e-9


def suspect_missing(
    column: Column, thinned: npt.NDArray[np.float64], days: Days, policy: DriftPolicy
) -> Suspicion | None:
    """None when nothing is missing on either side.

    The days are ranked by their share of missing rows (Wilcoxon, 1945, days as the units): one
    day of an outage long ago must not hide a rise of today.
    """
    import polars as pl

    if not column.missing.any():
        return None
    ranks = pl.Series(thinned[:, -1] / thinned.sum(axis=1)).rank("average").to_numpy()
    return Suspicion(p_value(days.dealt @ ranks), _describe(column, days, policy))


def _describe(column: Column, days: Days, policy: DriftPolicy) -> Finding | None:
    """A rise beyond the worst stretch of the reference, such as its stormiest week; the worst day
    of each is left out, of today's as well."""
    import numpy as np

    gone, rows = column.missing, days.rows
    reference, current = slice(0, days.reference), slice(days.reference, None)
    worst = max(
        _usual(gone[reference][stretch], rows[reference][stretch])
        for stretch in (days.stretches == number for number in np.unique(days.stretches))
    )
    if _usual(gone[current], rows[current]) - worst < policy.missing - _ROUNDING:
        return None
    before = float(gone[reference].sum() / rows[reference].sum())
    now = float(gone[current].sum()) / days.current_rows
    said = (
        f"missing in {now:.1%} of the rows, {before:.1%} in the reference and {worst:.1%} in its "
        "worst stretch of the same length without its worst day"
    )
    return Finding("missing", before, now, said)


def _usual(gone: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> float:
    """The share that is missing on all days but the worst; of one day, its share."""
    if len(rows) > 1:
        kept = (gone / rows).argsort()[:-1]
        gone, rows = gone[kept], rows[kept]
    return float(gone.sum() / rows.sum())
