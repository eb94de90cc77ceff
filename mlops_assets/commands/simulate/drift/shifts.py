"""What goes wrong with one column of a week, on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_assets.commands.simulate.drift.real_days import DAY, RealDays

Values = pl.Series
Inject = Callable[[Values, np.random.Generator], Values]
Suits = Callable[[RealDays], list[str]]

_DAILY = 0.05
"""With this share of its variance between days, all rows of a day say of a column what 20 would
that depend on nothing; with more, a week holds hardly more than seven values."""

_KILOMETRES = 1.609344
UNITS: dict[str, Callable[[Values], Values]] = {
    "distance": lambda miles: miles * _KILOMETRES,
    "temp": lambda fahrenheit: (fahrenheit - 32) / 1.8,
    "dewp": lambda fahrenheit: (fahrenheit - 32) / 1.8,
    "visib": lambda miles: miles * _KILOMETRES,
}
"""The same in other units, by column. Wind in kilometres is left to the columns of whole days."""


@dataclass(frozen=True)
class Shift:
    """``inject`` gives the column as it would come; ``suits`` names the columns it is tried on,
    in turn. ``aim``: the share of windows in which it is to be found, None where none is promised.
    """

    name: str
    suits: Suits
    inject: Inject
    aim: float | None = 0.95

    def apply(self, rows: pl.DataFrame, column: str, random: np.random.Generator) -> pl.DataFrame:
        """The rows with that one column shifted."""
        return rows.with_columns(self.inject(rows[column], random).alias(column))


def scale(values: Values, random: np.random.Generator) -> Values:  # noqa: ARG001
    """Half as much again."""
    return values * 1.5


def move_category(values: Values, random: np.random.Generator) -> Values:
    """A tenth of all rows, taken from the most frequent level, get the second most frequent."""
    first, second = values.drop_nulls().value_counts(sort=True).to_series().to_list()[:2]
    held = np.flatnonzero((values == first).fill_null(value=False).to_numpy())
    return _put(values, random.choice(held, round(0.1 * len(values)), replace=False), second)


def lose(values: Values, random: np.random.Generator) -> Values:
    """A tenth is missing."""
    return _put(values, _some(values, 0.1, random), None)


def meet_unseen(values: Values, random: np.random.Generator) -> Values:
    """A twentieth has a level that was never there before."""
    return _put(values, _some(values, 0.05, random), "never seen before")


def poison(values: Values, random: np.random.Generator) -> Values:
    """One in a hundred is ten times the largest value, of either sign."""
    largest = float(values.abs().max() or 1.0)  # type: ignore[arg-type]
    sign = float(random.choice([-1.0, 1.0]))
    return _put(values, _some(values, 0.01, random), sign * 10 * max(largest, 1.0))


def find_row_columns(real: RealDays) -> list[str]:
    """Numbers that differ from row to row, are seldom 0 and take at least ten values."""
    return [name for name in _scalable(real) if measure_daily_share(real, name) < _DAILY]


def find_day_columns(real: RealDays) -> list[str]:
    """The same where a week holds little more than seven values: weather, delays of late."""
    return [name for name in _scalable(real) if measure_daily_share(real, name) >= _DAILY]


def measure_daily_share(real: RealDays, column: str) -> float:
    """The share of a column's variance that lies between days, 0 to 1."""
    known = real.rows.select(DAY, value=column).drop_nulls()
    spread = float(known["value"].var() or 0.0)  # type: ignore[arg-type]
    means = known.with_columns(pl.col("value").mean().over(DAY))["value"]
    return float(means.var() or 0.0) / spread if spread else 0.0  # type: ignore[arg-type]


def _some(values: Values, share: float, random: np.random.Generator) -> np.ndarray:
    return random.choice(len(values), round(share * len(values)), replace=False)


def _put(values: Values, where: np.ndarray, value: float | str | None) -> Values:
    chosen = np.zeros(len(values), dtype=bool)
    chosen[where] = True
    put = pl.when(pl.Series(chosen)).then(pl.lit(value, dtype=values.dtype)).otherwise(values)
    return pl.select(put.alias(values.name)).to_series()


def _named(kind: str) -> Suits:
    return lambda real: [feature.name for feature in real.features if feature.kind == kind]


def _every(real: RealDays) -> list[str]:
    return [feature.name for feature in real.features]


def _in_units(real: RealDays) -> list[str]:
    return [name for name in _every(real) if name in UNITS]


def _with_a_common_level(real: RealDays) -> list[str]:
    """Categories whose first level holds enough rows, on any day, to give a tenth of all away."""
    return [
        name
        for name in _named("categorical")(real)
        if float(real.rows[name].drop_nulls().value_counts(sort=True, normalize=True)[0, 1]) > 0.15
    ]


def _scalable(real: RealDays) -> list[str]:
    few, zeros = 10, 0.2
    return [
        name
        for name in _named("numeric")(real)
        if real.rows[name].n_unique() >= few and float((real.rows[name] == 0).mean() or 0) <= zeros  # type: ignore[arg-type]
    ]


SHIFTS = (
    Shift("another unit", _in_units, lambda values, _: UNITS[values.name](values)),
    Shift("x 1.5", find_row_columns, scale),
    Shift("10 % to another category", _with_a_common_level, move_category),
    Shift("10 % missing", _every, lose),
    Shift("5 % of a level never seen", _named("categorical"), meet_unseen),
    Shift("1 % poisoned", _named("numeric"), poison),
    Shift("x 1.5, a column of whole days", find_day_columns, scale, aim=None),
    Shift("nothing", _every, lambda values, _: values, aim=None),
)
"""What is injected; the last shows what a test says of the same columns when nothing is."""
