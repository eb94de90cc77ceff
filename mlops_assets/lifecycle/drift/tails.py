"""Numbers far outside the range of the reference."""

from __future__ import annotations

from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.drift.sample import Column, Days

_DAYS = 2
_FAR = 3.5
"""Distance from the middle of the range, in ranges: three beyond its end."""

_ROUNDING = 1e-9


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
    if not before.size or np.ptp(before) == 0:
        return None
    lowest, highest = float(before.min()), float(before.max())
    outside = is_now & (abs(column.values - (lowest + highest) / 2) > _FAR * (highest - lowest))
    now, on = float(outside.sum()) / days.current_rows, np.unique(column.day[outside])
    if now < policy.tail - _ROUNDING or len(on) < _DAYS:
        return None
    if p_value(days.dealt[:, on].min(axis=1)) > policy.false_discovery_rate:
        return None
    far = column.values[outside]
    said = (
        f"{now:.1%} of the rows hold {far.min():g} to {far.max():g}, far outside "
        f"{lowest:g} to {highest:g}, the range of the reference"
    )
    return Finding("range", 0.0, now, said)
