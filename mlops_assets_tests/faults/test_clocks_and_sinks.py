"""A clock that jumps and a log that is slow: what is logged stays right, and memory bounded."""

from __future__ import annotations

import asyncio
import errno
import http.client
import json
import runpy
import threading
import time
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn

from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving import app as app_module
from mlops_assets.serving.answering import prediction_log as log_module
from mlops_assets.serving.answering.answering import Answering
from mlops_assets.serving.answering.prediction_log import PredictionLog
from mlops_assets.serving.protocol import decode_request
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.routing.versions import Versions

SERVING = runpy.run_path(str(Path(__file__).parents[1] / "serving" / "conftest.py"))
MODEL, request_body = SERVING["MODEL"], SERVING["request_body"]
NOON = datetime(2013, 6, 5, 12, 30, tzinfo=UTC)
JUMPS = {"two hours back": -timedelta(hours=2), "a day forth": timedelta(days=1)}


class Clock:
    """Goes on by a millisecond with each look at it, and jumps when told to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += timedelta(milliseconds=1)
        return self.at


class SlowLog(PredictionLog):
    """Takes a while for each line; ``together`` is how many lines it ever had at once."""

    seconds = 0.001
    together = 0
    _now_inside = 0

    def write(self, line):
        self._now_inside += 1
        self.together = max(self.together, self._now_inside)
        time.sleep(self.seconds)
        try:
            super().write(line)
        finally:
            self._now_inside -= 1


class Site:
    """Champion v1 and v2 in rollout, with the parts of the server but no process."""

    def __init__(self, root: Path) -> None:
        self.world = SERVING["World"](root)
        for version in ("v1", "v2"):
            self.world.train(version)
        self.world.promote("v1")
        versions = Versions(FolderModelFiles(root / "models"))
        self.watch = RoutingWatch(self.world.ledger, versions, root / "state" / "routing.json")
        self.telemetry = JsonlTelemetry(root / "log")

    def route(self, weight: int, mirror: int = 0) -> None:
        self.world.roll_out("v2", weight, mirror=mirror)
        self.watch.follow()

    def answering(self, log: PredictionLog, **more) -> Answering:
        return Answering(Catalog(self.watch), log, max_rows=100, **more)

    def lines(self) -> list[tuple[Path, dict]]:
        paths = (self.world.root / "log").rglob("*.jsonl")
        return [(path, json.loads(t)) for path in paths for t in path.read_bytes().splitlines()]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


async def ask(answering, identity, carrier="UA"):
    body = request_body([500.0], [carrier], id=identity)
    return await answering.infer(MODEL, None, decode_request(json.dumps(body).encode()))


async def ask_at_each_weight(site, answering, clock, jump, count):
    """Requests before and after a jump of the clock at each weight; who answered each."""
    answered = {}
    for weight in (10, 50, 100):
        site.route(weight)
        for number in range(count):
            if number == count // 2:
                clock.at += jump
            identity = f"{weight}-{number}"
            answered[identity] = (await ask(answering, identity)).model_version
    return answered


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_jumps(site, times, seen, jump):
    """Each answered request is in the log, in a file of its hour; the windows are those of the
    weights that were logged, and hold every request."""
    clock = Clock(NOON)
    log = PredictionLog(site.world.root / "log", now=clock)
    count = times(30, 1000)
    answering = site.answering(log, now=clock)
    answered = asyncio.run(ask_at_each_weight(site, answering, clock, JUMPS[jump], count))
    log.close()
    lines = site.lines()
    assert Counter(line["request_id"] for _, line in lines) == Counter(list(answered))
    for path, line in lines:
        assert path.name.startswith(f"{datetime.fromisoformat(line['received_at']):%Y%m%dT%H}-")
    since = min(datetime.fromisoformat(line["received_at"]) for _, line in lines)
    windows = site.telemetry.windows(MODEL, "v2", since)
    assert [w.weight for w in windows] == [10, 50, 100]
    for window in windows:
        here = [v for name, v in answered.items() if name.startswith(f"{window.weight}-")]
        assert (window.canary.requests, window.canary.units) == (2 * (here.count("v2"),))
        assert (window.baseline.requests, window.baseline.units) == (2 * (here.count("v1"),))
    seen(f"3 jumps, {len(answered)} requests, all logged, {len(windows)} windows add up")


def test_a_clock_that_jumps_to_before_the_rollout(site, seen):
    """Lines that seem to be of more than an hour before the rollout began are no evidence: what
    is decided on becomes less and not wrong, and no line is lost."""
    clock = Clock(NOON)
    log = PredictionLog(site.world.root / "log", now=clock)
    answering = site.answering(log, now=clock)
    jump = JUMPS["two hours back"]
    answered = asyncio.run(ask_at_each_weight(site, answering, clock, jump, 20))
    log.close()
    windows = site.telemetry.windows(MODEL, "v2", NOON)
    counted = sum(w.canary.requests + w.baseline.requests for w in windows)
    assert [w.weight for w in windows] == [10]
    assert counted == 10
    assert set(site.telemetry.predictions(MODEL)["request_id"]) == set(answered)
    seen(f"{counted} of {len(answered)} requests are evidence, all of them are in the log")


@contextmanager
def hanging(monkeypatch, failing=None):
    """Writing to the log hangs until the second event is set; then it fails, if so asked."""
    entered, released, inside = threading.Event(), threading.Event(), []
    write = log_module.os.write

    def hang(file, data):
        if not data.startswith(b'{"request_id"'):
            return write(file, data)
        inside.append(1)
        entered.set()
        assert released.wait(60)
        if failing:
            raise OSError(failing, "the disk is gone")
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(log_module.os, "write", hang)
        yield entered, released, inside


@contextmanager
def served(site):
    """The whole application in a thread, and its port."""
    app = app_module.build_app(site.world.settings)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not (server.started and app.state.watch.routes):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


def call(port, identity, sent, answers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(request_body(id=identity)))
    sent.append(identity)
    answers.append((identity, connection.getresponse().status))
    connection.close()


@pytest.mark.parametrize("failing", [None, errno.EIO], ids=["goes on", "fails"])
def test_a_log_that_hangs(site, monkeypatch, times, seen, failing):
    """One line at a time waits for the disk; other requests wait unread in their sockets, none is
    answered before its line is written. Afterwards each is answered, or refused with 503."""
    answers, sent = [], []
    count = times(20, 200)
    with (
        served(site) as port,
        hanging(monkeypatch, failing) as (entered, released, inside),
    ):
        ids = [f"r{number}" for number in range(count)]
        calls = [threading.Thread(target=call, args=(port, i, sent, answers)) for i in ids]
        for thread in calls:
            thread.start()
        assert entered.wait(60)
        deadline = time.monotonic() + 60
        while len(sent) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        waiting, early = len(inside), list(answers)
        released.set()
        for thread in calls:
            thread.join(60)
    logged = {line["request_id"] for _, line in site.lines()}
    assert (len(sent), waiting, early) == (count, 1, [])
    assert dict(answers) == dict.fromkeys(ids, 503 if failing else 200)
    assert logged == (set() if failing else set(ids))
    seen(f"{count} sent, {waiting} line waited; then {Counter(status for _, status in answers)}")


def test_copies_for_a_shadow_beside_a_slow_log(site, times, seen):
    """No more copies wait than there is room for; each request is answered and logged, each copy
    is logged or counted as dropped, and no more than one line at a time waits for the disk."""
    site.route(0, mirror=100)
    log = SlowLog(site.world.root / "log")
    bursts, size, room = times(6, 100), 25, 8
    waited = []

    async def run():
        answering = site.answering(log, max_copies=room)
        answers = []
        for burst in range(bursts):
            asked = (ask(answering, f"{burst}-{number}") for number in range(size))
            answers += await asyncio.gather(*asked)
            waited.append(answering._mirroring.waiting)
        await answering.close(60)
        return answers, answering.dropped_copies

    answers, dropped = asyncio.run(run())
    arms = Counter(line["arm"] for _, line in site.lines())
    assert arms["primary"] == len(answers) == bursts * size
    assert arms["shadow"] + dropped == bursts * size
    assert dropped > 0
    assert max(waited) <= room
    assert log.together == 1
    seen(f"{len(answers)} answered, {arms['shadow']} copied, {dropped} dropped, room for {room}")


def test_memory_beside_a_slow_log(site, times, seen):
    """What is held is what is under way and the copies that wait, however many requests came."""
    site.route(0, mirror=100)
    log = SlowLog(site.world.root / "log")
    size, room, burst = 50_000, 4, 5

    async def run(answering, first, bursts):
        for number in range(first, first + bursts):
            asked = (ask(answering, f"{number}-{n}", "x" * size) for n in range(burst))
            await asyncio.gather(*asked)

    async def measure():
        answering = site.answering(log, max_copies=room)
        await run(answering, 0, 2)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await run(answering, 2, times(20, 400))
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await answering.close(60)
        return after - before, peak - before

    held, peak = asyncio.run(measure())
    sent = times(20, 400) * burst * size
    allowed = 8 * (room + burst) * size  # a request is its body, its text, its line, and then some
    assert peak < allowed < sent
    assert held < allowed
    seen(f"{sent / 1e6:.0f} MB were sent, {peak / 1e6:.1f} MB held at most, {held / 1e6:.1f} after")


def test_a_log_that_fails_now_and_then(site, monkeypatch, seen):
    """A request is refused with 503 exactly when its line is not in the log."""
    log = PredictionLog(site.world.root / "log")
    site.watch.follow()
    write, count = log_module.os.write, Counter()

    def write_sometimes(file, data):
        count["lines"] += 1
        if count["lines"] % 3 == 0:
            time.sleep(0.01)
            raise OSError(errno.ETIMEDOUT, "the disk took too long")
        return write(file, data)

    async def run():
        answering, refused = site.answering(log), {}
        monkeypatch.setattr(log_module.os, "write", write_sometimes)
        for number in range(60):
            try:
                await ask(answering, f"r{number}")
            except RequestError as error:
                refused[f"r{number}"] = error.status
        return refused

    refused = asyncio.run(run())
    monkeypatch.undo()
    logged = {line["request_id"] for _, line in site.lines()}
    assert len(refused) == log.lost == 20
    assert set(refused.values()) == {503}
    assert logged | set(refused) == {f"r{number}" for number in range(60)}
    assert not logged & set(refused)
    seen(f"{len(logged)} answered and logged, {len(refused)} refused")
