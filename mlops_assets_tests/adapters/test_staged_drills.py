"""A caller that asks without a stop, and how long going back to another version takes it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters import staged_drills
from mlops_assets.adapters.staged_drills import SETTLED_SECONDS, Caller, time_going_back
from mlops_assets.lifecycle.errors import EndpointError

PATH = "/v2/models/delays/infer"
CURRENT, PREVIOUS = "c" * 64, "p" * 64


@dataclass
class Client:
    """A connection to a server that answers as its script says, and goes on as it ended."""

    script: list[Any]
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def post(self, path: str, *, content: bytes) -> httpx.Response:
        self.asked.append((path, content))
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, httpx.TransportError):
            raise said
        if isinstance(said, int):
            return httpx.Response(said, json={"error": "no"})
        return httpx.Response(200, json={"model_version": said})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(staged_drills, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(staged_drills, "SETTLED_SECONDS", 0.05)


def caller_of(script, bodies=(b"one", b"two", b"three")):
    return Caller(Client(script), PATH, bodies)  # type: ignore[arg-type]


def ask_until(caller, condition):
    done = threading.Event()
    with caller:
        for _ in range(6000):
            if condition():
                break
            done.wait(0.01)
    assert condition()


def test_each_answer_is_kept_with_its_moment_and_version():
    caller = caller_of(["v1", "v1", "v2"])
    ask_until(caller, lambda: len(caller.answers) >= 10)
    moments = [moment for moment, _ in caller.answers]
    assert moments == sorted(moments)
    assert [version for _, version in caller.answers] == ["v1"] * 2 + ["v2"] * (len(moments) - 2)
    assert (caller.sent, caller.failed) == (len(moments), 0)


def test_the_rows_are_asked_one_after_the_other_again_and_again():
    caller = caller_of(["v1"])
    ask_until(caller, lambda: caller.sent >= 8)
    paths, bodies = zip(*caller.client.asked, strict=True)
    assert set(paths) == {PATH}
    assert bodies[:8] == (b"one", b"two", b"three") * 2 + (b"one", b"two")


@pytest.mark.parametrize(
    "fault",
    [503, 404, httpx.ReadError("reset"), httpx.ConnectError("refused"), httpx.ReadTimeout("late")],
    ids=repr,
)
def test_what_is_refused_or_breaks_off_is_counted_and_not_asked_again(fault):
    caller = caller_of(["v1", fault, fault, "v1"])
    ask_until(caller, lambda: caller.sent >= 6)
    assert caller.failed == 2
    assert len(caller.answers) == caller.sent - 2
    assert [body for _, body in caller.client.asked[:4]] == [b"one", b"two", b"three", b"one"]


def test_nobody_asks_any_more_after_the_block():
    caller = caller_of(["v1"])
    before = set(threading.enumerate())
    ask_until(caller, lambda: caller.sent > 3)
    assert set(threading.enumerate()) <= before
    sent = caller.sent
    threading.Event().wait(0.05)
    assert caller.sent == sent


def settled_slowly(answers, version):
    """The words of the docstring, answer by answer."""
    for place, (moment, _) in enumerate(answers):
        if all(name == version for _, name in answers[place:]):
            return moment if answers[-1][0] - moment >= SETTLED_SECONDS else None
    return None


@given(
    st.lists(st.tuples(st.floats(0.001, 0.4), st.sampled_from(["v1", "v2", "v2", "v2"]))),
    st.sampled_from(["v1", "v2", "v3"]),
)
def test_a_version_has_settled_when_it_alone_answered_for_long_enough(steps, version):
    moment, answers = 100.0, []
    for pause, name in steps:
        moment += pause
        answers.append((moment, name))
    caller = Caller(None, PATH, [b""], answers)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staged_drills, "SETTLED_SECONDS", SETTLED_SECONDS)
        assert caller.settled_on(version) == settled_slowly(answers, version)


def test_nobody_who_never_answered_has_settled():
    assert caller_of(["v1"]).settled_on("v1") is None


def test_the_time_goes_from_the_call_to_the_first_answer_after_which_no_other_one_came():
    caller = caller_of([CURRENT])
    called = []

    def go_back():
        called.append(caller.answers[-1][0])
        caller.client.script[:] = [CURRENT, PREVIOUS, CURRENT, PREVIOUS]

    drill = time_going_back(caller, CURRENT, PREVIOUS, go_back)
    last_current = max(moment for moment, name in caller.answers if name == CURRENT)
    settled = min(
        moment for moment, name in caller.answers if name == PREVIOUS and moment > last_current
    )
    assert len(called) == 1
    assert 0 < drill.seconds <= settled - called[0]
    assert drill.seconds > last_current - max(
        moment for moment, name in caller.answers if name == CURRENT and moment < last_current
    )
    assert drill.failed == 0
    assert drill.requests >= 4


def test_only_failures_after_the_call_are_those_of_the_drill():
    caller = caller_of([503, 503, 503, CURRENT])

    def go_back():
        caller.client.script[:] = [502, httpx.ReadError("reset"), CURRENT, PREVIOUS]

    drill = time_going_back(caller, CURRENT, PREVIOUS, go_back)
    assert (drill.failed, caller.failed) == (2, 5)
    assert drill.requests < caller.sent


@pytest.mark.parametrize(
    ("script", "role", "version", "failed"),
    [
        ([503], "current", CURRENT, True),
        ([PREVIOUS], "current", CURRENT, False),
        ([CURRENT], "previous", PREVIOUS, False),
    ],
)
def test_who_does_not_come_to_answer_is_named_with_what_failed(
    monkeypatch, script, role, version, failed
):
    monkeypatch.setattr(staged_drills, "DRILL_SECONDS", 0.3)
    caller, before = caller_of(script), set(threading.enumerate())
    with pytest.raises(EndpointError) as raised:
        time_going_back(caller, CURRENT, PREVIOUS, lambda: None)
    said = str(raised.value)
    assert f"the {role} version {version[:12]} did not come to answer" in said
    assert version not in said
    assert ("; 0 of " in said) is not failed
    assert set(threading.enumerate()) <= before


def test_a_ledger_that_cannot_be_written_ends_the_drill_and_its_caller():
    def go_back():
        raise OSError("the ledger is away")

    before = set(threading.enumerate())
    with pytest.raises(OSError, match="the ledger is away"):
        time_going_back(caller_of([CURRENT]), CURRENT, PREVIOUS, go_back)
    assert set(threading.enumerate()) <= before
