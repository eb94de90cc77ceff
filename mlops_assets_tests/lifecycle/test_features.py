"""Features: history functions against loops, contracts, and the proof that the future is away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.defs.flight_delays import model as flight_delays
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.features import (
    EntityPolicy,
    FeatureInputs,
    build_entity_rows,
    build_feature_rows,
    build_label_rows,
    count_changes,
    find_leaks,
    judge_leaks,
    judge_lookback,
)
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT, latest_known, rolling_rate
from mlops_assets.lifecycle.training import Feature

ZERO = datetime(2013, 1, 7, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
POLICY = EntityPolicy("visits", "id", "time", ("id", "time"), lead=60)
RATE = (Feature("rate", "numeric"),)


def at(hours: float) -> datetime:
    return ZERO + timedelta(hours=hours)


# --- rolling_rate -------------------------------------------------------------------------------

HOURS = st.integers(0, 12)
ENTITIES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), HOURS), max_size=12)
HISTORY = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from("xy"),
        HOURS,
        st.sampled_from([True, False, None]),
    ),
    max_size=25,
)


def entity_frame(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(group, kind, at(hour)) for group, kind, hour in rows],
        schema={"group": pl.String, "kind": pl.String, PREDICTED_AT: MOMENT},
        orient="row",
    )


def history_frame(rows: list[tuple[str, str, int, bool | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(group, kind, at(hour), late) for group, kind, hour, late in rows],
        schema={"group": pl.String, "kind": pl.String, KNOWN_AT: MOMENT, "late": pl.Boolean},
        orient="row",
    )


def rates_by_hand(entities: Any, history: Any, by: list[str], hours: int) -> list[float | None]:
    found: list[float | None] = []
    for group, kind, now in entities:
        late = [
            value
            for other, sort, known, value in history
            if ("group" not in by or other == group)
            and ("kind" not in by or sort == kind)
            and value is not None
            and now - hours < known <= now
        ]
        found.append(sum(late) / len(late) if late else None)
    return found


BY = st.sampled_from([["group"], ["kind"], ["group", "kind"]])


@settings(max_examples=60)
@given(entities=ENTITIES, history=HISTORY, by=BY, hours=st.integers(1, 12))
def test_a_rolling_rate_is_the_share_of_labels_known_in_the_window(entities, history, by, hours):
    rates = rolling_rate(
        entity_frame(entities),
        history_frame(history),
        label="late",
        by=by,
        window=timedelta(hours=hours),
    )
    assert rates.to_list() == rates_by_hand(entities, history, by, hours)


@settings(max_examples=30)
@given(entities=ENTITIES, history=HISTORY, older=HISTORY, newer=HISTORY)
def test_a_rolling_rate_depends_neither_on_older_history_nor_on_what_is_known_later(
    entities, history, older, newer
):
    def rates(past: list[Any]) -> list[float | None]:
        return rolling_rate(
            entity_frame(entities),
            history_frame(past),
            label="late",
            by=["group"],
            window=timedelta(hours=6),
        ).to_list()

    long_ago = [(group, kind, hour - 100, late) for group, kind, hour, late in older]
    afterwards = [(group, kind, hour + 100, late) for group, kind, hour, late in newer]
    assert rates([*afterwards, *history, *long_ago]) == rates(history)


@settings(max_examples=40)
@given(entities=ENTITIES, history=HISTORY, data=st.data())
def test_a_rolling_rate_follows_its_entity_whatever_order_rows_come_in(entities, history, data):
    order = data.draw(st.permutations(range(len(entities))))
    shuffled = data.draw(st.permutations(history))

    def rates(rows: list[Any], past: list[Any]) -> list[float | None]:
        return rolling_rate(
            entity_frame(rows),
            history_frame(past),
            label="late",
            by=["group", "kind"],
            window=timedelta(hours=5),
        ).to_list()

    straight = rates(entities, history)
    assert rates([entities[i] for i in order], shuffled) == [straight[i] for i in order]


# --- latest_known -------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    entities=ENTITIES,
    seen=st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), HOURS), max_size=25),
    hours=st.integers(0, 12),
)
def test_the_latest_known_row_is_the_last_one_not_too_old(entities, seen, hours):
    rows = [(*row, number) for number, row in enumerate(sorted(seen, reverse=True))]
    table = pl.DataFrame(
        [(group, kind, at(hour), value) for group, kind, hour, value in rows],
        schema={"group": pl.String, "kind": pl.String, "seen": MOMENT, "value": pl.Int64},
        orient="row",
    )
    joined = latest_known(
        entity_frame(entities),
        table,
        by=["group", "kind"],
        time="seen",
        tolerance=timedelta(hours=hours),
    )
    expected = []
    for group, kind, now in entities:
        known = [
            (hour, value)
            for other, sort, hour, value in rows
            if (other, sort) == (group, kind) and now - hours <= hour <= now
        ]
        expected.append(max(known)[1] if known else None)
    assert joined["value"].to_list() == expected
    assert joined.select("group", "kind", PREDICTED_AT).equals(entity_frame(entities))


@pytest.mark.parametrize("name", ["row", "upto", "positives", "seen"])
def test_an_entity_may_have_any_column_name(name):
    entities = entity_frame([("a", "x", 1)]).rename({"group": name})
    table = pl.DataFrame({name: ["a"], "measured": [at(0)], "value": [1]})
    hour = timedelta(hours=1)
    joined = latest_known(entities, table, by=[name], time="measured", tolerance=hour)
    assert joined["value"].to_list() == [1]
    history = history_frame([("a", "x", 1, True)]).rename({"group": name})
    rates = rolling_rate(entities, history, label="late", by=[name], window=hour)
    assert rates.to_list() == [1.0]


# --- contracts ----------------------------------------------------------------------------------

VISITS = pl.DataFrame(
    {
        "id": ["v1", "v2", "v3"],
        "time": [at(5), at(6), at(7)],
        "outcome": [True, False, None],
        "done": [at(8), at(9), None],
    },
    schema_overrides={"time": MOMENT, "done": MOMENT},
)


def labels_of(visits: pl.DataFrame) -> pl.DataFrame:
    return visits.select("id", late="outcome", known_at="done")


def test_entities_are_built_from_what_is_known_alone_and_predicted_for_ahead_of_their_time():
    seen: list[str] = []

    def build(visits: pl.DataFrame) -> pl.DataFrame:
        seen.extend(visits.columns)
        return visits.select("id", "time")

    entities = build_entity_rows(build, VISITS, POLICY)
    assert seen == ["id", "time"]
    assert entities[PREDICTED_AT].to_list() == [at(4), at(5), at(6)]


def test_labels_are_joined_by_key_in_the_order_of_the_entities():
    entities = VISITS.select("id", "time").reverse()
    rows = build_label_rows(labels_of, VISITS, entities, POLICY, "late")
    assert rows["id"].to_list() == ["v3", "v2", "v1"]
    assert rows["late"].to_list() == [None, False, True]
    assert rows[KNOWN_AT].to_list() == [None, at(9), at(8)]


def test_a_label_without_the_moment_it_became_known_is_refused():
    broken = VISITS.with_columns(pl.lit(None, MOMENT).alias("done"))
    with pytest.raises(FeatureError, match=r"build_labels: 2 labelled row.*say when each label"):
        build_label_rows(labels_of, broken, VISITS.select("id", "time"), POLICY, "late")


INPUTS = FeatureInputs(
    VISITS.select("id", "time").with_columns(predicted_at=pl.col("time")), VISITS.clear()
)


def test_features_come_in_the_declared_order_and_type_with_key_and_times():
    wanted = (Feature("kind", "categorical"), Feature("rate", "numeric"))

    def build(inputs: FeatureInputs) -> pl.DataFrame:
        made = inputs.entities.select("id", rate=pl.Series([1, 2, 3]), kind=7, extra=0)
        return made.reverse()

    rows = build_feature_rows(build, INPUTS, wanted, POLICY)
    assert rows.columns == ["id", "time", PREDICTED_AT, "kind", "rate"]
    assert rows["id"].to_list() == ["v1", "v2", "v3"]
    assert rows["rate"].to_list() == [1.0, 2.0, 3.0]
    assert rows["kind"].to_list() == ["7", "7", "7"]
    assert rows.schema["rate"] == pl.Float64


def build_rows_with(function: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Calls the wiring of one function of ``model.py``, with its result changed."""
    if function == "build_entities":
        return build_entity_rows(lambda v: change(v.select("id", "time")), VISITS, POLICY)
    if function == "build_labels":
        entities = VISITS.select("id", "time")
        return build_label_rows(lambda v: change(labels_of(v)), VISITS, entities, POLICY, "late")
    return build_feature_rows(
        lambda inputs: change(inputs.entities.with_columns(rate=0.0)), INPUTS, RATE, POLICY
    )


FUNCTIONS = ("build_entities", "build_labels", "build_features")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rows_that_vanish_or_multiply_are_refused_with_the_numbers(function):
    with pytest.raises(FeatureError, match=f"{function}: must return one row per 'id': 3 expected"):
        build_rows_with(function, lambda frame: frame.head(2))
    with pytest.raises(FeatureError, match="6 came with 3 different keys"):
        build_rows_with(function, lambda frame: pl.concat([frame, frame]))
    with pytest.raises(FeatureError, match="3 came with 1 different keys"):
        build_rows_with(function, lambda frame: frame.with_columns(id=pl.lit("v1")))


@pytest.mark.parametrize(
    ("function", "column"),
    [("build_entities", "time"), ("build_labels", "known_at"), ("build_features", "rate")],
)
def test_a_column_that_is_missing_is_named_with_what_came(function, column):
    said = f"{function}: must return the column.s. {column}; it returned id"
    with pytest.raises(FeatureError, match=said):
        build_rows_with(function, lambda frame: frame.drop(column))


@pytest.mark.parametrize("function", ["build_labels", "build_features"])
def test_keys_that_are_not_those_of_the_entities_are_refused(function):
    said = f"{function}: must return the keys of the entities, 3 key.s. are not: 'V1', 'V2', 'V3'"
    with pytest.raises(FeatureError, match=said):
        build_rows_with(function, lambda frame: frame.with_columns(pl.col("id").str.to_uppercase()))


def test_keys_of_another_type_than_those_of_the_entities_are_refused():
    with pytest.raises(FeatureError, match="'id' must be String as in the entities, it came as"):
        build_rows_with("build_features", lambda frame: frame.with_columns(id=pl.Series([1, 2, 3])))


def test_text_in_a_numeric_feature_is_refused_in_words():
    with pytest.raises(FeatureError, match=r"'rate'.*\[\"fast\""):
        build_rows_with("build_features", lambda frame: frame.with_columns(rate=pl.lit("fast")))


@pytest.mark.parametrize("name", ["lead", "lookback"])
def test_a_negative_lead_or_lookback_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must not be negative, got -1"):
        EntityPolicy("s", "k", "t", (), **{name: -1})


# --- leaks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs() -> FeatureInputs:
    """200 hourly entities whose label is known 30 hours after they are predicted."""
    random = np.random.default_rng(3)
    count = 200
    entities = pl.DataFrame(
        {
            "id": [f"v{n}" for n in range(count)],
            "time": [at(n + 1) for n in range(count)],
            PREDICTED_AT: [at(n) for n in range(count)],
            "group": random.choice(["a", "b"], size=count),
        }
    )
    history = entities.with_columns(
        pl.Series("late", random.random(count) < 0.5),
        (pl.col(PREDICTED_AT) + timedelta(hours=30)).alias(KNOWN_AT),
    )
    weather = pl.DataFrame(
        {
            "seen": [at(hour) for hour in range(count)],
            "group": random.choice(["a", "b"], size=count),
            "wind": random.normal(size=count),
        }
    )
    return FeatureInputs(entities, history, {"weather": weather}, {"weather": "seen"})


def history_by_own_key(inputs: FeatureInputs) -> pl.DataFrame:
    own = inputs.history.select("id", rate="late")
    return inputs.entities.join(own, on="id", how="left", maintain_order="left")


def mean_of_all_history(inputs: FeatureInputs) -> pl.DataFrame:
    mean = inputs.history["late"].cast(pl.Float64).mean()
    return inputs.entities.with_columns(rate=pl.lit(mean))


def group_mean_of_all_history(inputs: FeatureInputs) -> pl.DataFrame:
    means = inputs.history.group_by("group").agg(rate=pl.col("late").mean())
    return inputs.entities.join(means, on="group", how="left", maintain_order="left")


def rolling_until_the_label_itself(inputs: FeatureInputs) -> pl.DataFrame:
    later = inputs.entities.with_columns(pl.col(PREDICTED_AT) + timedelta(hours=30))
    rates = rolling_rate(
        later, inputs.history, label="late", by=["group"], window=timedelta(hours=5)
    )
    return inputs.entities.with_columns(rate=rates)


def weather_of_the_time_itself(inputs: FeatureInputs) -> pl.DataFrame:
    return (
        latest_known(
            inputs.entities.with_columns(pl.col(PREDICTED_AT) + timedelta(hours=2)),
            inputs.sources["weather"],
            by=["group"],
            time="seen",
            tolerance=timedelta(hours=1),
        )
        .rename({"wind": "rate"})
        .select("id", "rate")
    )


def mean_over_all_entities(inputs: FeatureInputs) -> pl.DataFrame:
    return inputs.entities.with_columns(rate=pl.col("time").dt.epoch("s").mean())


def rolling_until_predicted(inputs: FeatureInputs) -> pl.DataFrame:
    rates = rolling_rate(
        inputs.entities, inputs.history, label="late", by=["group"], window=timedelta(hours=40)
    )
    return inputs.entities.with_columns(rate=rates)


def weather_last_seen(inputs: FeatureInputs) -> pl.DataFrame:
    return latest_known(
        inputs.entities,
        inputs.sources["weather"],
        by=["group"],
        time="seen",
        tolerance=timedelta(hours=6),
    ).rename({"wind": "rate"})


def nothing_but_the_schedule(inputs: FeatureInputs) -> pl.DataFrame:
    return inputs.entities.with_columns(rate=pl.col("time").dt.hour())


def leaks_of(build: Callable[[FeatureInputs], pl.DataFrame], inputs: FeatureInputs, cut: datetime):
    built = build_feature_rows(build, inputs, RATE, POLICY)
    return find_leaks(build, inputs, built, RATE, POLICY, cut)


@pytest.mark.parametrize(
    "build",
    [
        history_by_own_key,
        mean_of_all_history,
        group_mean_of_all_history,
        rolling_until_the_label_itself,
        weather_of_the_time_itself,
        mean_over_all_entities,
    ],
)
def test_a_builder_that_uses_the_future_is_caught(inputs, build):
    leaks = leaks_of(build, inputs, at(100))
    assert set(leaks) == {"rate"}
    assert 0 < leaks["rate"] <= 101


def test_the_rows_that_change_are_those_whose_future_was_taken_away(inputs):
    assert leaks_of(history_by_own_key, inputs, at(100)) == {"rate": 30}


@pytest.mark.parametrize(
    "build", [rolling_until_predicted, weather_last_seen, nothing_but_the_schedule]
)
@pytest.mark.parametrize("hour", [0, 50, 100, 199])
def test_a_builder_that_knows_only_the_past_is_cleared_at_any_cut(inputs, build, hour):
    assert leaks_of(build, inputs, at(hour)) == {}


def test_rows_are_compared_by_key_whatever_order_they_were_built_in(inputs):
    built = build_feature_rows(weather_last_seen, inputs, RATE, POLICY)
    backwards = built.reverse()
    assert find_leaks(weather_last_seen, inputs, backwards, RATE, POLICY, at(100)) == {}


def test_a_table_without_a_time_was_always_known(inputs):
    names = pl.DataFrame({"group": ["a", "b"], "rate": [1.0, 2.0]})
    known = FeatureInputs(inputs.entities, inputs.history, {"names": names})

    def build(given: FeatureInputs) -> pl.DataFrame:
        return given.entities.join(
            given.sources["names"], on="group", how="left", maintain_order="left"
        )

    assert leaks_of(build, known, at(100)) == {}
    assert known.known_by(at(-1)).sources["names"].equals(names)


@given(hour=st.integers(-2, 240))
@settings(max_examples=30)
def test_inputs_as_of_a_moment_hold_everything_known_by_then_and_nothing_later(inputs, hour):
    past = inputs.known_by(at(hour))
    known = [moment <= at(hour) for moment in inputs.history[KNOWN_AT]]
    assert past.history.equals(inputs.history.filter(pl.Series(known)))
    assert past.sources["weather"].height == min(max(hour + 1, 0), 200)
    assert past.entities.equals(inputs.entities.head(max(hour + 1, 0)))


def test_the_verdict_on_leaks_names_features_and_rows():
    leaky = judge_leaks({"rate": 30, "wind": 2}, at(100), 101)
    assert (leaky.name, leaky.outcome) == ("features_know_only_the_past", "failed")
    assert leaky.reason.endswith("these change: rate in 30 rows, wind in 2 rows")
    assert leaky.evidence == {"leaks": {"rate": 30, "wind": 2}}
    clean = judge_leaks({}, at(100), 101)
    assert clean.passed
    assert "101 rows predicted by 2013-01-11 04:00 UTC" in clean.reason


# --- flight_delays ------------------------------------------------------------------------------

WEEKS, PER_WEEK = 8, 150


@pytest.fixture(scope="module")
def flight_spec() -> dict[str, Any]:
    folder = Path(flight_delays.__file__).parent
    return yaml.safe_load((folder / "defs.yaml").read_text())["attributes"]


@pytest.fixture(scope="module")
def flight_features(flight_spec) -> tuple[Feature, ...]:
    return tuple(
        Feature(name, kind)
        for kind in ("categorical", "numeric")
        for name in flight_spec["features"][kind]
    )


@pytest.fixture(scope="module")
def flight_policy(flight_spec) -> EntityPolicy:
    stated = flight_spec["entities"]
    return EntityPolicy(**{**stated, "known": tuple(stated["known"])})


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    """Eight weeks of flights, each tenth cancelled, with lateness that differs by week."""
    random = np.random.default_rng(11)
    count = WEEKS * PER_WEEK
    hour = np.sort(random.integers(0, WEEKS * 7 * 24 - 24, size=count))
    delay = random.normal(5, 25, size=count).round().astype(int)
    flown = random.random(count) > 0.1
    return pl.DataFrame(
        {
            "time_hour": [at(int(h)) for h in hour],
            "minute": random.integers(0, 60, size=count),
            "carrier": random.choice(["UA", "DL", "EV"], size=count),
            "flight": np.arange(count) % 40,
            "origin": random.choice(["EWR", "JFK", "LGA"], size=count),
            "dest": random.choice(["ORD", "BOS", "XXX"], size=count),
            "tailnum": random.choice(["N1", "N2", None], size=count),
            "distance": random.integers(100, 2500, size=count),
            "sched_arr_time": random.integers(0, 24, size=count) * 100 + 15,
            "dep_delay": pl.Series(delay).cast(pl.Int64),
            "air_time": random.integers(30, 300, size=count),
            "arr_delay": pl.Series(delay + 3).cast(pl.Int64),
        }
    ).with_columns(
        pl.when(pl.Series(flown)).then(pl.col("dep_delay", "air_time", "arr_delay")),
        year=pl.col("time_hour").dt.year(),
        month=pl.col("time_hour").dt.month(),
        day=pl.col("time_hour").dt.day(),
        hour=pl.col("time_hour").dt.hour(),
        sched_dep_time=pl.col("time_hour").dt.hour().cast(pl.Int64) * 100 + pl.col("minute"),
        dep_time=pl.lit(0),
        arr_time=pl.lit(0),
        week=(pl.col("time_hour") - ZERO).dt.total_days() // 7,
    )


@pytest.fixture(scope="module")
def flight_tables() -> dict[str, pl.DataFrame]:
    random = np.random.default_rng(12)
    hours = WEEKS * 7 * 24
    measures = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    weather = pl.DataFrame(
        {
            "origin": ["EWR", "JFK", "LGA"] * hours,
            "time_hour": [at(hour) for hour in range(hours) for _ in range(3)],
            **{name: random.normal(size=3 * hours) for name in measures},
        }
    )
    return {
        "weather": weather.filter(pl.Series(random.random(3 * hours) < 0.7)),
        "planes": pl.DataFrame(
            {
                "tailnum": ["N1", "N2"],
                "year": [1999, None],
                "manufacturer": ["BOEING", "AIRBUS"],
                "engines": [2, 2],
                "seats": [149, 200],
                "engine": ["Turbo-fan", "Turbo-jet"],
            }
        ),
        "airports": pl.DataFrame(
            {
                "faa": ["ORD", "BOS"],
                "lat": [41.9, 42.3],
                "lon": [-87.9, -71.0],
                "alt": [668.0, 19.0],
                "tz": [-6.0, -5.0],
            }
        ),
        "airlines": pl.DataFrame(
            {"carrier": ["UA", "DL", "EV"], "name": ["United", "Delta", "ExpressJet Airlines"]}
        ),
    }


@pytest.fixture(scope="module")
def flight_labels(flights, flight_policy) -> pl.DataFrame:
    entities = build_entity_rows(flight_delays.build_entities, flights, flight_policy)
    return build_label_rows(
        flight_delays.build_labels, flights, entities, flight_policy, "late"
    ).with_columns(flights["week"])


@pytest.fixture(scope="module")
def flight_inputs(flight_labels, flight_tables, flight_policy) -> Callable[..., FeatureInputs]:
    """The inputs of a range of weeks, with its lookback and nothing else."""

    def of(first: int, last: int) -> FeatureInputs:
        reach = first - flight_policy.lookback
        wide = flight_labels.filter(pl.col("week").is_between(reach, last))
        entities = wide.filter(pl.col("week") >= first).drop("week", "late", KNOWN_AT)
        begin, end = at(reach * 168), at((last + 1) * 168)
        weather = flight_tables["weather"].filter(
            pl.col("time_hour").is_between(begin, end, closed="left")
        )
        tables = {**flight_tables, "weather": weather}
        return FeatureInputs(entities, wide.drop("week"), tables, {"weather": "time_hour"})

    return of


def test_flight_features_of_a_week_alone_equal_those_within_a_range(
    flight_inputs, flight_features, flight_policy
):
    def built(first: int, last: int) -> pl.DataFrame:
        return build_feature_rows(
            flight_delays.build_features, flight_inputs(first, last), flight_features, flight_policy
        )

    together = built(0, WEEKS - 1)
    alone = pl.concat([built(week, week) for week in range(WEEKS)])
    assert together.height == WEEKS * PER_WEEK
    assert alone.equals(together)


def test_flight_features_know_only_the_past(flight_inputs, flight_features, flight_policy):
    inputs = flight_inputs(0, WEEKS - 1)
    build = flight_delays.build_features
    built = build_feature_rows(build, inputs, flight_features, flight_policy)
    for week in (2, 4, 7):
        cut = at(week * 168 + 40)
        assert find_leaks(build, inputs, built, flight_features, flight_policy, cut) == {}


def test_flight_features_are_filled_where_something_is_known(
    flight_inputs, flight_features, flight_policy
):
    built = build_feature_rows(
        flight_delays.build_features, flight_inputs(5, 7), flight_features, flight_policy
    )
    filled = {feature.name: built[feature.name].is_not_null().mean() for feature in flight_features}
    assert all(share > 0.25 for share in filled.values()), filled
    assert filled["carrier_late_rate_28d"] == filled["departure_minute"] == 1.0


def test_flight_labels_are_late_beyond_the_limit_and_known_after_the_flight(flights, flight_labels):
    limit = flight_delays.LATE_AFTER
    assert flight_labels["late"].to_list() == [
        None if delay is None else delay > limit for delay in flights["arr_delay"]
    ]
    known = flight_labels.filter(pl.col("late").is_not_null())
    assert (known[KNOWN_AT] > known[PREDICTED_AT]).all()
    assert (flight_labels[KNOWN_AT].is_null() == flight_labels["late"].is_null()).all()


def test_flights_are_predicted_an_hour_before_their_schedule(flights, flight_labels):
    minutes = [timedelta(minutes=minute - 60) for minute in flights["minute"]]
    expected = [hour + gap for hour, gap in zip(flights["time_hour"], minutes, strict=True)]
    assert flight_labels[PREDICTED_AT].to_list() == expected


def test_scheduled_minutes_go_around_midnight(flights):
    night = flights.head(1).with_columns(sched_dep_time=2330, sched_arr_time=115)
    assert flight_delays.build_entities(night)["scheduled_minutes"].to_list() == [105]


def test_without_a_group_rates_and_latest_rows_are_over_all() -> None:
    # given three labels, one of them too old and one not known yet
    day = datetime(2013, 1, 10, tzinfo=UTC)
    known = [day - timedelta(days=d) for d in (20, 2, 1, -1)]
    history = pl.DataFrame({KNOWN_AT: known, "late": [True, True, False, True]})
    entities = pl.DataFrame({PREDICTED_AT: [day]})

    # when they are counted without a group
    rate = rolling_rate(entities, history, label="late", by=[], window=timedelta(days=7))
    latest = latest_known(entities, history, by=[], time=KNOWN_AT, tolerance=timedelta(days=7))

    # then all that were known in the window count, and the last of them is the latest
    assert rate.to_list() == [0.5]
    assert latest["late"].to_list() == [False]


def test_more_history_than_the_lookback_must_change_nothing() -> None:
    # given features built with a short history, and again with a longer one
    policy = EntityPolicy("rows", "id", "at", (), lookback=1)
    features = (Feature("rate", "numeric"), Feature("size", "numeric"))
    built = pl.DataFrame({"id": ["a", "b", "c"], "rate": [0.1, 0.2, 0.3], "size": [1.0, 2.0, 3.0]})
    again = pl.DataFrame({"id": ["b", "a"], "rate": [0.2, 0.9], "size": [2.0, 1.0]})

    # when they are compared by key, then the feature that needed more is named
    changes = count_changes(built, again, features, policy)
    verdict = judge_lookback(changes, policy.lookback)
    assert changes == {"rate": 1}
    assert verdict.outcome == "failed"
    assert "rate in 1 rows" in verdict.reason
    assert judge_lookback({}, policy.lookback).passed
