"""Months that come late, twice, by half, out of order or in another shape: nothing is lost."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import dagster as dg
import polars as pl
import pytest

from mlops_assets_tests.examples.reading import written
from mlops_assets_tests.loop.conftest import EXAMPLE, failure
from mlops_assets_tests.loop.station import (
    LAST,
    MONTHS,
    TABLES,
    Lines,
    Station,
    assert_as_in_time,
    lines_of,
    spans,
    warnings,
)


@pytest.fixture(scope="module")
def begun(make_world, tmp_path_factory) -> Station:
    made = Station(make_world, tmp_path_factory.mktemp("begun"))
    made.begin()
    return made


@pytest.fixture
def station(make_world, begun, tmp_path) -> Station:
    """All months up to ``LAST`` delivered in time and ingested."""
    return Station(make_world, tmp_path, begun)


@pytest.fixture(scope="module")
def in_time(make_world, tmp_path_factory) -> Station:
    """The year as it should be: each month delivered whole before its end, and ingested."""
    made = Station(make_world, tmp_path_factory.mktemp("in_time"))
    made.begin(MONTHS[11])
    return made


# Late ---------------------------------------------------------------------------------------


def test_a_late_month_fails_alone_and_what_looked_back_on_it_is_built_again(station, in_time):
    late, next_one, one_more, last = MONTHS[8:12]
    (refused,) = station.run(late)
    assert f"{late}.csv.gz: the file cannot be read" in failure(refused)
    for month in (next_one, one_more):
        station.deliver(month)
        good, refused = station.run(month)
        assert good.success
        assert f"{late}.csv.gz" in failure(refused)
    assert station.world.read("features", next_one).height == 31

    station.deliver(late)
    station.deliver(last)
    assert spans(station.ask(last)) == [(late, next_one), (last, last)]
    assert all(run.success for run in station.run(last))
    assert_as_in_time(station, in_time)
    assert station.ask(last) == []


def test_a_run_that_cannot_succeed_is_asked_for_once_for_each_complaint(station):
    station.deliver(MONTHS[9])
    keys = [{request.run_key for request in station.ask(month)} for month in MONTHS[9:11]]
    alone = [[key for key in found if "refused" in key] for found in keys]
    assert len(alone[0]) == 1
    assert alone[0][0] in alone[1]


def test_a_month_mended_by_hand_is_followed_by_those_that_looked_back_on_it(station, in_time):
    dry = [month for month in MONTHS if month <= LAST][3]
    station.deliver(dry, lambda lines: [lines[0], *(set_rain(line, "0.0") for line in lines[1:])])
    assert station.world.job("ingest", dry).success
    following = MONTHS[4]
    assert spans(station.ask(LAST)) == [(following, following)]
    before = station.world.read("features", following)
    assert all(run.success for run in station.run(LAST))
    assert not station.world.read("features", following).equals(before)
    assert station.ask(LAST) == []
    station.deliver(dry)
    assert station.world.job("ingest", dry).success
    assert all(run.success for run in station.run(LAST))
    assert_as_in_time(station, in_time, *MONTHS[:8])


def set_rain(line: str, amount: str) -> str:
    date, _, *rest = line.split(",")
    return ",".join((date, amount, *rest))


# Twice --------------------------------------------------------------------------------------


def test_the_same_month_delivered_twice_holds_no_row_twice(station, in_time):
    station.deliver(LAST)
    assert station.world.job("ingest", LAST).success
    assert_as_in_time(station, in_time, *MONTHS[:8])
    assert station.ask(LAST) == []


def test_rows_that_stand_twice_in_a_file_refuse_it_by_line_and_the_tables_stay(station):
    before = station.tables()
    station.deliver(LAST, lambda lines: [*lines, *lines[1:3]])
    said = failure(station.world.job("ingest", LAST))
    assert f"{LAST}.csv.gz: key (date) must be unique, 4 row(s) share one: line 2 " in said
    assert all(rows.equals(before[table]) for table, rows in station.tables().items())


# Missing ------------------------------------------------------------------------------------


def test_a_month_without_rows_is_empty_is_noticed_and_costs_no_other(station, in_time):
    empty, following = MONTHS[8], MONTHS[9]
    station.deliver(empty, lambda lines: lines[:1])
    (run,) = station.run(empty)
    assert run.success
    assert warnings(run)["rows_are_as_many_as_usual"].startswith(
        f"{empty} has 0 rows, about 31 are usual"
    )
    assert all(station.world.read(table, empty).is_empty() for table in TABLES)
    assert_as_in_time(station, in_time, *MONTHS[:8])
    station.deliver(following)
    (run,) = station.run(following)
    assert run.success
    assert station.world.read("features", following).height == 31


def test_monitoring_of_a_month_without_rows_is_neither_green_nor_red(make_world, ingested):
    world = make_world(rows_of=ingested)
    month = "2015-01-01"
    assert world.job("train", month).success
    while isinstance(request := world.ask("advance_rollout"), dg.RunRequest):
        assert world.job("release", request.partition_key).success
    world.job("monitor", month)
    drift = world.latest("drift", month)
    assert drift["outcome"] == "inconclusive"
    assert "current has 0 rows" in drift["reason"]


# Half ---------------------------------------------------------------------------------------


def test_half_a_month_is_noticed_and_replaced_as_a_whole_when_the_rest_arrives(station, in_time):
    half, following = MONTHS[8], MONTHS[9]
    station.deliver(half, lambda lines: lines[:14])
    (run,) = station.run(half)
    assert run.success
    assert warnings(run) == {
        "rows_are_as_many_as_usual": f"{half} has 13 rows, about 31 are usual "
        "(at least 60% of the median of the 8 before expected)"
    }
    assert station.ask(half) == []  # nothing more is there yet
    station.deliver(following)
    assert [run.success for run in station.run(following)] == [True]

    station.deliver(half)
    assert spans(station.ask(following)) == [(half, following)]
    (run,) = station.run(following)
    assert warnings(run) == {}
    assert_as_in_time(station, in_time, *MONTHS[:10])
    assert station.ask(following) == []


def test_the_share_of_usual_rows_that_warns_is_stated_in_yaml(station):
    station.world = station.world.stating({"validation": {"usual_rows": 0.3}}, station.folder)
    station.deliver(LAST, lambda lines: lines[:14])
    assert warnings(station.world.job("ingest", LAST)) == {}


# Out of order -------------------------------------------------------------------------------


def test_rows_in_any_order_are_the_same_rows(station, in_time):
    station.deliver(LAST, lambda lines: [lines[0], *sorted(lines[1:], key=hash)])
    assert station.world.job("ingest", LAST).success
    for table in ("validated_days", "labels", "features"):
        mine, theirs = (one.world.read(table, LAST) for one in (station, in_time))
        assert mine.equals(theirs)


def test_rows_in_the_file_of_another_month_are_named_and_belong_to_neither_by_mistake(
    station, in_time
):
    early, following = MONTHS[8], MONTHS[9]
    station.deliver(early, lambda lines: lines[:-3])
    station.deliver(following, lambda lines: [*lines, *lines_of(early)[-3:]])
    (run,) = station.run(following)
    assert run.success
    assert warnings(run) == {
        "rows_are_in_their_own_file": "days/{partition}.csv.gz: 3 row(s) belong to other "
        "partitions than their file and are left out; deliver them in the files of their own"
    }
    raw = station.world.read("raw_days")
    assert set(raw.filter(pl.col("partition") == following)["date"].dt.month()) == {10}
    assert raw.filter(pl.col("partition") == early).height == 27
    for month in (early, following):
        station.deliver(month)
    assert station.world.over("ingest", early, following).success
    assert_as_in_time(station, in_time, *MONTHS[:10])


def test_a_row_of_another_month_that_comes_again_under_a_new_date_is_refused(make_world, tmp_path):
    """The key is another column than the date, so that both files look right by themselves."""
    days = written("seattle_rain")["sources"]["days"] | {"path": "days/{partition}.csv.gz"}
    columns = {"number": "int", **days["columns"]}
    days |= {"key": ["number"], "columns": columns, "rules": {}}
    (tmp_path / "model.py").write_text((EXAMPLE / "model.py").read_text())
    world = make_world({"sources": {"days": days}}, folder=tmp_path)
    (tmp_path / "days").mkdir()

    def deliver(month: str, first: int) -> None:
        heading, *lines = lines_of(month)
        numbered = [f"{first + n},{line}" for n, line in enumerate(lines)]
        text = "\n".join([f"number,{heading}", *numbered])
        (tmp_path / "days" / f"{month}.csv.gz").write_bytes(gzip.compress(text.encode()))

    deliver(MONTHS[0], 0)
    deliver(MONTHS[1], 30)  # its first is the last of the month before
    said = "key (number) must be unique, 1 row(s) of 2012-02-01 are in 2012-01-01 too: line 2 (30)"
    assert world.ingest(MONTHS[0], MONTHS[0]).success
    assert said in failure(world.ingest(MONTHS[1], MONTHS[1]))
    assert set(world.read("raw_days")["partition"]) == {MONTHS[0]}
    both = failure(world.ingest(MONTHS[0], MONTHS[1]))
    assert both.startswith("2 partition(s) of seattle_rain/raw_days not written")
    assert said in both

    deliver(MONTHS[1], 31)
    assert world.ingest(MONTHS[1], MONTHS[1]).success
    assert world.ingest(MONTHS[0], MONTHS[1]).success


def test_one_file_for_all_months_may_hold_them_in_any_order(make_world, in_time, tmp_path):
    folder = tmp_path / "one"
    (folder / "days").mkdir(parents=True)
    (folder / "model.py").write_text((EXAMPLE / "model.py").read_text())
    rows = [line for month in MONTHS for line in lines_of(month)[1:]]
    text = "\n".join([lines_of(LAST)[0], *sorted(rows, key=lambda line: line[::-1])])
    (folder / "days" / "all.csv").write_text(text)
    days = {**written("seattle_rain")["sources"]["days"], "path": "days/all.csv"}
    world = make_world({"sources": {"days": days}}, folder=folder)
    assert world.ingest(MONTHS[0], MONTHS[11]).success
    assert world.read("features").equals(in_time.world.read("features"))


# Another shape ------------------------------------------------------------------------------


def column(change: Callable[[list[str]], list[str]]) -> Callable[[Lines], Lines]:
    return lambda lines: [",".join(change(line.split(","))) for line in lines]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda lines: [lines[0].replace("temp_max", "temperature_max"), *lines[1:]],
            "column 'temp_max' is missing, the file has date, precipitation, temperature_max, ",
        ),
        (column(lambda values: values[:4] + values[5:]), "column 'wind' is missing, the file has"),
        (
            lambda lines: [lines[0], *(f"{line[:-3]}" for line in column(_words)(lines[1:]))],
            "column 'wind' must be float, 31 row(s) are not: line 2 ",
        ),
        (
            lambda lines: [lines[0], *(line.replace("/", ".") for line in lines[1:])],
            "column date holds no date in line 2 ",
        ),
    ],
    ids=["renamed", "dropped", "another type", "dates written otherwise"],
)
def test_a_month_of_another_shape_is_refused_with_one_message_and_the_tables_stay(
    station, change, said
):
    before = station.tables()
    station.deliver(LAST, change)
    summary, reason = failure(station.world.job("ingest", LAST)).splitlines()
    assert summary == "1 partition(s) of seattle_rain/raw_days not written, 0 written."
    assert reason.startswith(f"{LAST}.csv.gz: ")
    assert said in reason
    assert all(rows.equals(before[table]) for table, rows in station.tables().items())


def _words(values: list[str]) -> list[str]:
    return [*values[:4], "a breeze", *values[5:]]


def test_a_column_more_changes_nothing(station, in_time):
    station.deliver(LAST, lambda lines: [f"{lines[0]},sunshine", *(f"{x},7" for x in lines[1:])])
    assert station.world.job("ingest", LAST).success
    assert_as_in_time(station, in_time, *MONTHS[:8])
