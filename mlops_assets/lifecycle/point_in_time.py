"""What was known when a prediction is made: rates over a window, the last row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PREDICTED_AT = "predicted_at"
"""The column of entities that says when each is predicted."""

KNOWN_AT = "known_at"
"""The column of history that says when each label became known."""


def rolling_rate(
    entities: pl.DataFrame,
    history: pl.DataFrame,
    *,
    label: str,
    by: Sequence[str],
    window: timedelta,
) -> pl.Series:
    """The share of positive labels per group (over all when ``by`` is empty) among those that
    became known in the ``window`` up to ``predicted_at``; null where none did. One value per
    entity, in order.

    Counts are differences of cumulative counts, so a value does not depend on how much more
    history is passed in, and nothing that became known later can touch it.
    """
    import polars as pl

    known = (
        history.filter(pl.col(label).is_not_null())
        .sort(KNOWN_AT)
        .select(
            *by,
            KNOWN_AT,
            _within(pl.col(label).cast(pl.Int64).cum_sum(), by).alias("__positives"),
            _within(pl.int_range(1, pl.len() + 1, dtype=pl.Int64), by).alias("__seen"),
        )
    )
    asked = entities.select(*by, __upto=PREDICTED_AT).with_row_index("__row").sort("__upto")
    begins = asked.with_columns(pl.col("__upto") - window)
    counts = [
        moments.sort("__upto")
        .join_asof(
            known,
            left_on="__upto",
            right_on=KNOWN_AT,
            by=list(by) or None,
            check_sortedness=False,
        )
        .sort("__row")
        .select(pl.col("__positives", "__seen").fill_null(0))
        for moments in (asked, begins)
    ]
    inside = counts[0] - counts[1]
    return inside.select(
        pl.when(pl.col("__seen") > 0).then(pl.col("__positives") / pl.col("__seen"))
    ).to_series()


def latest_known(
    entities: pl.DataFrame,
    table: pl.DataFrame,
    *,
    by: Sequence[str],
    time: str,
    tolerance: timedelta,
) -> pl.DataFrame:
    """Entities joined with the last row of ``table`` per group known by ``predicted_at``,
    not older than ``tolerance``; nulls where there is none. Rows keep their order.
    """
    return (
        entities.with_row_index("__row")
        .sort(PREDICTED_AT)
        .join_asof(
            table.sort(time),
            left_on=PREDICTED_AT,
            right_on=time,
            by=list(by) or None,
            tolerance=tolerance,
            check_sortedness=False,
        )
        .sort("__row")
        .drop("__row")
    )


def _within(value: pl.Expr, by: Sequence[str]) -> pl.Expr:
    return value.over(by) if by else value
