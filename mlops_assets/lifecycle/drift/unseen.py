"""Values that the reference never has: new levels, or a number that recurs, such as -1 or 0.

Rare values are new now and then without any drift. They are few, and seldom on several days; so a
new value counts by its rows and, far more, by its days, and the same days dealt anew tell how much
of that is usual for this column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.examined import Suspicion
from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.drift.sample import Column, Days, say_number

if TYPE_CHECKING:
    import polars as pl

_VALUES = 200
"""How many values are followed: those that would count most, wherever they lie."""

_NAMED = 3
_GAPS = 5
_OF_RANGE = 0.01
_ROUNDING = 1e-9


def suspect_unseen(column: Column, days: Days, policy: DriftPolicy) -> Suspicion | None:
    """None when no value could be new on several days, however the days are dealt."""
    import numpy as np
    import polars as pl

    held = _held(column, days)
    weight = (pl.col("rows") * (pl.col("days") - 1).cast(pl.Float64) ** 4).alias("weight")
    followed = (
        held.filter(pl.col("days").is_between(2, days.current))
        .with_columns(weight)
        .sort("weight", "value", descending=True)
        .head(_VALUES)
    )
    if followed.is_empty():
        return None
    present = np.zeros((len(days.rows), followed.height))
    number, size = followed["days"].to_numpy(), np.arange(followed.height)
    present[followed["on"].explode().to_numpy(), np.repeat(size, number)] = 1
    only_there = (days.dealt @ present) == number
    found = p_value(only_there @ followed["weight"].to_numpy())
    if column.numeric:
        return Suspicion(found, _number(held, days, policy))
    return Suspicion(found, _levels(held, column.levels, days, policy))


def _held(column: Column, days: Days) -> pl.DataFrame:
    """Each value: its rows and days, on which days, and of the reference alone its rows, its days
    and, where they all lie in one stretch, which one."""
    import numpy as np
    import polars as pl

    stretch = np.append(days.stretches, np.full(days.current, -1))
    before = pl.col("day") < days.reference
    known = pl.col("stretch").filter(before)
    return (
        pl.DataFrame({"value": column.values, "day": column.day, "stretch": stretch[column.day]})
        .group_by("value", "day", "stretch")
        .agg(rows=pl.len().cast(pl.Int64))
        .group_by("value")
        .agg(
            rows=pl.col("rows").sum(),
            days=pl.len().cast(pl.Int64),
            on=pl.col("day"),
            rows_before=pl.col("rows").filter(before).sum(),
            days_before=before.sum().cast(pl.Int64),
            most_before=pl.col("rows").filter(before).max(),
            stretch=pl.when(known.min() == known.max()).then(known.min()),
        )
    )


def _levels(
    held: pl.DataFrame, levels: Sequence[str], days: Days, policy: DriftPolicy
) -> Finding | None:
    """New levels, or one of them, in more rows than in any stretch of the reference, where a new
    level is one that the other stretches have not."""
    import polars as pl

    new = held.filter(pl.col("days_before") == 0).sort("rows", "value", descending=[True, False])
    if new.is_empty():
        return None
    worst, worst_one = _usually_new(held, days)
    now, now_one = (float(rows) / days.current_rows for rows in (new["rows"].sum(), new["rows"][0]))
    if max(now - worst, now_one - worst_one) < policy.unseen - _ROUNDING:
        return None
    named = ", ".join(f"'{levels[int(place)]}'" for place in new["value"].head(_NAMED))
    more = f" and {new.height - _NAMED} more" if new.height > _NAMED else ""
    said = (
        f"{named}{more} in {now:.1%} of the rows, never in the reference; new levels are in at "
        f"most {worst:.1%} of a stretch of it of the same length"
    )
    return Finding("unseen", worst, now, said)


def _usually_new(held: pl.DataFrame, days: Days) -> tuple[float, float]:
    """The largest share of new levels in a stretch of the reference, and that of one of them."""
    import numpy as np
    import polars as pl

    own = held.filter(pl.col("stretch").is_not_null())
    if not days.stretches.any() or own.is_empty():
        return 0.0, 0.0
    stretch, rows = own["stretch"].to_numpy(), own["rows_before"].to_numpy()
    size = np.bincount(days.stretches, days.rows[: days.reference])
    # Values come in any order: sums of whole rows are the same in each, those of shares are not.
    together = np.bincount(stretch, rows, minlength=len(size)) / size
    return float(together.max()), float((rows / size[stretch]).max())


def _number(held: pl.DataFrame, days: Days, policy: DriftPolicy) -> Finding | None:
    """The most frequent number that is new on several days and does not lie among others, as the
    degrees of a warm week do."""
    import polars as pl

    new = held.filter((pl.col("days_before") == 0) & (pl.col("days") > 1))
    if new.is_empty() or held["days_before"].max() == 0:
        return None
    top = new.sort("rows", "value", descending=[True, False]).row(0, named=True)
    value, now = float(top["value"]), top["rows"] / days.current_rows
    if now < policy.unseen - _ROUNDING:
        return None
    frequent = now > _most_frequent(held, days)
    if not (frequent or _stands_alone(value, held) or _is_no_amount(value, held)):
        return None
    said = f"{say_number(value)} in {now:.1%} of the rows, never in the reference"
    return Finding("unseen", 0.0, now, said)


def _most_frequent(held: pl.DataFrame, days: Days) -> float:
    """The largest share of the rows of a day that any number had in the reference."""
    most: float = held["most_before"].max() or 0.0  # type: ignore[assignment]
    return most * days.reference / float(days.rows[: days.reference].sum())


def _stands_alone(value: float, held: pl.DataFrame) -> bool:
    """Whether no other value is near, as -1 and 999 mostly have none: the gap is many times that
    between two values of the reference, and not small beside its range."""
    import numpy as np
    import polars as pl

    before = np.sort(held.filter(pl.col("days_before") > 0)["value"].to_numpy())
    others = held.filter(pl.col("value") != value)["value"].to_numpy()
    gap = float(abs(others - value).min())
    usual = float(np.median(np.diff(before))) if len(before) > 1 else 0.0
    return gap > max(_GAPS * usual, _OF_RANGE * float(np.ptp(before)))


def _is_no_amount(value: float, held: pl.DataFrame) -> bool:
    """Whether this is the one number that is not above zero: a word for unknown, and no frost."""
    return value <= 0 and held.filter(held["value"] <= 0).height == 1
