"""What a share of the rows comes to without any drift: in the reference's worst stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.drift.sample import Days

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def compare_with_worst(marked: npt.NDArray[np.float64], days: Days) -> tuple[float, float]:
    """The share of marked rows now, and in the worst stretch of the reference as long as that,
    such as its stormiest week; the worst day of each is left out, of today's as well.

    ``marked`` has a number of rows for each day.
    """
    import numpy as np

    reference, current = slice(0, days.reference), slice(days.reference, None)
    worst = max(
        _usual(marked[reference][stretch], days.rows[reference][stretch])
        for stretch in (days.stretches == number for number in np.unique(days.stretches))
    )
    return _usual(marked[current], days.rows[current]), worst


def rank_days(marked: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """The days ranked by their share of marked rows (Wilcoxon, 1945, days as the units): one
    strange day of long ago must not hide a rise of today."""
    import polars as pl

    return pl.Series(marked / rows).rank("average").to_numpy()


def _usual(marked: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> float:
    """The share on all days but the worst; of one day, its share."""
    if len(rows) > 1:
        kept = (marked / rows).argsort()[:-1]
        marked, rows = marked[kept], rows[kept]
    return float(marked.sum() / rows.sum())
