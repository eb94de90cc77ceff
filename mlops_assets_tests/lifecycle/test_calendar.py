"""The calendar: partitions that share out the time without gap or overlap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar

ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",  # its summer began at midnight: 2013-10-20 had no 00:00
    "America/Havana",  # its summer ended at 01:00: 2013-11-03 had 00:00 twice
)
DAYS = st.dates(date(1950, 1, 1), date(2080, 1, 1))


def first_date(day: date, cadence: str) -> date:
    """An independent account of where a partition begins."""
    if cadence == "weekly":
        year, week, _ = day.isocalendar()
        return date.fromisocalendar(year, week, 1)
    return date(day.year, day.month, 1) if cadence == "monthly" else day


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    cadence = draw(st.sampled_from(["daily", "weekly", "monthly"]))
    start = first_date(draw(DAYS), cadence)
    end = first_date(start + timedelta(days=draw(st.integers(32, 200))), cadence)
    return Calendar(start, end, cadence, draw(st.sampled_from(ZONES)))


@settings(max_examples=60)
@given(calendar=calendars())
def test_every_date_belongs_to_exactly_one_partition(calendar):
    days = pl.date_range(calendar.start, calendar.end, "1d", closed="left", eager=True)
    assigned = pl.select(calendar.assign(pl.lit(days))).to_series().to_list()
    assert assigned == [first_date(day, calendar.cadence).isoformat() for day in days]
    assert tuple(dict.fromkeys(assigned)) == calendar.keys


@settings(max_examples=60)
@given(calendar=calendars())
def test_each_partition_begins_where_the_one_before_finishes(calendar):
    begins = [calendar.begin(key) for key in calendar.keys]
    finishes = [calendar.finish(key) for key in calendar.keys]
    assert finishes[:-1] == begins[1:]
    assert all(begin < finish for begin, finish in zip(begins, finishes, strict=True))
    assert {moment.utcoffset() for moment in begins + finishes} == {timedelta(0)}


@settings(max_examples=80)
@given(calendar=calendars(), share=st.floats(0, 1, exclude_max=True))
def test_a_moment_is_assigned_to_the_one_partition_whose_span_holds_it(calendar, share):
    begin, finish = calendar.begin(calendar.keys[0]), calendar.finish(calendar.keys[-1])
    moment = begin + timedelta(seconds=int((finish - begin).total_seconds() * share))
    holding = [key for key in calendar.keys if calendar.begin(key) <= moment < calendar.finish(key)]
    moments = pl.Series([moment], dtype=pl.Datetime("us", "UTC"))
    assert pl.select(calendar.assign_moment(pl.lit(moments))).to_series().to_list() == holding


@settings(max_examples=40)
@given(calendar=calendars(), data=st.data())
def test_next_and_before_walk_the_same_keys(calendar, data):
    key = data.draw(st.sampled_from(calendar.keys))
    index = calendar.keys.index(key)
    count = data.draw(st.integers(0, 10))
    assert calendar.next(key) == (*calendar.keys, None)[index + 1]
    assert calendar.before(key) == calendar.keys[:index]
    assert calendar.before(key, count) == calendar.keys[max(index - count, 0) : index]


@settings(max_examples=40)
@given(calendar=calendars(), data=st.data())
def test_lookback_adds_the_partitions_before_the_first_and_fills_the_range(calendar, data):
    wanted = tuple(data.draw(st.sets(st.sampled_from(calendar.keys), min_size=1)))
    count = data.draw(st.integers(0, 6))
    first, last = calendar.keys.index(min(wanted)), calendar.keys.index(max(wanted))
    expected = calendar.keys[max(first - count, 0) : last + 1]
    assert calendar.with_lookback(wanted, count) == expected


@settings(max_examples=40)
@given(calendar=calendars(), data=st.data())
def test_a_partition_is_complete_from_the_moment_it_finishes(calendar, data):
    key = data.draw(st.sampled_from(calendar.keys))
    index = calendar.keys.index(key)
    finish = calendar.finish(key)
    assert calendar.latest_complete(finish) == key
    earlier = (None, *calendar.keys)[index]
    assert calendar.latest_complete(finish - timedelta(microseconds=1)) == earlier


@settings(max_examples=40)
@given(calendar=calendars(), data=st.data())
def test_a_follower_is_one_that_looks_back_on_it(calendar, data):
    key = data.draw(st.sampled_from(calendar.keys))
    count = data.draw(st.integers(0, 6))
    expected = [other for other in calendar.keys if key in calendar.with_lookback((other,), count)]
    assert list(calendar.followers(key, count)) == expected


@settings(max_examples=40)
@given(calendar=calendars(), data=st.data())
def test_those_that_have_ended_are_all_up_to_the_last_complete_one(calendar, data):
    moment = calendar.begin(data.draw(st.sampled_from(calendar.keys)))
    moment += timedelta(seconds=data.draw(st.integers(0, 86_400)))
    ended = calendar.ended(moment)
    assert ended == calendar.keys[: len(ended)]
    assert (ended[-1] if ended else None) == calendar.latest_complete(moment)


def test_before_the_first_partition_has_ended_none_is_complete(weekly):
    assert weekly.latest_complete(datetime(2013, 1, 13, 23, 59, tzinfo=UTC)) is None
    assert weekly.latest_complete(datetime(2099, 1, 1, tzinfo=UTC)) == weekly.keys[-1]


@pytest.mark.parametrize(
    ("key", "hours"),
    [("2013-03-04", 167), ("2013-03-11", 168), ("2013-10-28", 169)],
)
def test_a_week_in_which_the_clock_changes_has_an_hour_less_or_more(key, hours):
    calendar = Calendar(date(2012, 12, 31), date(2014, 1, 6), "weekly", "America/New_York")
    assert calendar.finish(key) - calendar.begin(key) == timedelta(hours=hours)


def test_days_begin_at_midnight_where_the_calendar_lives():
    calendar = Calendar(date(2013, 1, 7), date(2013, 2, 4), timezone="America/New_York")
    assert calendar.begin("2013-01-07") == datetime(2013, 1, 7, 5, tzinfo=UTC)
    before = datetime(2013, 1, 14, 4, 59, tzinfo=UTC)
    moments = pl.Series([before, before + timedelta(minutes=1)])
    keys = pl.select(calendar.assign_moment(pl.lit(moments))).to_series().to_list()
    assert keys == ["2013-01-07", "2013-01-14"]


def test_a_day_without_a_midnight_begins_at_its_first_moment():
    zone = ZoneInfo("America/Sao_Paulo")
    calendar = Calendar(date(2013, 10, 19), date(2013, 10, 22), "daily", zone.key)
    assert calendar.begin("2013-10-20") == datetime(2013, 10, 20, 3, tzinfo=UTC)
    assert calendar.begin("2013-10-20").astimezone(zone).hour == 1
    assert calendar.finish("2013-10-20") - calendar.begin("2013-10-20") == timedelta(hours=23)


def test_months_have_their_own_lengths():
    calendar = Calendar(date(2012, 1, 1), date(2013, 1, 1), "monthly")
    days = [(calendar.finish(key) - calendar.begin(key)).days for key in calendar.keys]
    assert days == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    assert calendar.keys[0] == "2012-01-01"
    assert calendar.next("2012-12-01") is None


def test_dates_outside_the_calendar_get_a_key_all_the_same(weekly):
    outside = pl.Series([date(1969, 12, 31), date(2100, 1, 1), None])
    keys = pl.select(weekly.assign(pl.lit(outside))).to_series().to_list()
    assert keys == ["1969-12-29", "2099-12-28", None]


@settings(max_examples=60)
@given(day=DAYS, cadence=st.sampled_from(["weekly", "monthly"]))
def test_a_start_within_a_partition_is_refused_with_the_date_to_use(day, cadence):
    first, far = first_date(day, cadence), first_date(day + timedelta(days=400), cadence)
    if day == first:
        assert Calendar(day, far, cadence).keys[0] == day.isoformat()
        return
    with pytest.raises(ValueError, match=f"start must be .* {cadence} .*got {day}; use {first}"):
        Calendar(day, far, cadence)
    with pytest.raises(ValueError, match=f"end must be .* {cadence} .*got {day}; use {first}"):
        Calendar(first_date(day - timedelta(days=400), cadence), day, cadence)
    assert Calendar(first, far, cadence).start == first


@pytest.mark.parametrize("end", [date(2013, 1, 7), date(2013, 1, 6)])
def test_an_end_that_is_not_after_the_start_is_refused(end):
    with pytest.raises(ValueError, match="end must be after start"):
        Calendar(date(2013, 1, 7), end)


def test_an_unknown_timezone_is_refused_at_once():
    for timezone in ("Mars/Olympus", "../UTC", "America", ""):
        with pytest.raises(ValueError, match=f"unknown timezone '{timezone}'"):
            Calendar(date(2013, 1, 7), date(2013, 1, 14), timezone=timezone)
