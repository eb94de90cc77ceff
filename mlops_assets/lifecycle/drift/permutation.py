"""Whole days, dealt anew between reference and current.

Rows within a day depend on each other (the same weather, the same delays rolling on), so a test
that takes them as independent alarms every week. Whole days keep what is within them. The test is
exact when any day could as well have been any other; a day that is strange on its own is, to it,
one strange day among all, so that nothing is flagged for a single day.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_TIE = 1e-12
_MIX = 0.02


def deal_days(
    reference: Sequence[date], current: Sequence[date], permutations: int, seed: int
) -> npt.NDArray[np.float64]:
    """Which days are current, 1 or 0, in a row per dealing: the first row is how they are.

    The columns are the days of the reference, then those of the current side. Where the two sides
    hold other shares of weekdays, such as half a week, a day changes places with days of its own
    weekday only, if that leaves enough ways.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    is_current = np.arange(len(reference) + len(current)) >= len(reference)
    dealt = np.zeros((permutations + 1, len(is_current)))
    dealt[0] = is_current
    for block in _blocks(reference, current, permutations):
        order = generator.random((permutations, len(block))).argsort(axis=1)
        chosen = np.asarray(block)[order[:, : int(is_current[block].sum())]]
        np.put_along_axis(dealt[1:], chosen, 1.0, axis=1)
    return dealt


def p_value(statistics: npt.NDArray[np.float64]) -> float:
    """The share of dealings at least as extreme as the first (Phipson and Smyth, 2010).

    Infinite ones, which left a side without values, are as extreme as each other.
    """
    first = float(statistics[0])
    least = first if math.isinf(first) else first - _TIE * max(1.0, abs(first))
    return (int((statistics[1:] >= least).sum()) + 1) / len(statistics)


def _blocks(reference: Sequence[date], current: Sequence[date], ways: int) -> list[list[int]]:
    """Days that may change places with each other."""
    weekdays = [day.weekday() for day in (*reference, *current)]
    size, taken = Counter(weekdays), Counter(day.weekday() for day in current)
    uneven = sum(
        abs(taken[w] / len(current) - (size[w] - taken[w]) / len(reference)) / 2 for w in size
    )
    if uneven <= _MIX or math.prod(math.comb(size[w], taken[w]) for w in size) < ways:
        return [list(range(len(weekdays)))]
    return [[n for n, w in enumerate(weekdays) if w == weekday] for weekday in sorted(size)]
