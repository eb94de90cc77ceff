"""Numbers far from where nearly all are: so far that they speak for themselves, or far enough and
more often than they ever were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.examined import Suspicion
from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.drift.sample import Column, Days, say_number
from mlops_assets.lifecycle.drift.shape import thin
from mlops_assets.lifecycle.drift.stretches import compare_with_worst, rank_days

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_STRAY = 0.0005
"""At most this share of the values at either end may be strays."""

_DAYS = 2
_FAR = 3.5
"""Distance from the middle of the range, in ranges: three beyond its end."""

_OUTER = 0.02
"""The share of the rows at either end that says nothing about where nearly all are."""

NEARLY_ALL = 1 - 2 * _OUTER

_ROUNDING = 1e-9


def suspect_tails(column: Column, days: Days, policy: DriftPolicy) -> Suspicion | None:
    """Rows beyond where nearly all lie, by more than the width of that; None where there are none,
    or it has no width.

    Both sides together say where that is, so that days dealt anew are judged alike. Rare large
    values are the nature of some columns, as rain is: what counts is that there are more of them
    than in any stretch of the reference.
    """
    import numpy as np

    if not column.numeric or not column.values.size:
        return None
    low, high = np.quantile(column.values, [_OUTER, 1 - _OUTER])
    away = (column.values < low - (high - low)) | (column.values > high + (high - low))
    if low == high or not away.any():
        return None
    marked = np.bincount(column.day[away], minlength=len(days.rows)).astype(float)
    thinned = thin(np.column_stack([marked, days.rows - marked]), days, policy.seed)
    found = p_value(days.dealt @ rank_days(thinned[:, 0], thinned.sum(axis=1)))
    usual, worst = compare_with_worst(marked, days)
    if usual - worst < policy.tail - _ROUNDING:
        return Suspicion(found, None)
    now = float(marked[days.reference :].sum()) / days.current_rows
    far = column.values[away & (column.day >= days.reference)]
    said = (
        f"{now:.1%} of the rows hold {say_number(far.min())} to {say_number(far.max())}, far from "
        f"{say_number(low)} to {say_number(high)} where {NEARLY_ALL:.0%} lie; at most {worst:.1%} "
        "do in a stretch of the reference of the same length without its worst day"
    )
    return Suspicion(found, Finding("range", worst, now, said))


def find_range(column: Column, days: Days, policy: DriftPolicy) -> Finding | None:
    """Rows further outside the range of the reference than three times its width, on several days.

    A record is no news: of nine weeks one holds the highest value, and a season goes beyond the
    last. What is so far out speaks for itself, in a window too small for a test among many, too;
    days dealt anew only have to put it on the current side as seldom as the policy asks.
    """
    import numpy as np

    if not column.numeric:
        return None
    is_now = column.day >= days.reference
    before = column.values[~is_now]
    lowest, highest = find_ends(before) if before.size else (0.0, 0.0)
    if lowest == highest:
        return None
    away = _is_far(column.values, lowest, highest)
    outside = is_now & away
    now, on = float(outside.sum()) / days.current_rows, np.unique(column.day[outside])
    if now < policy.tail - _ROUNDING or len(on) < _DAYS:
        return None
    rows = np.bincount(column.day[away], minlength=len(days.rows))
    if p_value(days.dealt @ rows) > policy.false_discovery_rate:
        return None
    far = column.values[outside]
    said = (
        f"{now:.1%} of the rows hold {say_number(far.min())} to {say_number(far.max())}, far "
        f"outside {say_number(lowest)} to {say_number(highest)}, the range of the reference"
    )
    return Finding("range", 0.0, now, said)


def find_ends(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The lowest and the highest value, without a few that lie far beyond all others: one -999 of
    long ago must not hide the many of today."""
    import numpy as np

    few = int(_STRAY * len(values))
    inner = np.partition(values, (few, len(values) - 1 - few))
    low, high = inner[few], inner[len(values) - 1 - few]
    near = values if low == high else values[~_is_far(values, low, high)]
    return float(near.min()), float(near.max())


def _is_far(
    values: npt.NDArray[np.float64], lowest: float, highest: float
) -> npt.NDArray[np.bool_]:
    far: npt.NDArray[np.bool_] = abs(values - (lowest + highest) / 2) > _FAR * (highest - lowest)
    return far
