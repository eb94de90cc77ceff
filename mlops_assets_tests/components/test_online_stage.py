"""The table the endpoint looks up in, made by the stage from real models' own features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import FixedClock, InMemoryOnlineTables, InMemoryTables
from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.adapters.online_tables import encode_table
from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.online import build_online_features
from mlops_assets.components.stages import data
from mlops_assets.components.stages.online import publish_online_features
from mlops_assets.defs.flight_delays import model as flight_delays
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.features import count_changes
from mlops_assets.lifecycle.point_in_time import PREDICTED_AT
from mlops_assets.serving.answering.online import OnlineLookups
from mlops_assets_tests.examples.reading import read_example

FLIGHTS, RAIN = "flight_delays", "seattle_rain"
WEEKS = tuple(
    (datetime(2012, 12, 31) + timedelta(weeks=week)).date().isoformat() for week in range(8)
)
EASTERN = timedelta(hours=5)
RATES = ["rained_yesterday", "rain_rate_3d", "rain_rate_7d", "rain_rate_28d", "winter"]
MONTHS = ("2012-01-01", "2012-02-01", "2012-03-01", "2012-04-01")
SENT = ("carrier", "origin", "dest", "flight", "tailnum")
"""What a caller knows of a flight that is looked up by."""


# --- a small year of flights --------------------------------------------------------------------


def flights_of(week: str, number: int, random: np.random.Generator) -> pl.DataFrame:
    """Twelve flights a day; carriers share flight numbers, and aircraft change carriers."""
    rows = []
    for index in range(7 * 12):
        day = datetime.fromisoformat(week) + timedelta(days=index // 12)
        hour, minute = 6 + index % 12, int(random.integers(0, 60))
        tail = f"N{random.integers(1, 9)}" if random.random() > 0.1 else None
        late = int(random.integers(-20, 60)) if random.random() > 0.1 else None
        rows.append(
            {
                **{"year": day.year, "month": day.month, "day": day.day},
                "sched_dep_time": hour * 100 + minute,
                "sched_arr_time": (hour + 2) * 100 + minute,
                "dep_delay": late,
                "arr_delay": late,
                "carrier": str(random.choice(["AA", "B6", "EV"])),
                "flight": 1000 + index % 5,
                "tailnum": f"{tail}-{number}" if tail == "N8" else tail,
                "origin": str(random.choice(["EWR", "JFK", "LGA"])),
                "dest": str(random.choice(["LAX", "ORD"])),
                "air_time": 100,
                "distance": 700,
                **{"hour": hour, "minute": minute},
                "time_hour": (day + EASTERN).replace(tzinfo=UTC) + timedelta(hours=hour),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None).unique(
        ["year", "month", "day", "carrier", "flight", "origin"], keep="first", maintain_order=True
    )


def weather_of(week: str, random: np.random.Generator) -> pl.DataFrame:
    begin = (datetime.fromisoformat(week) + EASTERN).replace(tzinfo=UTC)
    names = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
    rows = [
        {"origin": origin, "time_hour": begin + timedelta(hours=2 * hour), "wind_gust": None}
        | {name: float(random.normal()) for name in names}
        for origin in ("EWR", "JFK")
        for hour in range(7 * 12)
    ]
    return pl.DataFrame(rows, schema_overrides={"wind_gust": pl.Float64})


PLANES = pl.DataFrame(
    {
        "tailnum": [f"N{n}" for n in range(1, 6)],
        "year": [1990 + n for n in range(5)],
        "engines": [2] * 5,
        "seats": [100 + n for n in range(5)],
        "manufacturer": ["BOEING", "AIRBUS", "BOEING", "EMBRAER", "AIRBUS"],
        "engine": ["Turbo-fan"] * 5,
    }
)
AIRPORTS = pl.DataFrame(
    {
        "faa": ["LAX", "XNA"],
        "lat": [33.9, 1.0],
        "lon": [-118.4, 2.0],
        "alt": [126, 3],
        "tz": [-8, 4],
    }
)
AIRLINES = pl.DataFrame(
    {"carrier": ["AA", "EV"], "name": ["American Airlines", "ExpressJet Airlines"]}
)


def fly(model, weeks: Sequence[str] = WEEKS, seed: int = 7) -> InMemoryTables:
    """The validated tables of some weeks, and labels made by the stage."""
    tables = InMemoryTables()
    flights, weather = {}, {}
    for number, week in enumerate(weeks):
        random = np.random.default_rng([seed, number])
        flights[week] = flights_of(week, number, random)
        weather[week] = weather_of(week, random)
    tables.write(f"{FLIGHTS}/validated_flights", flights)
    tables.write(f"{FLIGHTS}/validated_weather", weather)
    for name, frame in {"planes": PLANES, "airports": AIRPORTS, "airlines": AIRLINES}.items():
        tables.write(f"{FLIGHTS}/validated_{name}", {"all": frame})
    data.build_labels(model, weeks, tables)
    return tables


@pytest.fixture(scope="module")
def flown(model) -> InMemoryTables:
    return fly(model)


@pytest.fixture
def online() -> InMemoryOnlineTables:
    return InMemoryOnlineTables()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2020, 1, 1, tzinfo=UTC))


def rows_of(table: Any, *by: str) -> Mapping[Any, Any]:
    (group,) = [group for group in table.groups if group.by == by]
    return group.rows


def look_up(online: Any, model: Any, entity: Mapping[str, Any], sent: Sequence[str]) -> Any:
    """The features of one entity by way of the server's lookups."""
    columns: dict[str, list[Any]] = {name: [entity[name]] for name in sent}
    assert OnlineLookups(online).fill(model.name, columns, 1)
    return {name: values[0] for name, values in columns.items()}


# --- what is published --------------------------------------------------------------------------


def test_a_flight_predicted_at_the_moment_is_looked_up_as_it_was_trained_on(
    model, flown, online, clock
):
    """From raw rows by the stages to the lookup: every feature that the caller leaves out."""
    built = data.build_features(model, [WEEKS[-1]], flown)
    assert built.leaks.passed
    offline = flown.read(f"{FLIGHTS}/features", [WEEKS[-1]])
    entities = flown.read(f"{FLIGHTS}/labels", [WEEKS[-1]])
    features = [name for group in model.spec.features.online for name in group.features]
    assert len(features) == len(model.features) - 7
    missing = 0
    for place in (5, 40, 70):
        entity = entities.sort(PREDICTED_AT).row(place, named=True)
        publish_online_features(model, flown, online, clock, entity[PREDICTED_AT].isoformat())
        found = look_up(online, model, entity, SENT)
        wanted = offline.filter(pl.col("flight_id") == entity["flight_id"]).row(0, named=True)
        assert {name: found[name] for name in features} == {name: wanted[name] for name in features}
        missing += sum(found[name] is None for name in features)
    assert 0 < missing < 3 * len(features)


def test_what_is_looked_up_is_what_is_built_and_the_report_says_for_how_many(
    model, flown, online, clock
):
    done = publish_online_features(model, flown, online, clock, "2013-02-20T15:00")
    assert done.verdict.passed
    assert done.verdict.evidence["rows"] > 300
    assert online.read(FLIGHTS) == done.table
    assert done.table.code == model.code_digest
    assert done.size == len(encode_table(done.table))
    assert online.publish(done.table) == done.digest


def test_each_group_has_the_keys_of_the_lookback_and_no_others(model, flown, online, clock):
    """Each week has an aircraft of its own; five weeks and the current one count."""
    done = publish_online_features(model, flown, online, clock, "2013-02-20T15:00")
    tails = {key[0] for key in rows_of(done.table, "tailnum") if key[0] and "-" in key[0]}
    assert tails == {f"N8-{week}" for week in range(2, 8)}
    assert set(rows_of(done.table, "carrier")) == {("AA",), ("B6",), ("EV",)}
    assert rows_of(done.table, "carrier")["EV",][0] == 1.0
    assert all(type(key[1]) is float for key in rows_of(done.table, "carrier", "flight"))
    assert len(rows_of(done.table)) == 1


def test_the_table_of_a_moment_holds_nothing_of_what_came_after(model, clock):
    """Weeks that follow, and the labels of flights still in the air, change no value."""
    at = "2013-01-30T15:00"
    early, late = InMemoryOnlineTables(), InMemoryOnlineTables()
    before = publish_online_features(model, fly(model, WEEKS[:5]), early, clock, at)
    after = publish_online_features(model, fly(model), late, clock, at)
    assert before.digest == after.digest
    other = fly(model)
    labels = other.read(f"{FLIGHTS}/labels")
    unknown = pl.col("known_at") > datetime(2013, 1, 30, 15, tzinfo=UTC)
    turned = labels.with_columns(late=pl.col("late").xor(unknown))
    assert not turned.equals(labels)
    other.write(f"{FLIGHTS}/labels", data.by_partition(turned, WEEKS))
    assert publish_online_features(model, other, late, clock, at).digest == before.digest


def test_another_moment_is_another_table(model, flown, online, clock):
    first = publish_online_features(model, flown, online, clock, "2013-02-20T15:00")
    second = publish_online_features(model, flown, online, clock, "2013-02-20T16:00")
    assert rows_of(first.table) != rows_of(second.table)
    assert online.read(FLIGHTS).as_of == "2013-02-20T16:00:00+00:00"


def test_a_feature_that_depends_on_more_is_named_and_the_table_is_there_all_the_same(
    make_model, flown, online, clock
):
    wrong = make_model({"- by: [carrier, flight]": "- by: [flight]"})
    done = publish_online_features(wrong, flown, online, clock, "2013-02-20T15:00")
    assert done.verdict.outcome == "failed"
    assert "flight_late_rate_28d by flight in " in done.verdict.reason
    assert list(done.verdict.evidence["differences"]) == ["flight_late_rate_28d"]
    assert online.read(FLIGHTS) == done.table


def test_coverage_is_measured_on_the_last_partition_against_those_before(
    model, flown, online, clock
):
    done = publish_online_features(model, flown, online, clock)
    last = flown.read(f"{FLIGHTS}/labels", [WEEKS[-1]])
    fresh = last.filter(pl.col("tailnum") == "N8-7").height
    coverage = {g.by: share for g, share in zip(done.table.groups, done.coverage, strict=True)}
    assert 0 < fresh < last.height
    assert coverage["tailnum",] == pytest.approx(1 - fresh / last.height)
    assert coverage["carrier",] == coverage[()] == 1.0


def test_given_one_partition_only_then_there_is_no_coverage_to_speak_of(model, online, clock):
    done = publish_online_features(model, fly(model, WEEKS[:1]), online, clock)
    assert set(done.coverage) == {0.0}


# --- which moment -------------------------------------------------------------------------------


def test_by_default_the_moment_is_now_and_never_after_the_last_flight(model, flown, online):
    last = flown.read(f"{FLIGHTS}/labels")[PREDICTED_AT].max()
    now = datetime(2013, 2, 18, 12, 34, 56, tzinfo=UTC)
    for at, wanted in ((now, now), (last, last), (last + timedelta(days=900), last)):
        done = publish_online_features(model, flown, online, FixedClock(at))
        assert done.table.as_of == wanted.isoformat()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2013-02-20", "2013-02-20T00:00:00+00:00"),
        ("2013-02-20T10:00:00-05:00", "2013-02-20T15:00:00+00:00"),
        ("2113-02-20", None),
    ],
)
def test_a_moment_that_is_asked_for_is_taken_in_utc(model, flown, online, clock, written, meant):
    last = flown.read(f"{FLIGHTS}/labels")[PREDICTED_AT].max()
    done = publish_online_features(model, flown, online, clock, written)
    assert done.table.as_of == (meant or last.isoformat())


def test_between_two_partitions_the_sources_of_the_later_one_are_seen(model, flown, online, clock):
    """Monday at half past two: the last flight is last week's, the last weather two hours old."""
    at = datetime(2013, 2, 18, 7, 30, tzinfo=UTC)
    weather = flown.read(f"{FLIGHTS}/validated_weather", [WEEKS[-1]])
    done = publish_online_features(model, flown, online, clock, at.isoformat())
    seen = weather.filter(pl.col("time_hour") <= at, pl.col("origin") == "JFK")
    newest = seen.sort("time_hour").row(-1, named=True)
    assert at - newest["time_hour"] < timedelta(hours=2)
    assert rows_of(done.table, "origin")["JFK",][0] == newest["temp"]


def test_after_a_gap_longer_than_the_lookback_the_last_flights_there_are_count(
    model, online, clock
):
    tables = fly(model, (WEEKS[0], WEEKS[-1]))
    done = publish_online_features(model, tables, online, clock, "2013-02-18T07:30")
    assert set(rows_of(done.table, "carrier")) == {("AA",), ("B6",), ("EV",)}


def test_features_are_built_without_label_and_outcome_of_the_entities(
    model, flown, online, clock, monkeypatch
):
    seen: list[set[str]] = []
    built = flight_delays.build_features

    def spying(inputs):
        seen.append(set(inputs.entities.columns))
        return built(inputs)

    monkeypatch.setattr(flight_delays, "build_features", spying)
    publish_online_features(model, flown, online, clock)
    assert len(seen) == 2
    assert not any(columns & {"late", "known_at"} for columns in seen)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("yesterday", "as_of 'yesterday' is no moment"),
        ("2012-12-31", "no entity was predicted by 2012-12-31 00:00 UTC"),
        ("2010-01-01", "no entity was predicted by 2010-01-01 00:00 UTC"),
    ],
)
def test_a_moment_that_cannot_be_is_refused_and_nothing_is_published(
    model, flown, online, clock, written, said
):
    with pytest.raises(FeatureError, match=said):
        publish_online_features(model, flown, online, clock, written)
    assert online.read(FLIGHTS) is None


def test_before_anything_was_ingested_the_job_to_run_is_named(model, online, clock):
    with pytest.raises(FeatureError, match="no table flight_delays/labels; run the job ingest"):
        publish_online_features(model, InMemoryTables(), online, clock)
    tables = fly(model, WEEKS[:1])
    empty = tables.read(f"{FLIGHTS}/labels").clear().drop("partition")
    tables.write(f"{FLIGHTS}/labels", {WEEKS[0]: empty})
    with pytest.raises(FeatureError, match="has no rows; run the job ingest"):
        publish_online_features(model, tables, online, clock)


# --- seattle_rain, from its file ----------------------------------------------------------------


@pytest.fixture(scope="module")
def rain():
    return read_example(
        RAIN, {"features": {"numeric": RATES, "online": [{"by": [], "features": RATES}]}}
    )


@pytest.fixture(scope="module")
def rained(rain) -> InMemoryTables:
    """Four months from the raw file to features."""
    tables = InMemoryTables()
    for source in rain.sources.values():
        data.ingest_source(rain, source, MONTHS, LocalFiles(), tables)
        data.validate_source(rain, source, MONTHS, tables)
    data.build_labels(rain, MONTHS, tables)
    assert data.build_features(rain, MONTHS, tables).leaks.passed
    return tables


def test_every_morning_the_same_is_looked_up_as_was_trained_on(rain, rained, online, clock):
    offline = rained.read(f"{RAIN}/features", [MONTHS[-1]])
    for row in offline.rows(named=True):
        done = publish_online_features(rain, rained, online, clock, row["morning"].isoformat())
        assert done.verdict.passed
        assert rows_of(done.table) == {(): tuple(row[name] for name in RATES)}


def test_the_leak_check_of_the_features_holds_for_the_table_too(rain, rained, online, clock):
    """Built once more from what was known at the moment, no entity of that moment changes."""
    inputs = data.build_features(rain, MONTHS[:3], rained)
    assert inputs.leaks.passed
    features = rained.read(f"{RAIN}/features")
    at = features.sort(PREDICTED_AT).row(70, named=True)
    done = publish_online_features(rain, rained, online, clock, at["morning"].isoformat())
    (values,) = rows_of(done.table).values()
    looked_up = pl.DataFrame([dict(zip(RATES, values, strict=True)) | {"day": at["day"]}])
    assert count_changes(features, looked_up, rain.features, rain.spec.entities) == {}


# --- the asset ----------------------------------------------------------------------------------


def materialize(model, tables, online, clock, **config: Any):
    return dg.materialize(
        [build_online_features(model)],
        run_config={"ops": {f"{model.name}__online_features": {"config": config}}},
        resources={"tables": tables, "online": online, "clock": clock},
        raise_on_error=False,
    )


def test_a_model_without_groups_has_no_such_asset():
    names = {key.path[-1] for made in build_assets(read_example(RAIN)) for key in made.keys}
    assert "online_features" not in names


def test_the_asset_publishes_and_shows_what(model, flown, online, clock):
    result = materialize(model, flown, online, clock, as_of="2013-02-20T15:00")
    assert result.success
    (event,) = result.get_asset_materialization_events()
    shown = {name: value.value for name, value in event.materialization.metadata.items()}
    table = online.read(FLIGHTS)
    assert shown["as_of"] == table.as_of == "2013-02-20T15:00:00+00:00"
    assert shown["bytes"] == len(encode_table(table))
    assert shown["dagster/row_count"] == sum(len(group.rows) for group in table.groups)
    assert 0 < shown["coverage"] < 1
    assert shown["seconds"] > 0
    assert "| tailnum |" in shown["groups"]
    assert "| nothing | late_rate_2d | 1 | 100.0% |" in shown["groups"]
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("online_equals_offline", True)


def test_a_check_that_fails_is_an_error_and_stops_nothing(make_model, flown, online, clock):
    wrong = make_model({"- by: [carrier, flight]": "- by: [flight]"})
    result = materialize(wrong, flown, online, clock)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    (spec,) = build_online_features(wrong).check_specs
    assert not spec.blocking


def test_the_asset_comes_after_labels_and_every_source_of_the_features(model):
    (spec,) = build_online_features(model).specs
    assert {dep.asset_key.path[-1] for dep in spec.deps} == {
        "labels",
        *(f"validated_{name}" for name in ("weather", "planes", "airports", "airlines")),
    }
    assert spec.group_name == FLIGHTS
    assert build_online_features(model).partitions_def is None
