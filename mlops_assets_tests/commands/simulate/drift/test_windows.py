"""Windows without drift are made of whole real days, and are as the seed says."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.commands.simulate.drift.real_days import RealDays, build_real_days
from mlops_assets.commands.simulate.drift.windows import (
    REFERENCE,
    SEASON,
    START,
    draw_from_season,
    draw_weeks,
    draw_window,
)
from mlops_assets_tests.examples.reading import read_example

DRAWS = (draw_window, draw_from_season)


def days_of(table: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows of each day without its date, in the order of the dates."""
    parts = table.sort("day", maintain_order=True).partition_by("day", maintain_order=True)
    return [part.drop("day") for part in parts]


def fingerprint(day: pl.DataFrame) -> float:
    """Distances are drawn from a continuum: no two days have the same sum."""
    return float(day["distance"].sum())


@pytest.fixture(scope="module")
def known(real) -> dict[float, tuple[int, str, int]]:
    """Of each real day: its weekday, its week, its rows."""
    return {
        fingerprint(day): (day["day"][0].weekday(), day["partition"][0], day.height)
        for day in real.rows.partition_by("day", maintain_order=True)
    }


@pytest.mark.parametrize("draw", DRAWS)
def test_both_sides_are_whole_real_days_under_dates_of_their_own(draw, real, known):
    drawn = draw(real, np.random.default_rng(3))
    both = pl.concat([drawn.reference, drawn.current])
    assert both["day"].unique().sort().to_list() == [
        START + timedelta(days=number) for number in range(7 * (REFERENCE + 1))
    ]
    assert drawn.current["day"].min() == START + timedelta(weeks=REFERENCE)
    for number, day in enumerate(days_of(both)):
        weekday, _, rows = known[fingerprint(day)]
        assert (weekday, rows) == (number % 7, day.height)


def test_days_come_from_everywhere_and_come_again(real, known):
    random = np.random.default_rng(5)
    drawn = [day for week in draw_weeks(real, 200, random) for day in days_of(week)]
    assert {fingerprint(day) for day in drawn} == set(known)
    assert len({known[fingerprint(day)][1] for day in drawn[:7]}) > 2


def test_weeks_of_a_season_stay_whole_and_are_drawn_once(real, known):
    drawn = draw_from_season(real, np.random.default_rng(7))
    days = days_of(pl.concat([drawn.reference, drawn.current]))
    weeks = [
        {known[fingerprint(day)][1] for day in days[n : n + 7]} for n in range(0, len(days), 7)
    ]
    assert all(len(week) == 1 for week in weeks)
    chosen = sorted(key for week in weeks for key in week)
    assert len(set(chosen)) == REFERENCE + 1
    order = sorted({key for _, key, _ in known.values()})
    assert order.index(chosen[-1]) - order.index(chosen[0]) < SEASON


@pytest.mark.parametrize("draw", DRAWS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_the_same_seed_draws_the_same(draw, real, seed):
    one, two, other = (draw(real, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert one.reference.equals(two.reference)
    assert one.current.equals(two.current)
    assert not one.reference.equals(other.reference)


def test_only_whole_weeks_count_as_weeks(real):
    short = real.rows.filter(pl.col("day") != real.rows["day"].max())
    assert len(real.weeks) == 20
    assert len(RealDays(short, real.features, {}).weeks) == 19


@pytest.fixture(scope="module")
def rain() -> RealDays:
    return build_real_days(read_example("seattle_rain"), 1, "build_estimator")


def test_real_days_are_built_by_the_stages_of_the_model(rain):
    model = read_example("seattle_rain")
    assert rain.features == model.features
    lookback = model.spec.entities.lookback
    assert rain.rows["partition"].unique().sort().to_list() == list(model.calendar.keys[lookback:])
    assert rain.rows["day"].n_unique() == rain.rows.height == 1461 - 31
    yesterday = rain.rows["truth"].shift(1)
    same = (rain.rows["rained_yesterday"] == yesterday).drop_nulls()
    assert same.mean() == 1.0


def test_answers_are_of_a_model_that_has_learned_and_not_of_the_day_itself(rain):
    assert rain.rows["probability"].is_between(0, 1).all()
    rained = rain.rows.filter(pl.col("truth") == 1)["probability"].mean()
    dry = rain.rows.filter(pl.col("truth") == 0)["probability"].mean()
    assert rained > dry + 0.05
    assert set(rain.weights) == {feature.name for feature in rain.features}
    assert max(rain.weights.values()) > 0.01


def test_one_row_of_so_many_is_kept(rain):
    thinned = build_real_days(read_example("seattle_rain"), 5, "build_estimator")
    assert thinned.rows.height == -(-rain.rows.height // 5)
    assert set(thinned.rows["day"]) <= set(rain.rows["day"])
