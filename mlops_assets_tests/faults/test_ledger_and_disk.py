"""The ledger and the disk fail; the server does not."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from contextlib import contextmanager


@contextmanager
def locked(path):
    """Another process' transaction that lets nobody else write."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_ledger_locked(running, times, seen, until):
    """Answers go on, also of a worker that has to start meanwhile; what is written afterwards is
    followed."""
    with running.load() as load:
        with locked(running.world.root / "ledger.db"):
            load.run_for(times(2, 60))
            before = time.monotonic()
            os.kill(running.worker, signal.SIGKILL)
            away = load.first_answer_after(before)
        running.world.promote("v2")
        until(lambda: load.answers[-1].version == "v2", "the promotion")
        running.world.promote("v1")
    assert (load.refused, load.lost) == ([], [])
    seen(f"{len(load.answers)} answers; a worker started meanwhile answered after {away:.2f} s")


def test_ledger_moved_away(running, times, seen, until):
    """Answers go on, also of a worker that has to start meanwhile: it answers by the last good
    routing and says what is wrong. After the file is back, a restart follows it again."""
    root = running.world.root
    away = root / "away"
    away.mkdir()
    names = [path.name for path in root.glob("ledger.db*")]
    with running.load() as load:
        for name in names:
            (root / name).rename(away / name)
        load.run_for(times(1, 30))
        os.kill(running.worker, signal.SIGKILL)  # a worker that has the file open goes on with it
        load.first_answer_after(time.monotonic())
        until(lambda: ledger_error(running), "the error to be shown")
        said = ledger_error(running)
        for path in root.glob("ledger.db*"):
            path.unlink()  # the empty one that was made by looking for it
        for name in names:
            (away / name).rename(root / name)
        running.serving.restart()
        until(lambda: not ledger_error(running), "the ledger to be read again")
        running.world.promote("v2")
        until(lambda: load.answers[-1].version == "v2", "the promotion")
    assert (load.refused, load.lost) == ([], [])
    seen(f"{len(load.answers)} answers; the routing said: {said[:120]}")


def ledger_error(running):
    return running.get("/v2/models/delays/routing")[1].get("ledger_error")


def test_disk_full(running, times, seen):
    """503 and nothing acknowledged that is not logged, while the server stays up; answered again
    when there is space."""
    worker = running.worker
    _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    with running.load() as load:
        load.run_for(0.5)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, hard))
        load.run_for(times(1, 20))
        assert running.get("/v2/health/live")[0] == 200
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
        load.first_answer_after(time.monotonic())
    assert running.worker == worker
    assert load.refused
    assert {text[:3] for text in load.refused} == {"503"}
    assert load.acknowledged <= set(running.logged())
    assert (load.broken, load.lost) == ([], [])
    seen(f"{len(load.refused)} refused with 503, {len(load.acknowledged)} acknowledged and logged")
