"""What is done on purpose while requests come: nobody may notice."""

from __future__ import annotations

import time

import numpy as np


def test_rolling_restarts_under_load(running, times, seen):
    """No request fails and no connection breaks: the old worker says goodbye with an answer."""
    workers = {running.worker}
    with running.load() as load:
        for _ in range(times(2, 20)):
            workers.add(running.serving.restart().pid)
            load.run_for(0.2)
    assert (load.broken, load.refused, load.lost) == ([], [], [])
    assert load.acknowledged <= set(running.logged())
    assert len(workers) == times(2, 20) + 1
    seen(f"{times(2, 20)} drains, {len(load.answers)} requests, none failed")


def test_versions_swapped_under_load(running, times, seen):
    """No request fails, and each answer is of the version that was promoted then or before."""
    swaps = times(5, 50)
    with running.load() as load:
        for number in range(swaps):
            version = ("v2", "v1")[number % 2]
            began = time.monotonic()
            running.world.promote(version)
            wait_for_version(load, version, began)
    assert (load.broken, load.refused, load.lost) == ([], [], [])
    assert {answer.version for answer in load.answers} == {"v1", "v2"}
    seen(f"{swaps} swaps, {len(load.answers)} requests, none failed")


def test_switch_back_after_a_promotion(running, times, seen):
    """Under 1 s at p99 from the ledger's row to the last answer of the other version (its time is
    reported, what is asserted is that no request is lost)."""
    taken = []
    with running.load(rate=200) as load:
        for _ in range(times(10, 100)):
            began = time.monotonic()
            running.world.promote("v2")
            wait_for_version(load, "v2", began)
            began = time.monotonic()
            running.world.promote("v1")
            wait_for_version(load, "v1", began)
            load.run_for(0.1)
            others = [a.ended for a in load.answers if a.version == "v2" and a.ended > began]
            first = min(a.ended for a in load.answers if a.version == "v1" and a.sent > began)
            taken.append(max([first, *others]) - began)
    assert (load.broken, load.refused, load.lost) == ([], [], [])
    assert load.acknowledged <= set(running.logged())
    seen(
        f"{len(taken)} times: p50 {np.quantile(taken, 0.5):.2f} s, p99 "
        f"{np.quantile(taken, 0.99):.2f} s, {len(load.answers)} requests, none failed"
    )


def wait_for_version(load, version, moment):
    deadline = time.monotonic() + 60
    while not any(a.version == version and a.sent > moment for a in load.answers[-50:]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
