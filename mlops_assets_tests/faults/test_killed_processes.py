"""Processes that are killed while requests come, about a hundred a second."""

from __future__ import annotations

import os
import random
import signal
import time


def test_worker_killed_under_load(running, times, seen, recovery_seconds):
    """Requests wait or their connection breaks, none is refused; answered again within 5 s by the
    spare; each acknowledged request is in the log; callers that ask again lose none."""
    random.seed(4)
    recoveries = []
    with running.load() as load:
        for _ in range(times(2, 10)):
            running.wait_for_spare()
            load.run_for(random.random())
            os.kill(running.worker, signal.SIGKILL)
            recoveries.append(load.first_answer_after(time.monotonic()))
    assert load.refused == []
    assert load.lost == []
    assert load.acknowledged <= set(running.logged())
    seen(
        f"{len(recoveries)} kills, {len(load.answers)} requests, {len(load.broken)} connections "
        f"broke; answered again after at most {max(recoveries):.2f} s"
    )
    assert max(recoveries) < recovery_seconds


def test_worker_killed_again_before_a_spare_is_ready(running, times, seen):
    """The same, though slower, as everything has to be imported; nothing is refused or lost."""
    random.seed(5)
    recoveries = []
    with running.load() as load:
        for _ in range(times(1, 10)):
            load.run_for(random.random())
            os.kill(running.worker, signal.SIGKILL)
            recoveries.append(load.first_answer_after(time.monotonic()))
    assert load.refused == []
    assert load.lost == []
    assert load.acknowledged <= set(running.logged())
    seen(f"{len(recoveries)} kills; answered again after at most {max(recoveries):.2f} s")


def test_callers_that_do_not_ask_again(running, times, seen):
    """Only requests that were under way on a connection fail, at most one per connection."""
    with running.load(retry=False, callers=4) as load:
        load.run_for(0.5)
        for _ in range(times(1, 5)):
            os.kill(running.worker, signal.SIGKILL)
            load.first_answer_after(time.monotonic())
    kills = times(1, 5)
    assert load.refused == []
    assert len(load.lost) <= 4 * kills
    assert load.acknowledged <= set(running.logged())
    seen(f"{kills} kills, {len(load.lost)} of {len(load.answers)} requests broke off")


def test_supervisor_killed_under_load(running, times, seen, until):
    """Its worker drains and ends; whoever asks for the server next starts it on the same port;
    each acknowledged request is in the log; callers that ask again lose none."""
    times_away = []
    with running.load() as load:
        for _ in range(times(1, 5)):
            load.run_for(0.5)
            supervisor, worker = running.supervisor, running.worker
            os.kill(supervisor, signal.SIGKILL)
            began = time.monotonic()
            until(lambda: running.worker != worker, "another worker")  # noqa: B023 - asked at once
            assert running.supervisor != supervisor
            times_away.append(load.first_answer_after(began))
    assert load.refused == []
    assert load.lost == []
    assert load.acknowledged <= set(running.logged())
    seen(f"answered again after at most {max(times_away):.2f} s, {len(load.broken)} broke off")


def test_spare_killed(running, seen):
    """Nobody notices, and another one is prepared."""
    spare = running.wait_for_spare()
    worker = running.worker
    with running.load() as load:
        os.kill(spare, signal.SIGKILL)
        running.wait_for_spare(but=spare)
    assert running.worker == worker
    assert (load.broken, load.refused) == ([], [])
    seen(f"{len(load.answers)} requests, none failed")
