"""The ledger: one writer wins each row, and rows are whole, in order and never change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.adapters.ports import Record
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import LedgerConflict

AT = datetime(2013, 6, 1, 12, 30, 15, 123456, tzinfo=UTC)

WRITER = """
import json, sys
from datetime import UTC, datetime
from mlops_assets.adapters.ports import Record
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import LedgerConflict
import sqlalchemy.dialects.sqlite
print("ready", flush=True)
for line in sys.stdin:
    url, sequence, name = json.loads(line)
    row = Record("kind", "model", "subject", sequence, {"writer": name}, datetime.now(UTC))
    try:
        SqlLedger(url).append(row)
        print("won", flush=True)
    except LedgerConflict:
        print("conflict", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""

ENDLESS_WRITER = """
import sys
from datetime import UTC, datetime
from mlops_assets.adapters.ports import Record
from mlops_assets.adapters.sql_ledger import SqlLedger
ledger, sequence = SqlLedger(sys.argv[1]), 0
while True:
    sequence += 1
    body = {"sequence": sequence, "text": str(sequence) * 5000}
    ledger.append(Record("kind", "model", "subject", sequence, body, datetime.now(UTC)))
    print(sequence, flush=True)
"""


def row(sequence=1, body=None, *, kind="kind", model="model", subject="subject", at=AT):
    return Record(kind, model, subject, sequence, body or {}, at)


def bodies(records):
    return [record.body for record in records]


def race(ledger, sequence, writers=8):
    """What happened to each of several writers that try the same row at once."""
    barrier = threading.Barrier(writers)

    def attempt(writer):
        barrier.wait()
        try:
            return put(ledger, row(sequence, {"writer": writer}))
        except LedgerConflict:
            return None

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(attempt, range(writers)))


def put(ledger, record):
    """Append one row; the row as it was written."""
    (written,) = ledger.append(record)
    return written


class LedgerContract:
    def test_an_empty_ledger_has_no_rows_no_models_and_position_0(self, ledger):
        assert ledger.latest("kind", "model") is None
        assert ledger.history("kind", "model") == []
        assert ledger.models() == []
        assert ledger.position() == 0

    def test_a_row_comes_back_as_it_was_written(self, ledger):
        body = {"text": "späť '\"\n\0", "number": 0.1, "list": [1, None, True], "map": {"a": {}}}
        written = put(ledger, row(1, body))
        assert written == replace(row(1, body), position=written.position)
        assert ledger.latest("kind", "model", "subject") == written
        assert ledger.history("kind", "model") == [written]

    def test_given_a_moment_in_another_zone_then_the_same_moment_comes_back(self, ledger):
        at = AT.astimezone(timezone(timedelta(hours=-5)))
        ledger.append(row(at=at))
        read = ledger.latest("kind", "model")
        assert read.at == at
        assert read.at.utcoffset() is not None

    @pytest.mark.parametrize("sequence", [-1, 0, 1, 3])
    def test_given_one_row_when_another_than_the_second_is_written_then_it_conflicts(
        self, ledger, sequence
    ):
        first = put(ledger, row(1, {"said": "first"}))
        with pytest.raises(LedgerConflict):
            ledger.append(row(sequence, {"said": "other"}))
        assert ledger.history("kind", "model") == [first]
        assert put(ledger, row(2)).sequence == 2

    @pytest.mark.parametrize("sequence", [0, 2])
    def test_given_no_row_when_another_than_the_first_is_written_then_it_conflicts(
        self, ledger, sequence
    ):
        with pytest.raises(LedgerConflict):
            ledger.append(row(sequence))
        assert ledger.position() == 0

    def test_each_kind_model_and_subject_counts_for_itself(self, ledger):
        ledger.append(row(1))
        for other in ({"kind": "k2"}, {"model": "m2"}, {"subject": "s2"}):
            assert put(ledger, row(1, **other)).sequence == 1
        assert len(ledger.history("kind", "model")) == 2
        assert len(ledger.history("kind", "model", "subject")) == 1

    def test_history_is_in_the_order_of_writing_whatever_the_rows_say_of_time(self, ledger):
        for number, subject in enumerate("abcabbca"):
            sequence = len(ledger.history("kind", "model", subject)) + 1
            at = AT - timedelta(days=number)
            ledger.append(row(sequence, {"n": number}, subject=subject, at=at))
        assert bodies(ledger.history("kind", "model")) == [{"n": n} for n in range(8)]
        assert bodies(ledger.history("kind", "model", "b")) == [{"n": n} for n in (1, 4, 5)]

    def test_latest_is_the_last_row_of_the_subject_or_of_the_kind(self, ledger):
        ledger.append(row(1, {"n": 1}, subject="a"))
        ledger.append(row(2, {"n": 2}, subject="a"))
        ledger.append(row(1, {"n": 3}, subject="b"))
        ledger.append(row(1, {"n": 4}, subject="b", kind="other"))
        ledger.append(row(1, {"n": 5}, subject="b", model="other"))
        assert ledger.latest("kind", "model", "a").body == {"n": 2}
        assert ledger.latest("kind", "model", "b").body == {"n": 3}
        assert ledger.latest("kind", "model").body == {"n": 3}
        assert ledger.latest("kind", "model", "unknown") is None
        assert ledger.latest("unknown", "model") is None

    def test_models_are_sorted_and_named_once(self, ledger):
        for model in ("b", "a", "c"):
            ledger.append(row(1, model=model))
        ledger.append(row(2, model="a"))
        assert ledger.models() == ["a", "b", "c"]

    def test_rows_of_several_subjects_are_written_all_or_none(self, ledger):
        # given one subject with a row
        ledger.append(row(1, subject="a"))

        # when two rows are written of which one is not next, then neither is there
        with pytest.raises(LedgerConflict):
            ledger.append(row(1, subject="b"), row(1, subject="a"))
        assert ledger.latest("kind", "model", "b") is None

        # and when both are next, then both are, in the order given
        written = ledger.append(row(1, subject="b"), row(2, subject="a"))
        assert [one.subject for one in written] == ["b", "a"]
        assert ledger.history("kind", "model")[1:] == written

    def test_the_position_grows_with_every_row_and_stays_at_a_conflict(self, ledger):
        positions = [put(ledger, row(n, subject=s)).position for s in "ab" for n in (1, 2)]
        assert positions == sorted(set(positions))
        assert ledger.position() == positions[-1] > 0
        with pytest.raises(LedgerConflict):
            ledger.append(row(1, subject="a"))
        assert ledger.position() == positions[-1]

    def test_changing_what_was_given_or_read_changes_no_row(self, ledger):
        body = {"list": [1]}
        written = put(ledger, row(1, body))
        body["list"].append(2)
        written.body["list"].append(3)
        ledger.history("kind", "model")[0].body["list"].append(4)
        assert ledger.latest("kind", "model").body == {"list": [1]}

    def test_a_body_comes_back_as_plain_json_would_have_it(self, ledger):
        assert put(ledger, row(1, {"pair": (1, 2)})).body == {"pair": [1, 2]}

    def test_a_body_that_is_no_json_is_refused_and_leaves_no_row(self, ledger):
        with pytest.raises(TypeError):
            ledger.append(row(1, {"at": AT}))
        assert ledger.position() == 0
        assert put(ledger, row(1)).sequence == 1

    def test_when_8_threads_race_for_the_same_row_then_exactly_one_wins_it(self, ledger):
        for sequence in range(1, 9):
            won = [written for written in race(ledger, sequence) if written]
            assert won == ledger.history("kind", "model")[sequence - 1 :]
            assert len(won) == 1

    def test_when_8_threads_are_first_then_each_gets_the_row_it_wrote(self, ledger):
        barrier = threading.Barrier(8)

        def write(writer):
            barrier.wait()
            return put(ledger, row(1, {"writer": writer}, subject=str(writer)))

        with ThreadPoolExecutor(8) as pool:
            written = list(pool.map(write, range(8)))
        assert bodies(written) == [{"writer": writer} for writer in range(8)]
        in_order = sorted(written, key=lambda record: record.position)
        assert ledger.history("kind", "model") == in_order

    def test_when_threads_go_on_after_each_conflict_then_no_row_is_lost(self, ledger):
        def write(writer):
            for turn in range(5):
                body = {"writer": writer, "turn": turn}
                while True:
                    last = ledger.latest("kind", "model", "subject")
                    try:
                        ledger.append(row(last.sequence + 1 if last else 1, body))
                        break
                    except LedgerConflict:
                        continue

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        rows = ledger.history("kind", "model", "subject")
        assert [record.sequence for record in rows] == list(range(1, 41))
        said = sorted((record.body["writer"], record.body["turn"]) for record in rows)
        assert said == [(writer, turn) for writer in range(8) for turn in range(5)]


class TestInMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self):
        return InMemoryLedger()


@pytest.fixture(scope="module")
def writers():
    """Four processes that write what they are told."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    yield processes
    for process in processes:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def race_processes(writers, url, sequence):
    """What each process says of its attempt at the same row."""
    for number, process in enumerate(writers):
        process.stdin.write(json.dumps([url, sequence, number]) + "\n")
    return sorted(process.stdout.readline().strip() for process in writers)


class TestSqlLedger(LedgerContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/deep/folder/ledger.db"

    @pytest.fixture
    def ledger(self, url):
        return SqlLedger(url)

    def test_what_one_wrote_another_reads(self, ledger, url):
        written = put(ledger, row(1, {"said": "here"}))
        assert SqlLedger(url).latest("kind", "model") == written

    def test_when_4_processes_race_for_the_same_row_then_exactly_one_wins_it(
        self, ledger, url, writers
    ):
        ledger.position()
        for sequence in range(1, 11):
            said = race_processes(writers, url, sequence)
            assert said == ["conflict"] * 3 + ["won"]
        assert [record.sequence for record in ledger.history("kind", "model")] == list(range(1, 11))

    def test_when_4_processes_are_first_at_a_new_database_then_exactly_one_wins_the_row(
        self, tmp_path, writers
    ):
        for number in range(20):
            said = race_processes(writers, f"sqlite:///{tmp_path}/{number}.db", 1)
            assert said == ["conflict"] * 3 + ["won"]

    @pytest.mark.parametrize("acknowledged", [1, 17, 60])
    def test_when_a_writer_is_killed_then_only_whole_rows_are_left(self, url, acknowledged):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS_WRITER, url], stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(acknowledged):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            last = [int(line) for line in writer.stdout if line.endswith("\n")]
        assert writer.returncode == -signal.SIGKILL
        ledger = SqlLedger(url)
        rows = ledger.history("kind", "model", "subject")
        assert len(rows) >= max([acknowledged, *last])
        assert [(record.sequence, record.body) for record in rows] == [
            (n, {"sequence": n, "text": str(n) * 5000}) for n in range(1, len(rows) + 1)
        ]
        assert put(ledger, row(len(rows) + 1)).sequence == len(rows) + 1
