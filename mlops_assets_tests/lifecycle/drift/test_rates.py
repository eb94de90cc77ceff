"""How often a window without drift alarms, and how often a shift is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.training import Feature

POLICY = DriftPolicy(permutations=999)
DAYS, BEFORE = 63, 56
NUMBERS = tuple(Feature(name, "numeric") for name in ("wind", "gust", "miles", "age"))
LEVELS = tuple(Feature(name, "categorical") for name in ("carrier", "tail"))
FEATURES = (*NUMBERS, *LEVELS)


def days(random: np.random.Generator, rows: int) -> pl.DataFrame:
    """Nine weeks: weather shared by a day and by two columns, gaps that come in some days, a
    lattice of distances, and a column of very many rare levels."""
    day = np.repeat(np.arange(DAYS), rows)
    size = len(day)
    wind = random.normal(size=DAYS)[day] + 0.5 * random.normal(size=size)
    age = np.where(random.random(size) < random.beta(1, 20, size=DAYS)[day], np.nan, wind**2)
    return pl.DataFrame(
        {
            "day": [date(2013, 1, 7) + timedelta(days=int(n)) for n in day],
            "wind": wind.round(1),
            "gust": wind + random.normal(size=size),
            "miles": random.zipf(1.6, size=size) % 200 * 17.0 + 80,
            "age": age,
            "carrier": pl.Series(
                random.choice(16, p=np.arange(1, 17) / 136, size=size).astype(str)
            ),
            "tail": pl.Series((random.zipf(1.3, size=size) % 4000).astype(str)),
        }
    )


def report(
    rows: pl.DataFrame, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda table: table
) -> DriftReport:
    cut = date(2013, 1, 7) + timedelta(days=BEFORE)
    before, now = rows.filter(pl.col("day") < cut), rows.filter(pl.col("day") >= cut)
    return measure_drift(before, change(now), FEATURES, POLICY, day="day")


def test_of_windows_without_drift_at_most_five_percent_alarm():
    random, windows = np.random.default_rng(2013), 200
    alarms = sum(report(days(random, 20)).alarm for _ in range(windows))
    assert alarms / windows <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / windows)


def replaced(column: str, value: object, share: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A shift that puts a value into that share of the rows."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        hit = np.random.default_rng(1).permutation(rows.height) < share * rows.height
        return rows.with_columns(
            pl.when(pl.Series(hit)).then(pl.lit(value)).otherwise(column).alias(column)
        )

    return change


SHIFTS: dict[str, tuple[str, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "unit": ("miles", lambda rows: rows.with_columns(pl.col("miles") * 1.609344)),
    "scale": ("miles", lambda rows: rows.with_columns(pl.col("miles") * 1.5)),
    "category": ("carrier", replaced("carrier", "3", 0.1)),
    "missing number": ("miles", replaced("miles", None, 0.1)),
    "missing level": ("carrier", replaced("carrier", None, 0.1)),
    "unseen level": ("carrier", replaced("carrier", "new", 0.05)),
    "unseen among many": ("tail", replaced("tail", "new", 0.05)),
    "poison 999": ("wind", replaced("wind", 999.0, 0.01)),
    "poison -1": ("miles", replaced("miles", -1.0, 0.01)),
    "poison 0": ("miles", replaced("miles", 0.0, 0.01)),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shift_is_found_in_its_column_in_nearly_all_windows(shift):
    column, change = SHIFTS[shift]
    random = np.random.default_rng(7)
    found = [
        {one.column: one.flagged for one in report(days(random, 150), change).columns}[column]
        for _ in range(8)
    ]
    assert all(found)


WIDER = "a column half as wide again, whose middle differs by day"
MOVED = "a tenth moved from one to another of many levels, one of which differs by day"


def shifted_within_days(random: np.random.Generator, kind: str) -> DriftReport:
    """What days differ by is not what changed."""
    day = np.repeat(np.arange(DAYS), 150)
    now, of_day = day >= BEFORE, random.normal(size=DAYS)[day]
    if kind == WIDER:
        values = pl.Series((0.45 * of_day + random.normal(size=len(day))) * np.where(now, 1.5, 1))
    else:
        levels = random.choice(40, p=np.arange(40, 0, -1) / 820, size=len(day)) + 2
        levels = np.where(random.random(len(day)) < 0.3, 1, levels)
        levels = np.where(now & (random.random(len(day)) < 0.1), 2, levels)
        storm = random.random(len(day)) < 0.4 / (1 + np.exp(-2 * of_day))
        values = pl.Series(np.where(storm, 0, levels).astype(str))
    dates = [date(2013, 1, 7) + timedelta(days=int(n)) for n in day]
    rows = pl.DataFrame({"x": values, "day": dates})
    feature = Feature("x", "numeric" if kind == WIDER else "categorical")
    sides = rows.filter(~pl.Series(now)), rows.filter(pl.Series(now))
    return measure_drift(*sides, [feature], DriftPolicy(), day="day")


@pytest.mark.parametrize("kind", [WIDER, MOVED])
def test_what_days_differ_by_does_not_drown_a_change_of_something_else(kind):
    random = np.random.default_rng(7)
    # What would hold among the tests of 17 columns.
    found = [shifted_within_days(random, kind).columns[0].p_value < 0.003 for _ in range(8)]
    assert all(found)


@settings(max_examples=8)
@given(seed=st.integers(0, 99), order=st.permutations(FEATURES))
def test_neither_the_order_of_columns_nor_that_of_rows_changes_a_finding(seed, order):
    rows = days(np.random.default_rng(seed), 10)
    change = replaced("miles", -1.0, 0.05)
    before, now = rows.head(560), change(rows.tail(70 * 1))
    now = pl.concat([now, now.with_columns(pl.col("day") + timedelta(days=1))])
    policy = DriftPolicy(minimum_rows=10, minimum_days=1, permutations=200)
    plain = measure_drift(before, now, FEATURES, policy, day="day")
    mixed = measure_drift(
        before.sample(fraction=1, shuffle=True, seed=seed),
        now.sample(fraction=1, shuffle=True, seed=seed),
        order,
        policy,
        day="day",
    )
    by_name = {column.column: column for column in mixed.columns}
    assert plain.columns == tuple(by_name[feature.name] for feature in FEATURES)
