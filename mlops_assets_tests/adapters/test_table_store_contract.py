"""Tables: a write replaces whole partitions, and nothing else, or changes nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.adapters.in_memory import InMemoryTables
from mlops_assets.lifecycle.digests import fingerprint
from mlops_assets.lifecycle.errors import TableConflict

TABLE = "model/features"

ENDLESS_WRITER = """
import sys
import polars as pl
from mlops_assets.adapters.delta_tables import DeltaTables
tables, turn = DeltaTables(sys.argv[1]), 0
while True:
    turn += 1
    rows = pl.DataFrame({"turn": [turn] * 1000, "place": range(1000)})
    tables.write("model/features", {"w1": rows, "w2": rows})
    print(turn, flush=True)
"""


def frame(*values):
    return pl.DataFrame({"x": list(values)}, schema={"x": pl.Int64})


def values(tables, partitions=None, **options):
    """The values of ``x`` by partition."""
    rows = tables.read(TABLE, partitions, **options).sort("partition", "x")
    return {
        key: group["x"].to_list()
        for (key,), group in rows.partition_by("partition", as_dict=True).items()
    }


def write_at_once(tables, table, partitions):
    """Write each partition from a thread of its own, all at the same moment."""
    barrier = threading.Barrier(len(partitions))

    def write(item):
        barrier.wait()
        return tables.write(table, dict([item]))

    with ThreadPoolExecutor(len(partitions)) as pool:
        return list(pool.map(write, partitions.items()))


class TableStoreContract:
    def test_a_table_that_was_never_written_has_no_version_and_cannot_be_read(self, tables):
        assert tables.version(TABLE) is None
        with pytest.raises(KeyError):
            tables.read(TABLE)
        tables.write(TABLE, {"w1": frame(1)})
        with pytest.raises(KeyError):
            tables.read("model/labels")

    def test_rows_come_back_with_their_partition_and_types(self, tables):
        written = pl.DataFrame(
            {
                "whole": [1, None],
                "number": [0.5, float("nan")],
                "text": ["späť '\"\n", None],
                "flag": [True, None],
                "day": [date(2013, 1, 1), None],
                "moment": [datetime(2013, 1, 1, 5, tzinfo=UTC), None],
            }
        )
        tables.write(TABLE, {"2013-W01": written})
        read = tables.read(TABLE)
        assert_frame_equal(read.select(written.columns), written)
        assert read["partition"].to_list() == ["2013-W01"] * 2

    def test_a_write_tells_version_rows_and_fingerprint_of_each_partition(self, tables):
        told = tables.write(TABLE, {"w1": frame(1, 2), "w2": frame()})
        assert told.version == tables.version(TABLE)
        assert told.rows == {"w1": 2, "w2": 0}
        assert told.fingerprints == {"w1": fingerprint(frame(1, 2)), "w2": fingerprint(frame())}

    def test_when_partitions_are_written_again_then_they_are_replaced_and_no_other(self, tables):
        tables.write(TABLE, {"w1": frame(1), "w2": frame(2, 3), "w3": frame(4)})
        tables.write(TABLE, {"w2": frame(20), "w4": frame(40)})
        assert values(tables) == {"w1": [1], "w2": [20], "w3": [4], "w4": [40]}

    def test_when_a_partition_is_written_without_rows_then_it_has_none(self, tables):
        tables.write(TABLE, {"w1": frame(1), "w2": frame(2)})
        tables.write(TABLE, {"w2": frame()})
        assert values(tables) == {"w1": [1]}
        tables.write(TABLE, {"w1": frame(), "w3": frame(3)})
        assert values(tables) == {"w3": [3]}

    def test_a_table_may_begin_without_rows(self, tables):
        tables.write(TABLE, {"w1": frame()})
        assert tables.read(TABLE).height == 0
        assert set(tables.read(TABLE).columns) == {"x", "partition"}
        tables.write(TABLE, {"w1": frame(1)})
        assert values(tables) == {"w1": [1]}

    def test_writing_the_same_again_changes_no_rows_and_no_fingerprint(self, tables):
        first = tables.write(TABLE, {"w1": frame(1, 2)})
        second = tables.write(TABLE, {"w1": frame(1, 2)})
        assert second.fingerprints == first.fingerprints
        assert values(tables) == {"w1": [1, 2]}

    def test_a_write_that_names_no_partition_is_refused(self, tables):
        with pytest.raises(ValueError):  # noqa: PT011 - polars words it
            tables.write(TABLE, {})
        assert tables.version(TABLE) is None

    def test_a_write_after_the_version_that_was_read_lands_as_the_next(self, tables):
        first = tables.write_after(TABLE, {"w1": frame(1)}, None)
        told = tables.write_after(TABLE, {"w1": frame(), "w2": frame(2, 3)}, first.version)
        assert told.version == tables.version(TABLE) == first.version + 1
        assert told.rows == {"w1": 0, "w2": 2}
        assert values(tables) == {"w2": [2, 3]}
        tables.write_after(TABLE, {"w2": frame()}, told.version)
        assert values(tables) == {}

    def test_given_a_write_in_between_then_a_write_after_changes_nothing(self, tables):
        tables.write(TABLE, {"w1": frame(1)})
        read = tables.version(TABLE)
        tables.write(TABLE, {"w2": frame(2)})
        for version in (None, read, tables.version(TABLE) + 1):
            with pytest.raises(TableConflict):
                tables.write_after(TABLE, {"w1": frame(9)}, version)
        assert values(tables) == {"w1": [1], "w2": [2]}

    def test_when_threads_write_after_the_same_version_then_exactly_one_lands(self, tables):
        for turn in range(10):
            version = tables.version(TABLE)
            barrier = threading.Barrier(3)

            def write(number, version=version, turn=turn, barrier=barrier):
                barrier.wait()
                try:
                    tables.write_after(TABLE, {"w1": frame(turn, number)}, version)
                except TableConflict:
                    return None
                return number

            with ThreadPoolExecutor(3) as pool:
                winners = [one for one in pool.map(write, (100, 101, 102)) if one is not None]
            assert len(winners) == 1
            assert values(tables) == {"w1": sorted([turn, *winners])}

    def test_only_the_partitions_asked_for_are_read(self, tables):
        tables.write(TABLE, {"w1": frame(1), "w2": frame(2), "w3": frame(3)})
        assert values(tables, ["w3", "w1"]) == {"w1": [1], "w3": [3]}
        assert values(tables, ["w1", "never written"]) == {"w1": [1]}
        assert values(tables, []) == {}

    def test_only_the_columns_asked_for_are_read(self, tables):
        tables.write(TABLE, {"w1": frame(1).with_columns(y=2, z=3)})
        assert tables.read(TABLE, columns=["z", "x"]).to_dicts() == [{"z": 3, "x": 1}]
        assert tables.read(TABLE, columns=["partition"]).to_dicts() == [{"partition": "w1"}]

    def test_given_a_new_column_then_the_rows_before_it_have_nulls_there(self, tables):
        tables.write(TABLE, {"w1": frame(1)})
        tables.write(TABLE, {"w2": frame(2).with_columns(y=pl.lit("new"))})
        rows = tables.read(TABLE).sort("partition")
        assert rows.select("x", "y").rows() == [(1, None), (2, "new")]

    def test_given_a_column_is_left_out_then_the_new_rows_have_nulls_there(self, tables):
        tables.write(TABLE, {"w1": frame(1).with_columns(y=pl.lit("old"))})
        tables.write(TABLE, {"w2": frame(2)})
        rows = tables.read(TABLE).sort("partition")
        assert rows.select("x", "y").rows() == [(1, "old"), (2, None)]

    def test_frames_of_one_write_that_differ_in_their_columns_change_nothing(self, tables):
        tables.write(TABLE, {"w1": frame(1)})
        with pytest.raises(pl.exceptions.PolarsError):
            tables.write(TABLE, {"w1": frame(10), "w2": frame(20).with_columns(y=2)})
        assert values(tables) == {"w1": [1]}

    def test_every_version_stays_readable(self, tables):
        versions = [
            tables.write(TABLE, partitions).version
            for partitions in (
                {"w1": frame(1)},
                {"w1": frame(10), "w2": frame(2)},
                {"w2": frame()},
            )
        ]
        assert versions == sorted(set(versions))
        expected = [{"w1": [1]}, {"w1": [10], "w2": [2]}, {"w1": [10]}]
        assert [values(tables, version=version) for version in versions] == expected
        assert values(tables, ["w2"], version=versions[1]) == {"w2": [2]}
        assert values(tables) == expected[-1]

    def test_tables_do_not_mix(self, tables):
        tables.write("model/features", {"w1": frame(1)})
        tables.write("model/labels", {"w1": frame(2)})
        tables.write("other/features", {"w1": frame(3)})
        assert values(tables) == {"w1": [1]}

    @pytest.mark.parametrize("key", ["a/b", "50 %", "a=b", "späť", "x:y", " "])
    def test_any_name_of_a_partition_is_kept(self, tables, key):
        tables.write(TABLE, {key: frame(1), "w1": frame(2)})
        tables.write(TABLE, {key: frame(3)})
        assert values(tables) == {key: [3], "w1": [2]}

    def test_a_quote_in_the_name_of_a_partition_is_kept(self, tables):
        tables.write(TABLE, {"it's": frame(1), "w1": frame(2)})
        tables.write(TABLE, {"it's": frame(3)})
        assert values(tables) == {"it's": [3], "w1": [2]}

    def test_when_threads_write_different_partitions_then_all_land(self, tables):
        tables.write(TABLE, {"w0": frame(0)})
        for turn in range(10):
            told = write_at_once(tables, TABLE, {"w1": frame(turn), "w2": frame(turn)})
            assert values(tables) == {"w0": [0], "w1": [turn], "w2": [turn]}
            assert max(one.version for one in told) == tables.version(TABLE)

    def test_when_threads_are_first_at_a_table_then_all_partitions_land(self, tables):
        for turn in range(30):
            write_at_once(tables, f"first/{turn}", {"w1": frame(1), "w2": frame(2)})
        written = [sorted(tables.read(f"first/{turn}")["x"].to_list()) for turn in range(30)]
        assert written == [[1, 2]] * 30

    def test_when_threads_are_first_with_other_columns_then_all_columns_are_kept(self, tables):
        for turn in range(10):
            table = f"first/{turn}"
            frames = {f"w{n}": frame(n).with_columns(pl.lit(n).alias(f"y{n}")) for n in range(4)}
            write_at_once(tables, table, frames)
            rows = tables.read(table).sort("x")
            assert rows["x"].to_list() == [0, 1, 2, 3]
            assert [rows[f"y{n}"].drop_nulls().to_list() for n in range(4)] == [[0], [1], [2], [3]]

    @pytest.mark.parametrize("table_is_new", [True, False])
    def test_when_8_threads_write_the_same_partition_then_each_lands_as_a_version_of_its_own(
        self, tables, table_is_new
    ):
        if not table_is_new:
            tables.write(TABLE, {"w0": frame(0)})
        barrier = threading.Barrier(8)

        def write(value):
            barrier.wait()
            return tables.write(TABLE, {"w1": frame(value, value)}).version

        with ThreadPoolExecutor(8) as pool:
            versions = list(pool.map(write, range(8)))
        for value, version in enumerate(versions):
            assert values(tables, ["w1"], version=version) == {"w1": [value] * 2}
        assert max(versions) == tables.version(TABLE)

    def test_when_threads_empty_and_fill_different_partitions_then_all_land(self, tables):
        for turn in range(5):
            tables.write(TABLE, {key: frame(0) for key in ("w1", "w2", "w3", "w4")})
            write_at_once(
                tables,
                TABLE,
                {"w1": frame(), "w2": frame(turn), "w3": frame(), "w4": frame(turn)},
            )
            assert values(tables) == {"w2": [turn], "w4": [turn]}

    def test_when_threads_write_the_same_partition_then_the_rows_of_one_are_left(self, tables):
        tables.write(TABLE, {"w1": frame(0)})
        for turn in range(5):
            barrier = threading.Barrier(2)

            def write(value, barrier=barrier):
                barrier.wait()
                tables.write(TABLE, {"w1": frame(*[value] * 3)})

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(write, (turn, turn + 100)))
            assert values(tables)["w1"] in ([turn] * 3, [turn + 100] * 3)


class TestInMemoryTables(TableStoreContract):
    @pytest.fixture
    def tables(self):
        return InMemoryTables()


class TestDeltaTables(TableStoreContract):
    @pytest.fixture
    def tables(self, tmp_path):
        return DeltaTables(str(tmp_path / "tables"))

    def test_what_one_wrote_another_reads(self, tables):
        version = tables.write(TABLE, {"w1": frame(1)}).version
        again = DeltaTables(tables.root)
        assert again.version(TABLE) == version
        assert values(again) == {"w1": [1]}

    @pytest.mark.parametrize("mine", [frame(9), frame()], ids=["rows", "no rows"])
    @pytest.mark.parametrize("other", ["w1", "w2"])
    def test_given_a_write_after_the_last_look_then_a_write_after_is_no_rebase(
        self, tables, monkeypatch, mine, other
    ):
        version = tables.write(TABLE, {"w1": frame(1)}).version
        look = DeltaTables._open

        def look_and_be_overtaken(self, table):
            monkeypatch.undo()
            found = look(self, table)
            DeltaTables(tables.root).write(TABLE, {other: frame(5)})
            return found

        monkeypatch.setattr(DeltaTables, "_open", look_and_be_overtaken)
        with pytest.raises(TableConflict):
            tables.write_after(TABLE, {"w1": mine}, version)
        assert values(tables) == {"w1": [1]} | {other: [5]}

    @pytest.mark.parametrize("acknowledged", [1, 8, 20])
    def test_when_a_writer_is_killed_then_the_old_or_the_new_rows_are_left(
        self, tables, acknowledged
    ):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS_WRITER, tables.root], stdout=subprocess.PIPE, text=True
        ) as writer:
            told = [int(writer.stdout.readline()) for _ in range(acknowledged)]
            writer.send_signal(signal.SIGKILL)
            told += [int(line) for line in writer.stdout if line.endswith("\n")]
        assert writer.returncode == -signal.SIGKILL
        rows = tables.read(TABLE).sort("partition", "place")
        assert rows["turn"].n_unique() == 1
        assert rows["turn"][0] >= told[-1]
        assert rows["partition"].to_list() == ["w1"] * 1000 + ["w2"] * 1000
        assert rows["place"].to_list() == [*range(1000), *range(1000)]
        tables.write(TABLE, {"w1": pl.DataFrame({"turn": [-1], "place": [0]})})
        assert tables.read(TABLE, ["w1"])["turn"].to_list() == [-1]
