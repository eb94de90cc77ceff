"""Online tables: replaced as a whole, the same when read again, and refused when damaged."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.in_memory import InMemoryOnlineTables
from mlops_assets.adapters.online_tables import (
    Envelope,
    FolderOnlineTables,
    decode_table,
    encode_table,
)
from mlops_assets.lifecycle.digests import digest_bytes
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.online import OnlineGroup, OnlineTable

TABLE = OnlineTable(
    "rides",
    "2013-06-01T05:00:00+00:00",
    "c" * 64,
    (
        OnlineGroup(
            ("line", "number"),
            ("rate", "kind"),
            {("A", 1.0): (0.1, "bus"), ("A", None): (None, None), ("ü", -2.5): (math.inf, "")},
        ),
        OnlineGroup((), ("load",), {(): (1 / 3,)}),
    ),
)
LATER = replace(TABLE, as_of="2013-06-01T06:00:00+00:00")

TEXTS = st.none() | st.text(max_size=4)
NUMBERS = st.none() | st.floats(allow_nan=False)
TABLES = st.builds(
    OnlineTable,
    st.just("rides"),
    st.just("2013-06-01T05:00:00+00:00"),
    st.text(max_size=5),
    st.lists(
        st.builds(
            OnlineGroup,
            st.just(("line", "number")),
            st.just(("rate", "kind")),
            st.dictionaries(st.tuples(TEXTS, NUMBERS), st.tuples(NUMBERS, TEXTS), max_size=6),
        ),
        max_size=3,
    ).map(tuple),
)


class OnlineTablesContract:
    def test_before_the_first_there_is_none(self, online):
        assert online.read("rides") is None

    def test_what_was_published_is_read_with_its_types(self, online):
        online.publish(TABLE)
        read = online.read("rides")
        assert read == TABLE
        assert isinstance(next(iter(read.groups[0].rows)), tuple)

    def test_a_later_table_replaces_the_former(self, online):
        online.publish(TABLE)
        online.publish(LATER)
        assert online.read("rides") == LATER

    def test_an_earlier_moment_may_be_published_again(self, online):
        online.publish(LATER)
        online.publish(TABLE)
        assert online.read("rides").as_of == TABLE.as_of

    def test_the_digest_tells_tables_apart_and_not_the_order_of_their_rows(self, online):
        turned = tuple(
            replace(group, rows=dict(reversed(group.rows.items()))) for group in TABLE.groups
        )
        digest = online.publish(TABLE)
        assert len(digest) == 64
        assert online.publish(replace(TABLE, groups=turned)) == digest
        assert online.publish(LATER) != digest

    def test_read_again_it_is_the_same_object_until_it_is_replaced(self, online):
        online.publish(TABLE)
        first = online.read("rides")
        online.publish(TABLE)
        assert online.read("rides") is first
        online.publish(LATER)
        assert online.read("rides") is not first

    def test_models_keep_tables_of_their_own(self, online):
        online.publish(TABLE)
        assert online.read("other") is None
        online.publish(replace(LATER, model="other"))
        assert online.read("rides") == TABLE

    def test_a_damaged_table_is_refused_until_the_next_is_published(self, online, damage):
        online.publish(TABLE)
        online.read("rides")
        damage()
        for _ in range(2):
            with pytest.raises(ArtifactError, match="refresh it"):
                online.read("rides")
        online.publish(TABLE)
        assert online.read("rides") == TABLE


class TestInMemoryOnlineTables(OnlineTablesContract):
    @pytest.fixture
    def online(self):
        return InMemoryOnlineTables()

    @pytest.fixture
    def damage(self, online):
        return lambda: online.damaged.add("rides")


class TestFolderOnlineTables(OnlineTablesContract):
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        return tmp_path / "online" / "rides.msgpack"

    @pytest.fixture
    def online(self, file):
        return FolderOnlineTables(file.parent)

    @pytest.fixture
    def damage(self, file):
        def damage():
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(bytes(data))

        return damage

    def test_another_process_reads_what_this_one_wrote(self, online, file):
        digest = online.publish(TABLE)
        assert FolderOnlineTables(file.parent).read("rides") == TABLE
        assert FolderOnlineTables(file.parent).publish(TABLE) == digest

    def test_the_same_again_leaves_the_file_alone(self, online, file):
        online.publish(TABLE)
        before = file.stat()
        online.publish(TABLE)
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def test_nothing_else_stays_in_the_folder(self, online, file):
        online.publish(TABLE)
        online.publish(LATER)
        assert list(file.parent.iterdir()) == [file]

    def test_a_table_under_the_name_of_another_model_is_refused(self, online, file):
        online.publish(TABLE)
        file.rename(file.with_name("trains.msgpack"))
        with pytest.raises(ArtifactError, match="is that of 'rides'"):
            online.read("trains")

    def test_a_folder_in_the_place_of_the_file_is_refused(self, online, file):
        file.mkdir(parents=True)
        with pytest.raises(ArtifactError, match="cannot be read"):
            online.read("rides")

    def test_content_that_was_changed_together_with_nothing_else_names_the_file(self, online, file):
        online.publish(TABLE)
        body = encode_table(LATER)
        file.write_bytes(msgspec.msgpack.encode(Envelope(digest_bytes(b"what was"), body)))
        with pytest.raises(ArtifactError, match=rf"{file}: .* differs from its digest"):
            online.read("rides")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_no_cut_and_no_flipped_bit_is_read_as_a_table(self, online, file, data):
        online.publish(TABLE)
        whole = file.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        flipped = bytearray(whole)
        flipped[at] ^= data.draw(st.integers(1, 255))
        for torn in (whole[:at], bytes(flipped)):
            file.write_bytes(torn)
            try:
                read = FolderOnlineTables(file.parent).read("rides")
            except ArtifactError:
                continue
            assert read == TABLE  # what does not matter to msgpack may change: how a length is put

    def test_when_a_writer_is_killed_then_the_old_or_a_new_table_is_left(self, online, file):
        online.publish(TABLE)
        program = f"""
import sys
from dataclasses import replace
from pathlib import Path
from mlops_assets.adapters.online_tables import FolderOnlineTables
online = FolderOnlineTables(Path({str(file.parent)!r}))
table = online.read("rides")
print("ready", flush=True)
while True:
    for hour in range(24):
        online.publish(replace(table, as_of=f"2013-06-02T{{hour:02d}}:00:00+00:00"))
"""
        for _ in range(3):
            writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
            assert writer.stdout.readline() == b"ready\n"
            while FolderOnlineTables(file.parent).read("rides").as_of < "2013-06-02":
                pass
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
            read = FolderOnlineTables(file.parent).read("rides")
            assert read == replace(TABLE, as_of=read.as_of)


@settings(max_examples=100)
@given(TABLES)
def test_a_table_is_read_as_it_was_written_to_the_last_bit(table):
    read = decode_table(encode_table(table))
    assert read == table
    assert encode_table(read) == encode_table(table)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"model": "rides"}),
        msgspec.msgpack.encode(["rides"]),
        encode_table(TABLE)[:-3],
        msgspec.msgpack.encode(
            {
                **msgspec.msgpack.decode(encode_table(TABLE)),
                "groups": [{"by": ["a"], "features": ["f"], "keys": [["x"]], "values": []}],
            }
        ),
        msgspec.msgpack.encode(
            {
                **msgspec.msgpack.decode(encode_table(TABLE)),
                "groups": [{"by": ["a"], "features": ["f"], "keys": [["x"]], "values": [[1.0, 2]]}],
            }
        ),
        msgspec.msgpack.encode(
            {
                **msgspec.msgpack.decode(encode_table(TABLE)),
                "groups": [{"by": ["a"], "features": ["f"], "keys": [[]], "values": [[1.0]]}],
            }
        ),
    ],
)
def test_bytes_that_are_no_table_are_an_artifact_error(body):
    with pytest.raises(ArtifactError, match="refresh it"):
        decode_table(body)
