"""Who answers, who comes, who stands by and who leaves; and the real process around them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlops_assets.serving.process import supervisor as module
from mlops_assets.serving.process.supervisor import (
    MisusedError,
    Supervisor,
    describe_end,
    parse_places,
)
from mlops_assets.serving.settings import Settings

ENOUGH = 60.0


class FakeWorker:
    """A worker that lives and gets ready as a test says."""

    def __init__(self, pid, spare, now):
        self.pid, self.spare, self.since = pid, spare, now
        self.status = None
        self.ready = self.called = self.drained = self.killed = False

    def poll(self):
        return self.status

    def is_ready(self):
        return self.ready

    def call(self, now):
        self.called, self.since = True, now

    def drain(self):
        self.drained = True

    def kill(self):
        self.killed, self.status = True, -9


class Pretence:
    """A supervisor of fake workers, with a clock that the test moves."""

    def __init__(self, *, spare=True, fails=0):
        self.now, self.started, self.fails = 100.0, [], fails
        self.supervisor = Supervisor(self._start, spare=spare)

    def _start(self, spare):
        if self.fails:
            self.fails -= 1
            raise OSError("no process left")
        worker = FakeWorker(len(self.started) + 1, spare, self.now)
        self.started.append(worker)
        return worker

    def step(self, seconds=0.0):
        self.now += seconds
        self.supervisor.step(self.now)
        return self

    def answer(self):
        """Whoever comes gets ready."""
        self.step()
        self.supervisor.coming.ready = True
        return self.step()

    @property
    def current(self):
        return self.supervisor.current


def test_a_worker_answers_once_it_is_ready():
    made = Pretence().step()
    assert made.current is None
    assert made.answer().current.pid == 1
    assert [worker.spare for worker in made.started] == [False]


def test_given_a_steady_worker_when_it_dies_then_another_is_started_at_once():
    made = Pretence(spare=False).answer()
    made.step(module.STEADY_SECONDS)
    made.current.status = -9
    made.step()
    assert made.supervisor.coming.pid == 2


def test_given_a_spare_when_the_worker_dies_then_the_spare_goes_on_and_another_is_prepared():
    made = Pretence().answer().step(module.SPARE_AFTER_SECONDS)
    spare = made.supervisor.spare
    assert (spare.spare, spare.called) == (True, False)
    made.current.status = -9
    made.step()
    assert made.supervisor.coming is spare
    assert spare.called
    made.answer().step(module.LONGEST_PAUSE)
    assert made.current is spare
    assert made.supervisor.spare not in (None, spare)


def test_without_a_spare_none_is_prepared():
    made = Pretence(spare=False).answer().step(1000)
    assert len(made.started) == 1


def test_workers_that_die_at_once_are_started_ever_more_slowly_but_for_ever():
    made = Pretence(spare=False)
    starts = []
    for _ in range(12):
        while made.supervisor.coming is None:
            made.step(0.05)
        starts.append(made.now)
        made.supervisor.coming.status = 1
        made.step()
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[0] < 0.3
    assert [round(pause, 1) for pause in pauses] == sorted(round(pause, 1) for pause in pauses)
    assert pauses[-1] == pytest.approx(module.LONGEST_PAUSE, abs=0.1)


def test_a_system_without_a_process_left_is_asked_again():
    made = Pretence(fails=2)
    for _ in range(20):
        made.step(0.1)
    assert made.supervisor.coming.pid == 1


def test_a_restart_starts_a_fresh_worker_and_drains_the_old_one_once_it_is_ready():
    made = Pretence().answer().step(module.SPARE_AFTER_SECONDS)
    old, spare = made.current, made.supervisor.spare
    made.supervisor.restart()
    made.step()
    assert made.current is old
    assert not old.drained
    assert made.supervisor.coming not in (None, spare)
    assert spare.drained
    made.answer()
    assert old.drained
    assert made.current.pid == 3


def test_a_restart_whose_worker_dies_leaves_the_old_one_answering():
    made = Pretence(spare=False).answer()
    made.supervisor.restart()
    made.step()
    made.supervisor.coming.status = 2
    made.step().step(1000)
    assert made.current.pid == 1
    assert not made.current.drained
    assert made.supervisor.coming is None


def test_options_that_no_worker_understands_end_the_supervisor():
    made = Pretence().step()
    made.supervisor.coming.status = module.MISUSED
    with pytest.raises(MisusedError):
        made.step()


def test_a_worker_that_does_not_leave_is_killed():
    made = Pretence(spare=False).answer()
    old = made.current
    made.supervisor.restart()
    made.answer().step(module.GRACE_SECONDS)
    assert not old.killed
    made.step(0.1)
    assert old.killed


class AnySequence(RuleBasedStateMachine):
    """Whatever happens in whatever order, nobody is forgotten and one worker is on its way."""

    def __init__(self):
        super().__init__()
        self.made = Pretence()

    @rule(seconds=st.sampled_from([0.0, 0.05, 1.0, 6.0, 20.0]))
    def time_passes(self, seconds):
        self.made.step(seconds)

    @rule()
    def somebody_restarts(self):
        self.made.supervisor.restart()

    @precondition(lambda self: self.made.supervisor.coming)
    @rule()
    def it_gets_ready(self):
        self.made.supervisor.coming.ready = True

    @rule(
        role=st.sampled_from(["current", "coming", "spare"]), status=st.sampled_from([0, 1, -9, 11])
    )
    def it_dies(self, role, status):
        worker = getattr(self.made.supervisor, role)
        if worker:
            worker.status = status

    @invariant()
    def everybody_that_lives_is_known_and_nobody_is_asked_to_leave_while_he_is_needed(self):
        known = self.made.supervisor
        roles = [known.current, known.coming, known.spare, *known.leaving]
        assert {id(w) for w in self.made.started if w.status is None} <= {id(w) for w in roles}
        assert known.current is None or not known.current.drained

    def teardown(self):
        for _ in range(3):
            self.made.step(10.0)
            if self.made.supervisor.coming:
                self.made.supervisor.coming.ready = True
        self.made.step()
        assert self.made.current is not None
        assert self.made.current.status is None


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize(
    ("status", "words"), [(3, "ended with status 3"), (-9, "was ended by SIGKILL")]
)
def test_an_end_is_told_in_words(status, words):
    assert describe_end(status) == words


def test_the_supervisor_takes_its_own_options_and_hands_on_the_others():
    places, others = parse_places(["--port", "1", "--ledger", "l", "--state", "s", "--no-spare"])
    assert (places.host, places.port, places.spare) == (Settings.host, 1, False)
    assert others == ["--ledger", "l"]


def test_the_supervisor_loads_nothing_heavy():
    code = "import sys, mlops_assets.serving.process.supervisor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert not packages & {"numpy", "polars", "sklearn", "uvicorn", "starlette", "sqlalchemy"}


@pytest.fixture
def supervised(world):
    """A supervisor without models, whose worker answers; ended with the test."""
    s = world.settings
    options = {"--ledger": s.ledger, "--models": s.models, "--log": s.log, "--state": s.state}
    words = [str(word) for option in options.items() for word in option]
    command = [
        sys.executable,
        "-m",
        "mlops_assets.serving.process.supervisor",
        *words,
        "--port",
        "0",
    ]
    with subprocess.Popen([*command, "--no-spare"], stderr=subprocess.PIPE) as process:
        wait_until(
            lambda: process.poll() is not None or announced(world)["pid"] not in (None, process.pid)
        )
        assert process.poll() is None
        yield process
        process.terminate()
        process.wait(ENOUGH)


def announced(world):
    path = world.settings.state / "server.json"
    return json.loads(path.read_text()) if path.exists() else {"pid": None}


def wait_until(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def live(world):
    url = announced(world)["url"]
    return httpx.get(f"{url}/v2/health/live", timeout=ENOUGH, trust_env=False).json()


def test_given_its_worker_was_killed_when_asked_then_another_one_answers(supervised, world):
    first = live(world)
    assert first["supervisor"] == supervised.pid
    os.kill(first["pid"], signal.SIGKILL)
    second = live(world)  # waits in the queue of the socket, and is not refused
    assert second["pid"] != first["pid"]
    assert second["supervisor"] == supervised.pid


def test_sigterm_ends_both_in_order_and_frees_the_port(supervised, world):
    worker, port = live(world)["pid"], announced(world)["port"]
    supervised.terminate()
    assert supervised.wait(ENOUGH) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
    assert b"Traceback" not in supervised.stderr.read()


def test_options_that_the_server_does_not_understand_end_it_with_its_status(world):
    state = str(world.settings.state)
    command = [sys.executable, "-m", "mlops_assets.serving.process.supervisor", "--port", "0"]
    done = subprocess.run(
        [*command, "--state", state, "--nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage: " in done.stderr
