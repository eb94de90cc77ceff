"""A worker as its supervisor sees it: real processes that play the server."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_assets.serving.process import worker as module
from mlops_assets.serving.process.listening import bind
from mlops_assets.serving.process.worker import start_worker

ENOUGH = 60.0

PLAYED = """
import json, os, pathlib, signal, socket, sys, time

role, folder, *handed = sys.argv[1:]
option = dict(zip(handed[::2], handed[1::2]))
folder = pathlib.Path(folder)
written = folder / "writing"
written.write_text(json.dumps([os.getpid(), handed]))
written.rename(folder / "arguments")
if role == "dies":
    sys.exit(3)
if role == "waits":
    (folder / "called").write_bytes(os.read(0, 1))
if role == "drains":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if role == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(option["--ready-fd"]), b"1")
if role == "answers":
    connection, _ = socket.socket(fileno=int(option["--fd"])).accept()
    connection.sendall(b"hello")
while os.read(0, 1):
    pass
(folder / "left alone").touch()
"""


@pytest.fixture(autouse=True)
def played(tmp_path, monkeypatch):
    """A module that plays the server as its first argument says."""
    (tmp_path / "played_worker.py").write_text(PLAYED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "MODULE", "played_worker")


@pytest.fixture
def start(tmp_path):
    """Starts workers on one socket; ends them with the test."""
    started = []
    with bind("127.0.0.1", 0) as listener:

        def begin(role, *, spare=False):
            worker = start_worker([role, str(tmp_path)], listener, spare=spare)
            worker.port = listener.getsockname()[1]
            started.append(worker)
            return worker

        yield begin
    for worker in started:
        worker.kill()
        wait_until(lambda worker=worker: worker.poll() is not None)


def wait_until(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def arguments(folder):
    wait_until((folder / "arguments").exists)
    pid, handed = json.loads((folder / "arguments").read_text())
    return pid, handed


def open_files():
    gc.collect()  # What earlier tests have left is closed now, and not in between.
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("spare", [False, True])
def test_a_worker_is_told_its_socket_its_supervisor_and_where_to_say_that_it_is_ready(
    start, tmp_path, spare
):
    worker = start("answers", spare=spare)
    pid, handed = arguments(tmp_path)
    assert pid == worker.pid
    assert handed[::2] == ["--fd", "--supervisor", "--ready-fd", *(["--spare"] if spare else [])]
    assert handed[3] == str(os.getpid())


def test_a_worker_answers_on_the_socket_that_the_supervisor_holds(start):
    worker = start("answers")
    with socket.create_connection(("127.0.0.1", worker.port)) as caller:
        assert caller.recv(5) == b"hello"


def test_a_worker_is_ready_once_it_says_so_and_stays_it(start):
    worker = start("waits")
    assert not worker.is_ready()
    worker.call(1.0)
    wait_until(worker.is_ready)
    worker.kill()
    wait_until(lambda: worker.poll() is not None)
    assert worker.is_ready()


def test_a_worker_that_ended_without_a_word_was_never_ready(start):
    worker = start("dies")
    wait_until(lambda: worker.poll() is not None)
    assert worker.poll() == 3
    assert not worker.is_ready()


def test_a_worker_whose_end_nobody_has_noticed_yet_is_not_ready(start, tmp_path):
    worker = start("dies")
    arguments(tmp_path)
    wait_until(lambda: Path(f"/proc/{worker.pid}/stat").read_text().split()[2] == "Z")
    assert not worker.is_ready()
    assert worker.poll() == 3


def test_a_spare_goes_on_when_it_is_called(start, tmp_path):
    worker = start("waits", spare=True)
    arguments(tmp_path)
    assert not (tmp_path / "called").exists()
    worker.call(7.0)
    assert worker.since == 7.0
    wait_until(worker.is_ready)
    assert (tmp_path / "called").read_bytes() == b"1"


def test_calling_one_that_died_this_moment_is_no_error(start):
    worker = start("dies")
    wait_until(lambda: worker.poll() is not None)
    for _ in range(2):
        worker.call(7.0)
    assert worker.poll() == 3


def test_a_drained_worker_ends_by_itself_with_status_0(start):
    worker = start("drains")
    wait_until(worker.is_ready)
    assert worker.poll() is None
    worker.drain()
    wait_until(lambda: worker.poll() is not None)
    assert worker.poll() == 0


def test_a_worker_that_does_not_drain_can_be_killed(start):
    worker = start("stubborn")
    wait_until(worker.is_ready)
    worker.drain()
    assert worker.poll() is None
    worker.kill()
    wait_until(lambda: worker.poll() is not None)
    assert worker.poll() == -signal.SIGKILL


def test_an_ended_worker_leaves_no_pipe_for_its_readiness(start):
    worker = start("dies")
    ready = worker.ready_fd
    wait_until(lambda: worker.poll() is not None)
    assert worker.ready_fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(ready)


def test_a_worker_is_left_alone_when_its_supervisor_is_killed(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from mlops_assets.serving.process import listening, worker\n"
        "worker.MODULE = 'played_worker'\n"
        "made = worker.start_worker(['waits', sys.argv[1]], listening.bind('127.0.0.1', 0),"
        " spare=False)\n"
        "made.call(0.0)\n"
        "while not made.is_ready(): pass\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until((tmp_path / "left alone").exists)


def test_where_no_process_can_be_started_it_raises_and_leaves_no_pipe(start, monkeypatch, tmp_path):
    before = open_files()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    for _ in range(3):
        with pytest.raises(OSError, match="missing"):
            start("answers")
    assert open_files() == before
