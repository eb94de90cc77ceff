"""The rows of both sides, day by day, as the tests read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.drift.permutation import deal_days
from mlops_assets.lifecycle.training import MISSING_CATEGORY, Feature, cast_features

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

INFINITE = 1e100
"""What an infinite number counts as, so that distances from it are numbers."""


@dataclass(frozen=True)
class Days:
    """The days of both sides, those of the reference first.

    ``dealt``: which days are current, a row per dealing (see ``deal_days``). ``rows``: how many
    each day has. ``reference``: how many days the reference has.
    """

    dealt: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    reference: int

    @property
    def current(self) -> int:
        """How many days the current side has."""
        return len(self.rows) - self.reference

    @property
    def stretches(self) -> npt.NDArray[np.int64]:
        """For each day of the reference the stretch it lies in: one after the other, each about
        as long as the current side. What they differ by needs no explanation."""
        import numpy as np

        number = max(self.reference // self.current, 1)
        return np.arange(self.reference) * number // self.reference

    @property
    def current_rows(self) -> float:
        """How many rows the current side has."""
        return float(self.rows[self.reference :].sum())


@dataclass(frozen=True)
class Column:
    """What is known of one column: a value and the number of its day for each row.

    ``values`` are numbers, or places in ``levels`` for a categorical column. ``missing`` counts
    the rows of each day without a value: null, NaN or an empty text.
    """

    feature: Feature
    values: npt.NDArray[np.float64]
    day: npt.NDArray[np.int64]
    missing: npt.NDArray[np.float64]
    levels: Sequence[str] = ()

    @property
    def numeric(self) -> bool:
        return self.feature.kind == "numeric"


@dataclass(frozen=True)
class Sample:
    """Both sides in one table of features, with the day of each row by its number."""

    days: Days
    table: pl.DataFrame
    day: npt.NDArray[np.int64]

    def column(self, feature: Feature) -> Column:
        """One column of both sides."""
        import numpy as np

        values = self.table[feature.name]
        levels: list[str] = []
        if feature.kind == "numeric":
            numbers = values.fill_null(np.nan).to_numpy().clip(-INFINITE, INFINITE)
        else:
            numbers, levels = _places(values)
        gone = np.isnan(numbers)
        missing = np.bincount(self.day[gone], minlength=len(self.days.rows)).astype(float)
        return Column(feature, numbers[~gone], self.day[~gone], missing, levels)


def pair_days(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    features: Sequence[Feature],
    *,
    day: str,
    permutations: int,
    seed: int,
) -> Sample:
    """Lay the two tables together. Raises ``FeatureError`` for a value of the wrong kind."""
    import numpy as np
    import polars as pl

    sides = (reference, current)
    dates = [side[day].unique().sort() for side in sides]
    number = np.concatenate(
        [
            side[day].rank("dense").to_numpy().astype(np.int64) - 1 + before
            for side, before in zip(sides, (0, len(dates[0])), strict=True)
        ]
    )
    dealt = deal_days(dates[0].to_list(), dates[1].to_list(), permutations, seed)
    days = Days(dealt, np.bincount(number).astype(float), len(dates[0]))
    return Sample(days, pl.concat([cast_features(side, features) for side in sides]), number)


def say_number(value: float) -> str:
    """In a sentence, where an infinite one is infinite again."""
    return f"{math.copysign(math.inf, value) if abs(value) >= INFINITE else value:g}"


def _places(values: pl.Series) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Each text as its place among all in order, NaN for what is missing."""
    import numpy as np
    import polars as pl

    known = values.replace(MISSING_CATEGORY, None)
    levels = known.drop_nulls().unique().sort()
    places = known.cast(pl.Enum(levels)).to_physical().cast(pl.Float64)
    return places.fill_null(np.nan).to_numpy(), levels.to_list()
