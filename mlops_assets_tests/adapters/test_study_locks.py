"""Locks of studies: one holder at a time, and whole lines in a journal."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.study_locks import JournalLock, hold_file

KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_assets.adapters.study_locks import JournalLock
JournalLock(Path(sys.argv[1]), Path(sys.argv[2])).acquire()
print("held", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_threads_hold_a_study_one_after_the_other(tmp_path):
    inside, most = [], []

    def enter(number):
        with hold_file(tmp_path / "deep" / "lock") as require_held:
            require_held()
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(200)))
    assert most == [1] * 200


def test_a_writer_that_was_killed_holds_the_journal_no_more(tmp_path):
    lock, journal = tmp_path / "deep" / "lock", tmp_path / "journal"
    journal.touch()
    asked = [sys.executable, "-c", KILLED, str(lock), str(journal)]
    assert subprocess.run(asked, capture_output=True, check=False).stdout == b"held\n"
    held = JournalLock(lock, journal)
    assert held.acquire()
    held.release()
    assert held.acquire()
    held.release()


@given(st.lists(st.sampled_from([b"{}", b"\n", b"longer", b"\xff"]), max_size=8).map(b"".join))
def test_a_journal_holds_whole_lines_alone_once_its_lock_is_held(tmp_path_factory, left):
    folder = tmp_path_factory.mktemp("journal")
    journal = folder / "journal"
    journal.write_bytes(left)
    lock = JournalLock(folder / "lock", journal)
    lock.acquire()
    assert journal.read_bytes() == left[: left.rfind(b"\n") + 1]
    lock.release()
