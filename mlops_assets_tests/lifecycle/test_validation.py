"""Validation: each row goes on or into quarantine, and quarantine says why."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.sources import LINE, Column, Source
from mlops_assets.lifecycle.validation import (
    REASON,
    ValidationPolicy,
    find_thin,
    judge_accounting,
    judge_quarantine,
    judge_volume,
    split_quarantine,
)

SOURCE = Source(
    name="flights",
    path="flights.csv",
    key=("id",),
    columns={
        "id": Column("int"),
        "distance": Column("float", ge=50, le=5000),
        "minutes": Column("int", nullable=True, ge=0),
        "origin": Column("str", nullable=True, isin=("EWR", "JFK", "LGA")),
        "note": Column("str"),
    },
    rules={
        "speed_is_plausible": "distance / (minutes / 60.0) <= 600",
        "far_is_not_from_lga": "NOT (origin = 'LGA' AND distance > 4000)",
    },
)
SCHEMA = {
    LINE: pl.UInt32,
    "id": pl.Int64,
    "distance": pl.Float64,
    "minutes": pl.Int64,
    "origin": pl.String,
    "note": pl.String,
}
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 9),
        st.none() | st.sampled_from([-1.0, 49.99, 50.0, 300.0, 4001.0, 5000.0, 5000.01]),
        st.none() | st.sampled_from([-5, 0, 1, 30, 60, 600]),
        st.sampled_from([None, "EWR", "LGA", "lga", "", "XXX"]),
        st.sampled_from([None, "", "x"]),
    ),
    max_size=15,
)


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    numbered = [(line, *row) for line, row in enumerate(rows, start=2)]
    return pl.DataFrame(numbered, schema=SCHEMA, orient="row")


def rules_broken(row: dict[str, Any]) -> set[str]:
    """The rules a row breaks, by hand; a rule that cannot be judged for missing values holds."""
    broken = {f"{name}: not_nullable" for name in ("id", "distance", "note") if row[name] is None}
    distance, minutes, origin = row["distance"], row["minutes"], row["origin"]
    if distance is not None and distance < 50:
        broken.add("distance: greater_than_or_equal_to(50)")
    if distance is not None and distance > 5000:
        broken.add("distance: less_than_or_equal_to(5000)")
    if minutes is not None and minutes < 0:
        broken.add("minutes: greater_than_or_equal_to(0)")
    if origin is not None and origin not in {"EWR", "JFK", "LGA"}:
        broken.add("origin: isin(['EWR', 'JFK', 'LGA'])")
    if distance is not None and minutes is not None:
        speed = distance / (minutes / 60) if minutes else math.copysign(math.inf, distance)
        if speed > 600:
            broken.add("speed_is_plausible")
    if origin == "LGA" and distance is not None and distance > 4000:
        broken.add("far_is_not_from_lga")
    return broken


@settings(max_examples=25)
@given(rows=ROWS)
def test_each_row_is_validated_or_quarantined_with_exactly_the_rules_it_breaks(rows):
    raw = frame(rows)
    halves = split_quarantine(raw, SOURCE)
    broken = [rules_broken(row) for row in raw.iter_rows(named=True)]
    good = raw.filter(pl.Series([not reasons for reasons in broken], dtype=pl.Boolean)).drop(LINE)
    assert halves.validated.equals(good)
    said = [set(reason.split("; ")) for reason in halves.quarantined[REASON]]
    assert said == [reasons for reasons in broken if reasons]


@settings(max_examples=25)
@given(rows=ROWS)
def test_validated_and_quarantined_add_up_to_raw_and_keep_its_order(rows):
    raw = frame(rows)
    halves = split_quarantine(raw, SOURCE)
    assert halves.validated.height + halves.quarantined.height == raw.height
    bad = raw.filter(pl.col(LINE).is_in(halves.quarantined[LINE].to_list()))
    assert halves.quarantined.drop(REASON).equals(bad)
    assert halves.validated.columns == raw.drop(LINE).columns


@settings(max_examples=25)
@given(rows=ROWS)
def test_validating_again_what_was_validated_changes_nothing(rows):
    once = split_quarantine(frame(rows), SOURCE).validated
    again = split_quarantine(once, SOURCE)
    assert again.validated.equals(once)
    assert again.quarantined.is_empty()


@settings(max_examples=25)
@given(rows=ROWS, data=st.data())
def test_what_happens_to_a_row_does_not_depend_on_the_others(rows, data):
    chosen = data.draw(st.sets(st.integers(0, max(len(rows) - 1, 0))))
    some = frame(rows).filter(pl.int_range(pl.len()).is_in(sorted(chosen)))
    all_reasons = split_quarantine(frame(rows), SOURCE).quarantined.select(LINE, REASON)
    few_reasons = split_quarantine(some, SOURCE).quarantined.select(LINE, REASON)
    assert few_reasons.equals(all_reasons.filter(pl.col(LINE).is_in(some[LINE].to_list())))


@settings(max_examples=40)
@given(
    values=st.lists(st.none() | st.integers(-20, 20), max_size=20),
    ge=st.none() | st.integers(-20, 0),
    le=st.none() | st.integers(0, 20),
    nullable=st.booleans(),
)
def test_bounds_and_nulls_agree_with_a_plain_filter(values, ge, le, nullable):
    source = Source("s", "s", ("x",), {"x": Column("int", nullable=nullable, ge=ge, le=le)})
    raw = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    known = pl.col("x").is_between(-99 if ge is None else ge, 99 if le is None else le)
    expected = raw.filter(known.fill_null(nullable))
    assert split_quarantine(raw, source).validated.equals(expected)


def test_every_declared_type_passes_with_values_and_without():
    source = Source(
        "s",
        "s",
        ("i",),
        {
            name: Column(kind, nullable=True)
            for name, kind in {
                "i": "int",
                "f": "float",
                "s": "str",
                "b": "bool",
                "d": "date",
                "t": "datetime",
            }.items()
        },
    )
    rows = [(1, 0.5, "x", True, date(2013, 1, 7), datetime(2013, 1, 7, tzinfo=UTC)), (None,) * 6]
    raw = pl.DataFrame(
        rows,
        schema=dict(
            zip(
                "ifsbdt",
                [pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.Datetime("us", "UTC")],
                strict=True,
            )
        ),
        orient="row",
    )
    assert split_quarantine(raw, source).validated.equals(raw)


def test_not_a_number_is_missing_where_a_value_is_required():
    source = Source("s", "s", ("x",), {"x": Column("float", ge=0)})
    halves = split_quarantine(pl.DataFrame({"x": [1.0, math.nan]}), source)
    assert halves.validated["x"].to_list() == [1.0]
    assert halves.quarantined[REASON].to_list() == ["x: not_nullable"]


@pytest.mark.parametrize("bounds", [{}, {"ge": 0}, {"le": 0}])
def test_an_infinite_number_is_set_aside_whatever_the_bounds(bounds):
    source = Source("s", "s", ("x",), {"x": Column("float", nullable=True, **bounds)})
    halves = split_quarantine(pl.DataFrame({"x": [0.0, math.inf, -math.inf, None]}), source)
    assert halves.validated["x"].to_list() == [0.0, None]
    assert all("x: is_finite" in reason for reason in halves.quarantined[REASON])


def test_a_frame_without_rows_has_two_empty_halves():
    halves = split_quarantine(frame([]), SOURCE)
    assert (halves.validated.height, halves.quarantined.height) == (0, 0)


def test_when_every_row_is_bad_nothing_is_validated():
    halves = split_quarantine(frame([(None, None, None, None, None)] * 3), SOURCE)
    assert halves.validated.is_empty()
    assert halves.quarantined[LINE].to_list() == [2, 3, 4]


@pytest.mark.parametrize("name", ["row", "index", "check", "column", "said"])
def test_a_source_may_have_a_column_named_like_those_of_a_validation(name):
    source = Source("seats", "s", (name,), {name: Column("int", ge=1)})
    halves = split_quarantine(pl.DataFrame({name: [0, 1]}), source)
    assert halves.validated[name].to_list() == [1]


@pytest.mark.parametrize(
    ("raw", "quarantined", "allowed", "outcome"),
    [
        (100, 1, 0.01, "passed"),
        (100, 2, 0.01, "failed"),
        (100, 0, 0.0, "passed"),
        (100, 1, 0.0, "failed"),
        (100, 100, 1.0, "passed"),
        (0, 0, 0.0, "passed"),
    ],
)
def test_quarantine_is_small_up_to_the_share_allowed(raw, quarantined, allowed, outcome):
    verdict = judge_quarantine(raw, quarantined, ValidationPolicy(allowed))
    assert (verdict.name, verdict.outcome) == ("quarantine_is_small", outcome)
    assert f"{quarantined} of {raw} rows quarantined" in verdict.reason
    assert verdict.evidence["quarantined"] == quarantined


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_rows_are_accounted_for_exactly_when_the_halves_add_up(raw, validated, quarantined):
    verdict = judge_accounting(raw, validated, quarantined)
    assert verdict.passed == (raw == validated + quarantined)
    assert verdict.outcome != "inconclusive"
    assert str(raw) in verdict.reason


WEEKS = [f"w{number:02d}" for number in range(12)]


@pytest.mark.parametrize(
    ("last", "outcome"),
    [(100, "passed"), (60, "passed"), (59, "failed"), (55, "failed"), (50, "failed")],
)
def test_half_a_week_is_noticed_also_of_one_that_is_ten_percent_busier(last, outcome):
    rows = dict.fromkeys(WEEKS[:9], 100) | {WEEKS[9]: last}
    verdict = judge_volume(rows, WEEKS[9:10], ValidationPolicy())
    assert (verdict.name, verdict.outcome) == ("rows_are_as_many_as_usual", outcome)
    if outcome == "failed":
        assert verdict.reason.startswith(f"w09 has {last} rows, about 100 are usual")


def test_a_week_without_any_row_is_noticed_and_makes_nothing_usual():
    rows = dict.fromkeys(WEEKS[:6], 100) | {WEEKS[9]: 100}
    assert find_thin(rows, WEEKS[:10], ValidationPolicy()) == dict.fromkeys(WEEKS[6:9], 100)
    assert find_thin({}, WEEKS, ValidationPolicy()) == {}


def test_with_fewer_than_four_partitions_before_it_nothing_is_usual_yet():
    rows = dict.fromkeys(WEEKS[:4], 100)
    assert find_thin(rows | {WEEKS[3]: 1}, [WEEKS[3]], ValidationPolicy()) == {}
    assert find_thin(rows | {WEEKS[4]: 1}, [WEEKS[4]], ValidationPolicy()) == {WEEKS[4]: 100}


@given(
    rows=st.dictionaries(st.sampled_from(WEEKS), st.integers(0, 50)),
    share=st.floats(0, 1),
)
def test_thin_weeks_are_those_a_sorted_list_says(rows, share):
    expected = []
    for key in WEEKS:
        before = [rows[k] for k in WEEKS if k < key and rows.get(k)][-8:]
        if len(before) >= 4 and rows.get(key, 0) < share * float(np.median(before)):
            expected.append(key)
    policy = ValidationPolicy(usual_rows=share)
    assert list(find_thin(rows, WEEKS, policy)) == expected
    assert judge_volume(rows, WEEKS, policy).passed == (not expected)
    assert find_thin(rows, WEEKS, ValidationPolicy(usual_rows=0)) == {}


def test_many_thin_weeks_are_counted():
    rows = dict.fromkeys(WEEKS[:4], 100)
    said = judge_volume(rows, WEEKS, ValidationPolicy()).reason
    assert said.count("usual") == 5
    assert "and 3 more partitions" in said


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_a_share_of_usual_rows_outside_zero_and_one_is_refused(share):
    with pytest.raises(ValueError, match=r"usual_rows must lie in \[0, 1\]"):
        ValidationPolicy(usual_rows=share)


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_a_share_outside_zero_and_one_is_refused(share):
    with pytest.raises(ValueError, match=r"max_quarantined must lie in \[0, 1\]"):
        ValidationPolicy(share)
