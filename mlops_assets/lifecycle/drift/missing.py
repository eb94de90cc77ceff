"""Whether a column is missing more often than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.examined import Suspicion
from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.drift.sample import Column, Days
from mlops_assets.lifecycle.drift.stretches import compare_with_worst, rank_days

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ROUNDING = 1e-9


def suspect_missing(
    column: Column, thinned: npt.NDArray[np.float64], days: Days, policy: DriftPolicy
) -> Suspicion | None:
    """None when nothing is missing on either side."""
    if not column.missing.any():
        return None
    ranks = rank_days(thinned[:, -1], thinned.sum(axis=1))
    return Suspicion(p_value(days.dealt @ ranks), _describe(column, days, policy))


def _describe(column: Column, days: Days, policy: DriftPolicy) -> Finding | None:
    """A rise beyond the worst stretch of the reference."""
    gone, rows = column.missing, days.rows
    usual, worst = compare_with_worst(gone, days)
    if usual - worst < policy.missing - _ROUNDING:
        return None
    before = float(gone[: days.reference].sum() / rows[: days.reference].sum())
    now = float(gone[days.reference :].sum()) / days.current_rows
    said = (
        f"missing in {now:.1%} of the rows, {before:.1%} in the reference and {worst:.1%} in its "
        "worst stretch of the same length without its worst day"
    )
    return Finding("missing", before, now, said)
