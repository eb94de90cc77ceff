"""A lock on a file: one at a time, and gone with whoever held it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.adapters.file_locks import exclusive

HOLD = """
import sys, time
from pathlib import Path

from mlops_assets.adapters.file_locks import exclusive

with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""

COUNT = """
import sys
from pathlib import Path

from mlops_assets.adapters.file_locks import exclusive

path = Path(sys.argv[1])
for _ in range(200):
    with exclusive(path.with_name("lock")):
        path.write_text(str(int(path.read_text()) + 1))
"""


def test_threads_hold_it_in_turn(tmp_path):
    inside, most = [], []

    def attempt(_):
        with exclusive(tmp_path / "deep" / "lock"):
            inside.append(1)
            time.sleep(0.001)  # others may come in here
            most.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(40)))
    assert max(most) == 1


def test_processes_hold_it_in_turn(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    given = [sys.executable, "-c", COUNT, str(counter)]
    processes = [subprocess.Popen(given) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert counter.read_text() == "600"


def test_when_its_holder_is_killed_then_the_next_one_has_it(tmp_path):
    given = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
        finally:
            process.send_signal(signal.SIGKILL)
    with exclusive(tmp_path / "lock"):
        pass


def test_when_the_block_raises_then_it_is_free_again(tmp_path):
    with pytest.raises(ValueError, match="wrong"), exclusive(tmp_path / "lock"):
        raise ValueError("wrong")
    with exclusive(tmp_path / "lock"):
        pass
