"""Versions on trial: canaries that fail or stall, shadows, and their end by the guard."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.adapters.journal import read_cut_off
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.answering.arms import is_mirrored
from mlops_assets.serving.answering.prediction_log import PredictionLog

ENOUGH = 60.0


class Stall:
    """A predictor that answers once it is released."""

    def __init__(self):
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self, _, height):
        self.entered.release()
        assert self.released.wait(ENOUGH)
        return [0.5] * height

    def wait_until_entered(self):
        assert self.entered.acquire(timeout=ENOUGH)


def fail(*_):
    raise RuntimeError("broken")


@pytest.fixture
def stall():
    stalled = Stall()
    yield stalled
    stalled.released.set()


@pytest.fixture
def try_out(world, start):
    """A server with champion v1 that tries v2 out."""

    def begin(weight=100, mirror=0, **settings):
        world.train("v1")
        world.train("v2")
        world.promote("v1")
        world.roll_out("v2", weight, mirror=mirror)
        return start(**settings)

    return begin


def ask(server, request_body, count, **more):
    return [
        server.infer(request_body([1.0], ["UA"], id=f"r{number}", **more))
        for number in range(count)
    ]


def versions(answers):
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["model_version"] for answer in answers]


def reasons(server, arm):
    return [line["reason"] for line in server.log() if line["arm"] == arm]


def wait_for_lines(server, arm, count):
    """The lines of an arm, once there are so many."""
    pause = threading.Event()
    while len(lines := [li for li in server.log() if li["arm"] == arm]) < count:
        pause.wait(0.005)
    return lines


def test_given_a_canary_that_raises_then_it_is_cut_off_and_nobody_notices(
    world, try_out, request_body, predict_by
):
    predict_by("v2", fail)
    server = try_out()
    answers = ask(server, request_body, 12)
    assert versions(answers) == ["v1"] * 12
    assert [answer.json()["parameters"].get("fallback") for answer in answers] == (
        [True] * 5 + [None] * 7
    )
    assert reasons(server, "canary") == ["RuntimeError: broken"] * 5
    assert [line["weight"] for line in server.log() if line["routed"]] == [100] * 5 + [0] * 7
    canary = server.get("/routing").json()["targets"][1]
    assert canary["cut_off"] == {
        "reason": "5 attempts in a row failed, the last one with RuntimeError: broken",
        "by": "endpoint",
    }
    assert [t["weight"] for t in server.get("/routing").json()["served"]] == [100, 0]

    # when the watch looks again, then the ledger knows
    server.follow()
    cut_off = read_cut_off(world.ledger, "delays", world.digests["v2"])
    assert (cut_off.version, cut_off.by) == ("v2", "endpoint")
    assert "RuntimeError" in cut_off.reason


@pytest.mark.parametrize("kind", ["compiled", "scikit-learn"])
def test_given_a_canary_that_fails_every_other_time_then_10_failures_are_enough(
    try_out, request_body, predict_by, kind
):
    calls = []

    def every_other(_, height):
        calls.append(1)
        if len(calls) % 2:
            raise RuntimeError("now and then")
        return [0.5] * height

    predict_by("v2", every_other, kind=kind)
    server = try_out()
    assert Counter(versions(ask(server, request_body, 30))) == {"v1": 10 + 11, "v2": 9}
    assert len(calls) == 19


def test_given_a_canary_that_stalls_then_others_are_answered_meanwhile(
    try_out, request_body, predict_by, stall
):
    predict_by("v2", stall)
    server = try_out(weight=50, deadline=ENOUGH)
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(ask, server, request_body, 1, flight=[f"f{n}"]) for n in range(12)]
        stall.wait_until_entered()
        primary = [server.infer(request_body(), version="v1") for _ in range(5)]
        assert versions(primary) == ["v1"] * 5
        assert server.client.get("/v2/health/live").status_code == 200
        stall.released.set()
        assert set(versions([w.result()[0] for w in waiting])) == {"v1", "v2"}


def test_given_a_canary_that_stalls_then_the_primary_answers_and_it_is_cut_off(
    try_out, request_body, predict_by, stall
):
    predict_by("v2", stall)
    server = try_out(deadline=0.05)
    assert versions(ask(server, request_body, 8)) == ["v1"] * 8
    late, spent = "TimeoutError: no answer within 0.05 s", "BudgetSpentError: 2 earlier attempts"
    first, second, *others = reasons(server, "canary")
    assert (first, second) == (late, late)
    assert [reason.startswith(spent) for reason in others] == [True] * 3
    assert "cut_off" in server.get("/routing").json()["targets"][1]


def test_given_a_cut_off_then_the_version_answers_by_name_alone(try_out, request_body, predict_by):
    broken = threading.Event()
    broken.set()
    predict_by("v2", lambda _, height: fail() if broken.is_set() else [0.5] * height)
    server = try_out()
    ask(server, request_body, 5)
    assert server.infer(request_body(), version="v2").status_code == 500
    broken.clear()
    answer = server.infer(request_body(), version="v2").json()
    assert (answer["model_version"], answer["parameters"]) == ("v2", {"arm": "canary"})
    assert versions(ask(server, request_body, 3)) == ["v1"] * 3


def test_given_calls_by_name_that_fail_then_nothing_is_cut_off(try_out, request_body, predict_by):
    predict_by("v2", fail)
    server = try_out(weight=0)
    for _ in range(20):
        assert server.infer(request_body(), version="v2").status_code == 500
    assert "cut_off" not in server.get("/routing").json()["targets"][1]


def test_given_a_primary_that_raises_then_nothing_answers_in_its_place(
    try_out, request_body, predict_by
):
    predict_by("v1", fail)
    server = try_out(weight=0)
    assert {answer.status_code for answer in ask(server, request_body, 8)} == {500}
    assert [t["weight"] for t in server.get("/routing").json()["served"]] == [100, 0]


def test_given_a_shadow_then_it_answers_copies_for_the_log_alone(world, try_out, request_body):
    server = try_out(weight=0, mirror=100)
    assert versions(ask(server, request_body, 10)) == ["v1"] * 10
    shadows = wait_for_lines(server, "shadow", 10)
    answered = {line["request_id"]: line for line in server.log() if line["arm"] == "primary"}
    assert {line["request_id"] for line in shadows} == set(answered)
    for line in shadows:
        assert (line["version"], line["routed"], line["weight"]) == ("v2", False, 0)
        assert line["canary"] == "v2"
        same = ("unit", "received_at", "features", "entity", "time")
        assert [line[k] for k in same] == [answered[line["request_id"]][k] for k in same]


def test_given_a_share_of_copies_then_the_same_units_are_copied_each_time(
    world, try_out, request_body
):
    server = try_out(weight=0, mirror=40)
    shadow = Target("v2", world.digests["v2"], 0, "canary", 40)
    flights = [f"f{number}" for number in range(40)]
    for flight in flights * 2:
        server.infer(request_body([1.0], ["UA"], flight=[flight]))
    expected = {flight: 2 for flight in flights if is_mirrored("delays", shadow, flight)}
    lines = wait_for_lines(server, "shadow", 2 * len(expected))
    assert Counter(line["unit"] for line in lines) == expected


def test_given_a_canary_that_answers_then_it_gets_no_copy(try_out, request_body):
    server = try_out(weight=50, mirror=100)
    answers = versions(ask(server, request_body, 20))
    lines = wait_for_lines(server, "shadow", answers.count("v1"))
    copied = {line["request_id"] for line in lines}
    assert copied == {f"r{n}" for n, version in enumerate(answers) if version == "v1"}


def test_given_a_shadow_that_stalls_then_no_answer_waits_and_copies_are_bounded(
    try_out, request_body, predict_by, stall
):
    predict_by("v2", stall)
    server = try_out(weight=0, mirror=100, deadline=ENOUGH)
    assert versions(ask(server, request_body, 1)) == ["v1"]
    stall.wait_until_entered()
    assert versions(ask(server, request_body, 70)) == ["v1"] * 70
    answering = server.answering
    assert answering.dropped_copies == 70 - 64
    stall.released.set()
    assert len(wait_for_lines(server, "shadow", 65)) == 65


def test_given_a_shadow_that_raises_then_it_gets_no_more_copies(try_out, request_body, predict_by):
    predict_by("v2", fail, kind="compiled")
    server = try_out(weight=0, mirror=100)
    assert versions(ask(server, request_body, 20)) == ["v1"] * 20
    lines = wait_for_lines(server, "shadow", 5)
    assert [line["status"] for line in lines] == ["error"] * 5
    assert server.get("/routing").json()["served"][1]["mirror"] == 0
    assert "cut_off" in server.get("/routing").json()["targets"][1]


def test_given_copies_that_wait_when_their_version_is_cut_off_then_they_are_dropped(
    try_out, request_body, predict_by, stall
):
    predict_by("v2", stall)
    server = try_out(weight=0, mirror=100, deadline=0.05)
    ask(server, request_body, 30)
    assert len(wait_for_lines(server, "shadow", 5)) == 5
    pause = threading.Event()
    while server.answering.dropped_copies < 25:
        pause.wait(0.005)
    assert len(reasons(server, "shadow")) == 5


def test_given_a_shadow_that_cannot_be_logged_then_answers_go_on(
    try_out, request_body, monkeypatch
):
    server = try_out(weight=0, mirror=100)
    write, tried = PredictionLog.write, threading.Event()

    def refuse(log, line):
        if line.arm == "shadow":
            tried.set()
            raise OSError(28, "No space left")
        write(log, line)

    monkeypatch.setattr(PredictionLog, "write", refuse)
    assert versions(ask(server, request_body, 10)) == ["v1"] * 10
    assert tried.wait(ENOUGH)
    assert "cut_off" not in server.get("/routing").json()["targets"][1]
    assert server.client.get("/v2/health/live").status_code == 200
