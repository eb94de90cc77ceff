"""A key of two partitions, each of a file of its own, is found and told of those just read."""

from __future__ import annotations

import polars as pl

from mlops_assets.lifecycle.repeated_keys import find_shared_keys
from mlops_assets.lifecycle.sources import LINE, Column, Source

SOURCE = Source("s", "s/{partition}.csv", ("id",), {"id": Column("int", nullable=True)})


def rows(*ids: int | None) -> pl.DataFrame:
    lines = pl.Series(LINE, range(2, 2 + len(ids)), dtype=pl.UInt32)
    return pl.DataFrame([lines, pl.Series("id", ids, dtype=pl.Int64)])


def test_a_key_of_two_partitions_is_told_of_both_with_its_line():
    found = find_shared_keys(SOURCE, {"a": rows(1, 2), "b": rows(3, 2), "c": rows(4)}, None)
    assert set(found) == {"a", "b"}
    assert str(found["b"]) == (
        "s/{partition}.csv: key (id) must be unique, 1 row(s) of b are in a too: line 3 (2); "
        "deliver the one that is wrong again"
    )


def test_partitions_that_were_read_before_are_named_and_not_blamed():
    others = pl.DataFrame({"partition": ["old", "older"], "id": [1, 9]})
    found = find_shared_keys(SOURCE, {"a": rows(1, 2)}, others)
    assert set(found) == {"a"}
    assert "1 row(s) of a are in old too: line 2 (1)" in str(found["a"])


def test_missing_keys_are_shared_by_nobody():
    assert find_shared_keys(SOURCE, {"a": rows(None, 1), "b": rows(None, 2)}, None) == {}
    assert find_shared_keys(SOURCE, {}, None) == {}
