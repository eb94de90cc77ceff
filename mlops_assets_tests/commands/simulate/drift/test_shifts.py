"""A shift does to one column what it says, and nothing to the others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.commands.simulate.drift.shifts import (
    SHIFTS,
    Shift,
    find_day_columns,
    find_row_columns,
    measure_daily_share,
)
from mlops_assets.commands.simulate.drift.windows import draw_window
from mlops_assets_tests.commands.simulate.drift.conftest import BY_DAY, BY_ROW, CATEGORIES

BY_NAME = {shift.name: shift for shift in SHIFTS}


@pytest.fixture(scope="module")
def week(real) -> pl.DataFrame:
    return draw_window(real, np.random.default_rng(1)).current


def applied(shift: Shift, week: pl.DataFrame, column: str, seed: int = 1) -> pl.DataFrame:
    return shift.apply(week, column, np.random.default_rng(seed))


def changed_rows(week: pl.DataFrame, after: pl.DataFrame, column: str) -> int:
    return int(week[column].ne_missing(after[column]).sum())


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.name)
def test_only_the_chosen_column_changes_and_keeps_its_type(shift, real, week):
    for column in shift.suits(real):
        after = applied(shift, week, column)
        assert after.drop(column).equals(week.drop(column))
        assert after[column].dtype == week[column].dtype
        assert (changed_rows(week, after, column) > 0) == (shift.name != "nothing")
        assert after.equals(applied(shift, week, column))


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("10 % missing", 0.1),
        ("5 % of a level never seen", 0.05),
        ("1 % poisoned", 0.01),
        ("10 % to another category", 0.1),
    ],
)
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_as_many_rows_change_as_the_name_says(name, share, real, week, seed):
    shift = BY_NAME[name]
    for column in shift.suits(real):
        after = applied(shift, week, column, seed)
        assert changed_rows(week, after, column) == round(share * week.height)


def test_units_are_those_of_a_textbook(real, week):
    shift = BY_NAME["another unit"]
    assert shift.suits(real) == ["distance", "temp", "dewp"]
    before = week.with_columns(temp=pl.lit(212.0), distance=pl.lit(100.0))
    assert applied(shift, before, "temp")["temp"].to_list() == pytest.approx([100] * week.height)
    assert applied(shift, before, "distance")["distance"][0] == pytest.approx(160.9344)


def test_a_category_gives_to_the_one_that_comes_next(real, week):
    shift = BY_NAME["10 % to another category"]
    assert shift.suits(real) == ["carrier", "origin"]
    tenth, counts = round(0.1 * week.height), dict(week["origin"].value_counts().iter_rows())
    after = dict(applied(shift, week, "origin")["origin"].value_counts().iter_rows())
    assert after == {"X": counts["X"] - tenth, "Y": counts["Y"] + tenth, "Z": counts["Z"]}


def test_what_is_lost_is_null_and_a_new_level_is_new(real, week):
    lost = applied(BY_NAME["10 % missing"], week, "seats")["seats"]
    assert lost.null_count() == round(0.1 * week.height)
    unseen = applied(BY_NAME["5 % of a level never seen"], week, "carrier")["carrier"]
    assert (set(unseen) - set(real.rows["carrier"])) == {"never seen before"}


def test_poison_lies_far_outside_of_everything(real, week):
    values = applied(BY_NAME["1 % poisoned"], week, "distance")["distance"]
    poisoned = values.filter(values != week["distance"])
    assert poisoned.n_unique() == 1
    assert abs(poisoned[0]) == pytest.approx(10 * week["distance"].max())
    signs = {
        np.sign(applied(BY_NAME["1 % poisoned"], week, "distance", seed)["distance"].min())
        for seed in range(20)
    }
    assert signs == {-1.0, 1.0}


def test_half_as_much_again(week):
    after = applied(BY_NAME["x 1.5"], week, "fare")
    assert after["fare"].to_list() == pytest.approx((week["fare"] * 1.5).to_list())


def test_columns_of_rows_are_told_from_columns_of_days(real):
    assert find_row_columns(real) == list(BY_ROW)
    assert find_day_columns(real) == list(BY_DAY)


def test_the_share_between_days_is_that_of_an_analysis_of_variance(real):
    for column in ("distance", "temp"):
        values, days = real.rows[column].to_numpy(), real.rows["day"].to_numpy()
        groups = [values[days == day] for day in np.unique(days)]
        between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups)
        total = ((values - values.mean()) ** 2).sum()
        assert measure_daily_share(real, column) == pytest.approx(between / total, rel=1e-9)


def test_shifts_suit_columns_of_their_kind(real):
    assert BY_NAME["5 % of a level never seen"].suits(real) == list(CATEGORIES)
    assert not set(CATEGORIES) & set(BY_NAME["1 % poisoned"].suits(real))
    assert len(BY_NAME["10 % missing"].suits(real)) == len(real.features)
