"""Windows without drift: whole real days, dealt to weeks by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain

import numpy as np
import polars as pl

from mlops_assets.commands.simulate.drift.real_days import DAY, RealDays

REFERENCE = 8
"""Weeks that one week is compared with."""

START = date(2001, 1, 1)
"""A Monday: the first of the dates that drawn days are given."""

SEASON = 13
"""Weeks in a season."""


@dataclass(frozen=True)
class Drawn:
    """Both sides of a comparison."""

    reference: pl.DataFrame
    current: pl.DataFrame

    def changed(self, current: pl.DataFrame) -> Drawn:
        """The same reference beside another week."""
        return Drawn(self.reference, current)


def draw_weeks(real: RealDays, count: int, random: np.random.Generator) -> tuple[pl.DataFrame, ...]:
    """So many weeks, each of a Monday to a Sunday drawn with replacement from all real ones.

    A day keeps all its rows, so what depends within a day still does; nothing else does.
    """
    weeks = [[days[random.integers(len(days))] for days in real.by_weekday] for _ in range(count)]
    return tuple(_dated(days, number) for number, days in enumerate(weeks))


def draw_window(real: RealDays, random: np.random.Generator) -> Drawn:
    """A reference and a week of the same world."""
    return _split(draw_weeks(real, REFERENCE + 1, random))


def draw_from_season(real: RealDays, random: np.random.Generator) -> Drawn:
    """The same of whole real weeks in a row, in an order drawn by chance.

    Harder than days: the weather and the delays of one week depend on each other too.
    """
    begin = int(random.integers(len(real.weeks) - SEASON + 1))
    season = real.weeks[begin : begin + SEASON]
    chosen = random.choice(SEASON, REFERENCE + 1, replace=False)
    return _split([_dated(season[index], number) for number, index in enumerate(chosen)])


def _split(weeks: Sequence[pl.DataFrame]) -> Drawn:
    return Drawn(pl.concat(weeks[:-1]), weeks[-1])


def _dated(days: Sequence[pl.DataFrame], week: int) -> pl.DataFrame:
    """Days put under dates of their own, as a day drawn twice is two days."""
    dates = chain.from_iterable(
        [START + timedelta(weeks=week, days=number)] * day.height for number, day in enumerate(days)
    )
    return pl.concat(days).with_columns(pl.Series(DAY, list(dates)))
