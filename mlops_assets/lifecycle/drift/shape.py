"""How the known values of a column are spread, and how far that is from where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.permutation import p_value
from mlops_assets.lifecycle.drift.sample import Column, Days

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BINS = 40
_CATEGORIES = 30
_FINEST = 0.01
"""Gaps that chance moves by less are told no better: the noise of many rare levels is no reason to
miss what a common one does."""


def count_shape(column: Column, days: Days) -> npt.NDArray[np.float64]:
    """Rows per day and bin, and in the last column those that are missing.

    Bins are cut from both sides together: they must not know which day is on which.
    """
    import numpy as np

    if not column.values.size:
        return column.missing[:, None]
    index = _numeric_bins(column.values) if column.numeric else _category_bins(column.values)
    bins, count = int(index.max()) + 1, len(days.rows)
    known = np.bincount(column.day * bins + index, minlength=count * bins).reshape(count, bins)
    return np.column_stack([known.astype(float), column.missing])


def thin(counts: npt.NDArray[np.float64], days: Days, seed: int) -> npt.NDArray[np.float64]:
    """The counts as if no day had more rows than the fullest day of the thinner side.

    A day of few rows strays further from the rest than a day of many: left so, a thin current
    side would look like drift. Rows are taken away at random (hypergeometric).
    """
    import numpy as np

    cap = int(min(days.rows[: days.reference].max(), days.rows[days.reference :].max()))
    generator, thinned = np.random.default_rng(seed), counts.copy()
    for day in np.flatnonzero(counts.sum(axis=1) > cap):
        left = generator.multivariate_hypergeometric(counts[day].astype(np.int64), cap)
        thinned[day] = left
    return thinned


def measure_shape(
    counts: npt.NDArray[np.float64], thinned: npt.NDArray[np.float64], column: Column, days: Days
) -> tuple[float, float]:
    """Effect and p-value of the spread of the known values.

    The effect is the Kolmogorov distance over bins, or the total variation distance. Nothing
    known now is nothing to compare; all new where nothing was known is as far as can be.
    """
    import numpy as np

    known = counts[:, :-1].sum(axis=1)
    if not known[days.reference :].any():
        return 0.0, 1.0
    if not known[: days.reference].any():
        return 1.0, p_value(days.dealt @ (known / days.rows))
    (apart,) = _apart(_gaps(counts[:, :-1], days.dealt[:1]), column)
    effect = apart.max() if column.numeric else apart.sum() / 2
    statistics = _beyond_chance(_apart(_gaps(thinned[:, :-1], days.dealt), column))
    return float(effect), p_value(np.nan_to_num(statistics, nan=np.inf))


def _gaps(
    counts: npt.NDArray[np.float64], dealt: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Per dealing and bin: the share of the current days less that of the others."""
    import numpy as np

    inside = dealt @ counts
    others = counts.sum(axis=0) - inside
    with np.errstate(invalid="ignore"):
        gaps: npt.NDArray[np.float64] = inside / inside.sum(axis=1, keepdims=True)
        gaps -= others / others.sum(axis=1, keepdims=True)
    return gaps


def _apart(gaps: npt.NDArray[np.float64], column: Column) -> npt.NDArray[np.float64]:
    """Per dealing: how far apart the cumulative shares of numbers are, or those of each level."""
    import numpy as np

    apart: npt.NDArray[np.float64] = np.abs(np.cumsum(gaps, axis=1) if column.numeric else gaps)
    return apart


def _beyond_chance(apart: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Per dealing the largest gap, each in units of what dealing makes of it (Westfall and Young,
    1993). Days that differ move the middle of a column much and its width little, and one level
    much and another little: unscaled, the gaps that move anyway would drown those that do not.
    """
    import numpy as np

    usual = np.sqrt(np.nanmean(apart**2, axis=0))
    largest: npt.NDArray[np.float64] = (apart / np.hypot(usual, _FINEST)).max(axis=1)
    return largest


def _numeric_bins(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Equal shares in rising order; each edge is a bin of its own, so that moving away from a
    common value shows, upwards and downwards alike.
    """
    import numpy as np

    ordered = np.sort(values)
    edges = ordered[np.arange(1, _BINS) * len(ordered) // _BINS]
    edges = np.unique(np.concatenate([edges, np.nextafter(edges, -np.inf)]))
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def _category_bins(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The most frequent categories, the rest together."""
    import numpy as np

    places = values.astype(np.int64)
    counts = np.bincount(places)
    top = np.argsort(-counts, kind="stable")[:_CATEGORIES]
    bins = np.full(len(counts), len(top))
    bins[top] = np.arange(len(top))
    return bins[places].astype(np.int64)
