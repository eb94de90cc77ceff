"""Online features: the values of a moment by key, against loops, and held against the entities."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.features import EntityPolicy, FeatureInputs, find_leaks
from mlops_assets.lifecycle.online import (
    FeatureGroup,
    FeatureRecipe,
    OnlineGroup,
    build_groups,
    find_differences,
    find_seen,
    judge_online,
    measure_coverage,
    read_keys,
    read_values,
    retime,
)
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT, latest_known, rolling_rate
from mlops_assets.lifecycle.training import Feature

ZERO = datetime(2013, 1, 7, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
POLICY = EntityPolicy("visits", "id", "time", ("id", "time"), lead=60)
FEATURES = (
    Feature("shop_rate", "numeric"),
    Feature("pair_rate", "numeric"),
    Feature("rate", "numeric"),
    Feature("sky", "categorical"),
)
GROUPS = (
    FeatureGroup(("shop",), ("shop_rate", "sky")),
    FeatureGroup(("shop", "till"), ("pair_rate",)),
    FeatureGroup((), ("rate",)),
)
WINDOW = 6

Visit = tuple[str, int | None, int, bool | None, int]
"""Shop, till, hour of the prediction, label, hours until it is known."""

VISITS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([1, 2, None]),
        st.integers(0, 12),
        st.sampled_from([True, False, None]),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=25,
)


def at(hours: float) -> datetime:
    return ZERO + timedelta(hours=hours)


def rate(inputs: FeatureInputs, *by: str) -> pl.Series:
    window = timedelta(hours=WINDOW)
    return rolling_rate(inputs.entities, inputs.history, label="good", by=by, window=window)


def build(inputs: FeatureInputs) -> pl.DataFrame:
    """Rates by each group, and the sky last seen above a shop."""
    skies = inputs.sources["skies"]
    found = latest_known(
        inputs.entities, skies, by=["shop"], time="seen", tolerance=timedelta(hours=4)
    )
    return found.with_columns(
        rate(inputs, "shop").alias("shop_rate"),
        rate(inputs, "shop", "till").alias("pair_rate"),
        rate(inputs).alias("rate"),
    )


def history_of(visits: list[Visit]) -> pl.DataFrame:
    rows = [
        (f"v{n:02d}", at(hour + 1), at(hour), shop, till, good, at(hour + after))
        for n, (shop, till, hour, good, after) in enumerate(visits)
    ]
    schema: dict[str, Any] = {
        "id": pl.String,
        "time": MOMENT,
        PREDICTED_AT: MOMENT,
        "shop": pl.String,
        "till": pl.Int64,
        "good": pl.Boolean,
        KNOWN_AT: MOMENT,
    }
    return pl.DataFrame(rows, schema, orient="row")


def skies_of(*rows: tuple[str, int, str]) -> pl.DataFrame:
    schema: dict[str, Any] = {"shop": pl.String, "seen": MOMENT, "sky": pl.String}
    return pl.DataFrame([(s, at(hour), sky) for s, hour, sky in rows], schema, orient="row")


SKIES = skies_of(("a", 1, "grey"), ("a", 5, "blue"), ("b", 8, "red"))


def inputs_of(visits: list[Visit], skies: pl.DataFrame = SKIES) -> FeatureInputs:
    history = history_of(visits)
    entities = history.drop("good", KNOWN_AT)
    return FeatureInputs(entities, history, {"skies": skies}, {"skies": "seen"})


def recipe(function: Callable[[FeatureInputs], pl.DataFrame] = build, **more: Any) -> FeatureRecipe:
    return replace(FeatureRecipe(function, FEATURES, POLICY), **more)


def rows_of(groups: tuple[OnlineGroup, ...], *by: str) -> dict[Any, Any]:
    (group,) = [group for group in groups if group.by == by]
    return dict(group.rows)


# --- the values ---------------------------------------------------------------------------------


def rate_by_hand(visits: list[Visit], now: int, shop: str | None, till: Any) -> float | None:
    """The share of good visits that became known in the window before ``now``, by a loop."""
    good = [
        label
        for other, place, hour, label, after in visits
        if label is not None
        and shop in (None, other)
        and till in ("any", place)
        and now - WINDOW < hour + after <= now
    ]
    return sum(good) / len(good) if good else None


@settings(max_examples=150)
@given(VISITS, st.integers(0, 14))
def test_each_key_that_was_seen_has_the_values_of_the_moment(visits, now):
    seen = [visit for visit in visits if visit[2] <= now]
    if not seen:
        with pytest.raises(FeatureError, match="no entity was predicted by"):
            build_groups(recipe(), inputs_of(visits), GROUPS, at(now))
        return
    made = build_groups(recipe(), inputs_of(visits), GROUPS, at(now))
    assert {key: row[0] for key, row in rows_of(made, "shop").items()} == {
        (shop,): pytest.approx(rate_by_hand(visits, now, shop, "any")) for shop, *_ in seen
    }
    tills = {(shop, till) for shop, till, *_ in seen if till is not None}
    found = rows_of(made, "shop", "till")
    assert {key for key in found if key[1] is not None} == tills
    for shop, till in tills:
        wanted = rate_by_hand(visits, now, shop, till)
        assert found[shop, float(till)] == (pytest.approx(wanted),)
    assert rows_of(made) == {(): (pytest.approx(rate_by_hand(visits, now, None, "any")),)}


@settings(max_examples=100)
@given(VISITS, VISITS, st.integers(0, 8))
def test_a_table_holds_nothing_of_what_came_after_its_moment(visits, others, now):
    """Another future, known or predicted later, leaves every value as it is."""
    past = [v for v in visits if v[2] <= now]
    if not past:
        return
    later = [(shop, till, now + 1 + hour, good, after) for shop, till, hour, good, after in others]
    relabelled = [
        (shop, till, hour, (not good) if hour + after > now and good is not None else good, after)
        for shop, till, hour, good, after in past
    ]
    storm = pl.concat([SKIES, skies_of(("a", now + 1, "storm"), ("b", now + 2, "storm"))])
    before = build_groups(recipe(), inputs_of(past), GROUPS, at(now))
    after = build_groups(recipe(), inputs_of(relabelled + later, storm), GROUPS, at(now))
    assert before == after


def test_the_features_of_these_tests_know_only_the_past():
    visits: list[Visit] = [("a", 1, hour, hour % 3 > 0, 2) for hour in range(12)]
    inputs = inputs_of(visits)
    whole = recipe()
    built = build_at_own_time(whole, inputs)
    assert find_leaks(whole.build_features, inputs, built, FEATURES, POLICY, at(6)) == {}


def build_at_own_time(of: FeatureRecipe, inputs: FeatureInputs) -> pl.DataFrame:
    made = of.build_features(inputs)
    names = [feature.name for feature in of.features]
    return made.select("id", "time", PREDICTED_AT, *names)


def test_an_entity_predicted_at_the_moment_has_the_values_of_its_keys():
    """Not moved at all: what training would have seen of it."""
    visits: list[Visit] = [("ab"[n % 2], n % 3, n // 2, n % 5 < 2, 1) for n in range(20)]
    inputs = inputs_of(visits)
    made = build_groups(recipe(), inputs, GROUPS, at(9))
    offline = build_at_own_time(recipe(), inputs).join(
        inputs.entities.select("id", "shop", "till"), on="id"
    )
    asked = offline.filter(pl.col(PREDICTED_AT) == at(9)).rows(named=True)
    assert len(asked) == 2
    for row in asked:
        assert rows_of(made, "shop")[row["shop"],] == (row["shop_rate"], row["sky"])
        assert rows_of(made, "shop", "till")[row["shop"], row["till"]] == (row["pair_rate"],)
        assert rows_of(made)[()] == (row["rate"],)


def test_the_last_row_of_a_table_is_the_last_one_known_by_the_moment():
    visits: list[Visit] = [("a", 1, 0, True, 1), ("b", 1, 0, True, 1)]
    for now, wanted in [(4, "grey"), (5, "blue"), (9, "blue"), (10, None)]:
        made = build_groups(recipe(), inputs_of(visits), GROUPS, at(now))
        assert rows_of(made, "shop")["a",][1] == wanted


def test_a_missing_key_is_a_key_of_its_own():
    visits: list[Visit] = [("a", None, 0, True, 1), ("a", 1, 0, False, 1)]
    made = build_groups(recipe(), inputs_of(visits), GROUPS, at(3))
    assert set(rows_of(made, "shop", "till")) == {("a", None), ("a", 1.0)}


def test_a_builder_that_would_look_into_the_future_is_handed_none():
    def peeking(inputs: FeatureInputs) -> pl.DataFrame:
        latest = inputs.sources["skies"].select(pl.col("sky").sort_by("seen").last()).item()
        known = inputs.history.height
        return build(inputs).with_columns(pl.lit(latest).alias("sky"), pl.lit(known).alias("rate"))

    visits: list[Visit] = [("a", 1, hour, True, 1) for hour in range(12)]
    made = build_groups(recipe(peeking), inputs_of(visits), GROUPS, at(6))
    assert rows_of(made, "shop")["a",][1] == "blue"
    assert rows_of(made) == {(): (6.0,)}


@given(st.permutations(range(12)))
def test_whatever_the_order_of_rows_the_last_entity_of_a_key_is_taken(order):
    """Seen where a feature depends on more than its column: on the till of that entity."""

    def till(inputs: FeatureInputs) -> pl.DataFrame:
        return build(inputs).with_columns(pl.col("till").alias("shop_rate"))

    visits: list[Visit] = [("a", hour, hour, True, 1) for hour in range(12)]
    inputs = inputs_of(visits)
    turned = replace(inputs, entities=inputs.entities[order])
    made = build_groups(recipe(till), turned, GROUPS[:1], at(7))
    assert rows_of(made, "shop")["a",][0] == 7.0


def test_features_are_built_in_one_call_however_many_groups_there_are():
    calls: list[int] = []

    def counted(inputs: FeatureInputs) -> pl.DataFrame:
        calls.append(inputs.entities.height)
        return build(inputs)

    visits: list[Visit] = [("abc"[n % 3], n % 2, n % 5, True, 1) for n in range(25)]
    build_groups(recipe(counted), inputs_of(visits), GROUPS, at(6))
    assert len(calls) == 1
    assert calls[0] <= 6


def test_a_column_that_build_entities_did_not_make_is_named():
    groups = (FeatureGroup(("shpo",), ("rate",)),)
    with pytest.raises(FeatureError, match=r"no column 'shpo' to look up by; it made id, time"):
        build_groups(recipe(), inputs_of([("a", 1, 0, True, 1)]), groups, at(1))


# --- moving entities ----------------------------------------------------------------------------


def test_a_moved_entity_takes_its_dates_and_moments_along():
    """Dates by the local day: 23:30 in New York is the next day in UTC already."""
    zone = "America/New_York"
    entities = pl.DataFrame(
        {
            "id": ["x"],
            "time": [datetime(2013, 3, 5, 4, 30, tzinfo=UTC)],
            PREDICTED_AT: [datetime(2013, 3, 5, 3, 30, tzinfo=UTC)],
            "day": [date(2013, 3, 4)],
            "ends": [datetime(2013, 3, 5, 7, 0, tzinfo=UTC)],
            "booked": [date(2013, 2, 1)],
        }
    )
    moved = retime(entities, POLICY, datetime(2013, 3, 20, 2, 0, tzinfo=UTC), zone)
    assert moved.schema == entities.schema
    assert moved.row(0, named=True) == {
        "id": "x",
        "time": datetime(2013, 3, 20, 3, 0, tzinfo=UTC),
        PREDICTED_AT: datetime(2013, 3, 20, 2, 0, tzinfo=UTC),
        "day": date(2013, 3, 19),
        "ends": datetime(2013, 3, 20, 5, 30, tzinfo=UTC),
        "booked": date(2013, 2, 16),
    }


@given(st.integers(-5000, 5000))
def test_an_entity_moved_to_its_own_moment_stays_as_it_is(hours):
    moment = at(hours)
    entities = pl.DataFrame(
        {"id": ["x"], "time": [moment + timedelta(hours=1)], PREDICTED_AT: [moment]},
        schema={"id": pl.String, "time": MOMENT, PREDICTED_AT: MOMENT},
    ).with_columns(pl.col("time").dt.date().alias("day"))
    assert retime(entities, POLICY, moment, "America/New_York").equals(entities)


# --- looked up against built --------------------------------------------------------------------

MANY: list[Visit] = [("abc"[n % 3], n % 4, n % 10, n % 7 < 3, 1 + n % 3) for n in range(60)]


def compare(function: Callable[[FeatureInputs], pl.DataFrame], groups: Any = GROUPS) -> Any:
    inputs, of = inputs_of(MANY), recipe(function)
    made = build_groups(of, inputs, groups, at(11))
    return find_differences(of, inputs, made, at(11), find_seen(of, inputs, at(11)))


def test_features_that_depend_on_their_columns_alone_differ_nowhere():
    assert compare(build) == []


def test_a_feature_that_depends_on_more_than_its_columns_is_named_with_its_rows():
    groups = (FeatureGroup(("shop",), ("shop_rate", "sky", "pair_rate")), GROUPS[2])
    (found,) = compare(build, groups)
    assert (found.feature, found.by) == ("pair_rate", ("shop",))
    assert 0 < found.rows <= len(MANY)
    verdict = judge_online([found], len(MANY))
    assert verdict.outcome == "failed"
    assert f"of 60 entities these differ: pair_rate by shop in {found.rows} (v" in verdict.reason
    assert "looked up" in verdict.reason
    assert verdict.evidence == {"differences": {"pair_rate": found.rows}, "rows": 60}


def test_a_feature_that_is_not_the_same_for_everybody_is_named():
    groups = (FeatureGroup((), ("shop_rate",)),)
    (found,) = compare(build, groups)
    assert judge_online([found], 9).reason.startswith(
        f"of 9 entities these differ: shop_rate by nothing in {found.rows}"
    )


def test_a_feature_that_looks_at_the_other_entities_asked_is_found():
    def crowded(inputs: FeatureInputs) -> pl.DataFrame:
        return build(inputs).with_columns(pl.len().over("shop").alias("rate"))

    assert [found.feature for found in compare(crowded)] == ["rate"]


def test_nothing_to_compare_is_no_proof():
    assert judge_online([], 0).outcome == "inconclusive"
    assert judge_online([], 3).passed


# --- keys and values ----------------------------------------------------------------------------


def test_numbers_of_every_kind_are_the_same_key():
    frame = pl.DataFrame(
        {"i": pl.Series([7], dtype=pl.Int16), "u": pl.Series([7], dtype=pl.UInt64)}
    ).with_columns(f=pl.lit(7.0), b=pl.lit(True), n=pl.lit(math.nan))
    (key,) = read_keys(frame, ["i", "u", "f", "b", "n"])
    assert key == (7.0, 7.0, 7.0, 1.0, None)
    assert [type(value) for value in key] == [float, float, float, float, type(None)]


def test_a_category_is_its_text():
    frame = pl.DataFrame({"c": pl.Series(["x", None], dtype=pl.Categorical)})
    assert read_keys(frame, ["c"]) == [("x",), (None,)]


def test_whole_numbers_that_no_float_tells_apart_are_refused():
    (key,) = read_keys(pl.DataFrame({"id": [1 - 2**53]}), ["id"])
    assert int(key[0]) == 1 - 2**53
    for beyond in (2**53, 2**53 + 1, -(2**63)):
        with pytest.raises(FeatureError, match=r"'id' holds whole numbers from 2\^53 on"):
            read_keys(pl.DataFrame({"id": [beyond]}), ["id"])


def test_a_date_is_no_key():
    with pytest.raises(FeatureError, match="column 'day' is Date, a key is text or a number"):
        read_keys(pl.DataFrame({"day": [date(2013, 1, 1)]}), ["day"])


def test_what_is_missing_is_none_whichever_way():
    frame = pl.DataFrame({"a": [math.nan, None, 1.5], "b": ["x", None, ""]})
    assert read_values(frame, ["b", "a"]) == [("x", None), (None, None), ("", 1.5)]


# --- coverage -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(VISITS, st.integers(0, 13))
def test_coverage_is_the_share_whose_key_was_seen_before(visits, begin):
    seen = history_of(visits)
    before = [visit for visit in visits if visit[2] < begin]
    after = [visit for visit in visits if visit[2] >= begin]
    keys = [lambda visit: visit[:1], lambda visit: visit[:2], lambda _: ()]
    shares = [
        sum(key(visit) in {key(other) for other in before} for visit in after) / len(after)
        if after
        else None
        for key in keys
    ]
    assert measure_coverage(seen, GROUPS, at(begin)) == tuple(shares)
