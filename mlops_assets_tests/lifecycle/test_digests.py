"""Digests: the same content has the same name, other content another."""

from __future__ import annotations

import hashlib
import io
import math
import string
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.digests import digest_bytes, digest_files, digest_value, fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)
FILES = st.dictionaries(st.text(string.ascii_letters, max_size=4), st.binary(max_size=6))


@dataclass(frozen=True)
class Policy:
    limit: float
    names: tuple[str, ...] = ()
    space: dict[str, Any] = field(default_factory=dict)


@given(parts=st.lists(st.binary(max_size=8)))
def test_bytes_are_hashed_with_their_lengths(parts):
    whole = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert digest_bytes(*parts) == hashlib.sha256(whole).hexdigest()


@given(one=st.lists(st.binary(max_size=3), max_size=3), two=st.lists(st.binary(max_size=3)))
def test_moving_a_byte_between_parts_changes_the_digest(one, two):
    assert (digest_bytes(*one) == digest_bytes(*two)) == (one == two)


@settings(max_examples=50)
@given(value=st.dictionaries(st.text(max_size=4), PLAIN, max_size=5))
def test_a_mapping_is_named_independently_of_its_order(value):
    backwards = dict(reversed(value.items()))
    assert digest_value(value) == digest_value(backwards)


@settings(max_examples=50)
@given(one=PLAIN, two=PLAIN)
def test_values_that_differ_have_different_digests(one, two):
    def shape(value: Any) -> str:
        if isinstance(value, dict):
            return f"mapping {sorted((key, shape(item)) for key, item in value.items())}"
        return str([shape(item) for item in value]) if isinstance(value, list) else repr(value)

    assert (digest_value(one) == digest_value(two)) == (shape(one) == shape(two))


def test_a_dataclass_is_named_by_its_fields():
    assert digest_value(Policy(0.1, ("a",))) == digest_value(Policy(0.1, ("a",)))
    assert digest_value(Policy(0.1)) != digest_value(Policy(0.2))
    assert digest_value({"p": Policy(0.1)}) != digest_value({"p": Policy(0.1, ("a",))})
    assert digest_value(Policy(1, space={"a": 1, "b": 2})) == digest_value(
        Policy(1, space={"b": 2, "a": 1})
    )


def test_dates_and_paths_within_a_value_are_named_by_their_text():
    assert digest_value([date(2013, 1, 7)]) == digest_value(["2013-01-07"])
    moment = datetime(2013, 1, 7, 5, tzinfo=UTC)
    assert digest_value({"at": moment}) == digest_value({"at": "2013-01-07 05:00:00+00:00"})
    assert digest_value(Path("a/b")) == digest_value("a/b")
    assert digest_value(MappingProxyType({"a": 1})) == digest_value({"a": 1})


@pytest.mark.parametrize("value", [object(), Policy, b"x", 1j, pl.Series([1]), {1, "a"}])
def test_a_value_without_a_content_to_be_named_by_is_refused(value):
    with pytest.raises(TypeError):
        digest_value({"x": [value]})


def test_the_digest_of_a_value_is_pinned_so_recorded_verdicts_stay_valid():
    text = b'{"a":[1,2.5,null,true],"b":"x"}'
    expected = hashlib.sha256(len(text).to_bytes(8, "big") + text).hexdigest()
    assert digest_value({"b": "x", "a": [1, 2.5, None, True]}) == expected


def test_a_set_has_the_same_digest_in_every_process():
    asked = (
        "from mlops_assets.lifecycle.digests import digest_value;"
        "print(digest_value({'x': {f'value{n}' for n in range(20)}}))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", asked],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@given(files=FILES)
def test_files_are_named_independently_of_the_order_they_are_given_in(files):
    assert digest_files(files) == digest_files(dict(reversed(files.items())))


@given(one=FILES, two=FILES)
def test_files_that_differ_in_name_or_content_have_different_digests(one, two):
    assert (digest_files(one) == digest_files(two)) == (one == two)


def test_swapping_the_contents_of_two_files_changes_the_digest():
    assert digest_files({"a": b"1", "b": b"2"}) != digest_files({"a": b"2", "b": b"1"})


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 5),
        st.none() | st.text("abé", max_size=20),
        st.none() | st.booleans(),
        st.none() | st.floats(allow_nan=False, width=32),
    ),
    max_size=12,
)
SCHEMA = {"n": pl.Int64, "s": pl.String, "b": pl.Boolean, "x": pl.Float64}


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@settings(max_examples=50)
@given(rows=ROWS)
def test_a_table_made_twice_from_the_same_rows_has_one_fingerprint(rows):
    assert fingerprint(frame(rows)) == fingerprint(frame(list(rows)))


@settings(max_examples=50)
@given(rows=ROWS, cut=st.integers(0, 12))
def test_a_table_has_the_same_fingerprint_however_its_rows_were_put_together(rows, cut):
    whole = frame(rows)
    pieces = pl.concat([frame(rows[:cut]), frame(rows[cut:])], rechunk=False)
    assert fingerprint(whole) == fingerprint(pieces)


@settings(max_examples=50)
@given(one=ROWS, two=ROWS)
def test_tables_that_differ_have_different_fingerprints(one, two):
    same = frame(one).equals(frame(two))
    assert same or fingerprint(frame(one)) != fingerprint(frame(two))


def test_order_name_and_type_are_part_of_a_fingerprint():
    table = pl.DataFrame({"a": [1, 2]})
    assert fingerprint(table) != fingerprint(table.reverse())
    assert fingerprint(table) != fingerprint(table.rename({"a": "b"}))
    assert fingerprint(table) != fingerprint(table.cast(pl.Int32))


def _through_parquet(table: pl.DataFrame) -> pl.DataFrame:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return pl.read_parquet(io.BytesIO(buffer.getvalue()))


TABLE = pl.DataFrame(
    {
        "text": [f"a text that is longer than twelve bytes {n}" for n in range(50)],
        "number": [None if n % 7 == 0 else n for n in range(50)],
    }
)
SORTED = TABLE.sort("number").select("text")
MASKED = pl.DataFrame({"a": [1, 2]}).select(pl.when(pl.col("a") == 1).then("a"))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param(MASKED, pl.DataFrame({"a": [1, None]}), id="null that hides a value"),
        pytest.param(
            SORTED, pl.DataFrame(SORTED.to_dict(as_series=False)), id="text in another order"
        ),
        pytest.param(
            _through_parquet(TABLE).select("number"), TABLE.select("number"), id="nulls, stored"
        ),
    ],
)
def test_equal_tables_have_equal_fingerprints_whatever_was_done_to_get_them(one, two):
    assert one.equals(two)
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        pytest.param([1.0, -0.0], [1.0, 0.0], id="minus zero"),
        pytest.param([math.nan], [-math.nan], id="not a number"),
        pytest.param(
            pl.Series(["a", "b"], dtype=pl.Categorical).reverse(),
            pl.Series(["b", "a"], dtype=pl.Categorical),
            id="categories in another order",
        ),
        pytest.param([[1], None], [[1], None], id="lists"),
    ],
)
def test_values_that_are_equal_have_equal_fingerprints(one, two):
    assert fingerprint(pl.DataFrame({"x": one})) == fingerprint(pl.DataFrame({"x": two}))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([None, ""], ["", None]),
        ([None, 0], [0, None]),
        ([None, False], [False, None]),
        ([None, math.nan], [math.nan, None]),
        ([date(2013, 1, 7)], [date(2013, 1, 8)]),
        ([[1, 2], [3]], [[1], [2, 3]]),
    ],
)
def test_values_that_only_look_alike_have_different_fingerprints(one, two):
    tables = [pl.DataFrame({"x": values}, strict=False) for values in (one, two)]
    assert fingerprint(tables[0]) != fingerprint(tables[1])
