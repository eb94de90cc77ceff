"""Real processes under load, faults that happen to them, and a table of what was seen.

A short form of each fault runs with all tests; ``make faults`` runs the long one.
"""

from __future__ import annotations

import http.client
import json
import os
import runpy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.adapters.local_serving import LocalServing
from mlops_assets.adapters.server_processes import read_record

LONG = os.environ.get("MLOPS_ASSETS_FAULTS") == "long"
SERVING = runpy.run_path(str(Path(__file__).parents[1] / "serving" / "conftest.py"))
MODEL = SERVING["MODEL"]
ENOUGH = 120.0
RECOVERY_SECONDS = 5.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: real processes that are killed, starved, misled")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("faults")
            item.add_marker(pytest.mark.timeout(1800 if LONG else 300))
            expected = " ".join((item.function.__doc__ or "").split())  # type: ignore[attr-defined]
            item.user_properties.append(("expected", expected))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    rows = [(report, dict(report.user_properties)) for report in reports if report.when == "call"]
    known = [(report, said) for report, said in rows if "expected" in said]
    if known and LONG:
        terminalreporter.section("faults")
        for report, said in known:
            name = report.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
            terminalreporter.write_line(f"{name}: {report.outcome}")
            terminalreporter.write_line(f"  expected: {said['expected']}")
            terminalreporter.write_line(f"  seen:     {said.get('seen', '-')}")


@dataclass
class Answer:
    """One request: when it was sent and answered, what came, and how often it was asked again."""

    identity: str
    sent: float
    ended: float
    status: int
    version: str = ""
    text: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.ended - self.sent


class Load:
    """Callers on connections of their own, together about ``rate`` requests a second.

    A caller asks again on a new connection when one broke off, as any client may for a request
    with an id, until ``ENOUGH`` seconds are over; ``broken`` has what happened before.
    """

    def __init__(
        self, port: int, body: dict[str, Any], *, callers: int = 4, rate: float = 100, retry=True
    ):
        self.answers: list[Answer] = []
        self._port, self._body, self._retry = port, body, retry
        self._pause = callers / rate
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> set[str]:
        return {answer.identity for answer in self.answers if answer.status == 200}

    @property
    def refused(self) -> list[str]:
        """Answers that were none: what the server said."""
        return [f"{a.status} {a.text}" for a in self.answers if a.status not in (0, 200)]

    @property
    def lost(self) -> list[str]:
        """Requests that broke off and were not answered."""
        return [repr(a.broken) for a in self.answers if a.status == 0]

    @property
    def broken(self) -> list[str]:
        """Connections that broke off under a request."""
        return [error for answer in self.answers for error in answer.broken]

    def first_answer_after(self, moment: float) -> float:
        """Seconds from ``moment`` until a request that was sent after it is answered."""
        deadline = time.monotonic() + ENOUGH
        while time.monotonic() < deadline:
            ended = [a.ended for a in list(self.answers) if a.sent > moment and a.status == 200]
            if ended:
                return min(ended) - moment
            time.sleep(0.01)
        raise AssertionError(f"nothing was answered; last: {self.answers[-3:]}")

    def run_for(self, seconds: float) -> None:
        time.sleep(seconds)

    def _call(self, number: int) -> None:
        connection, count = self._connect(), 0
        while not self._done.wait(self._pause):
            count += 1
            answer = Answer(f"{number}-{count}-{id(self)}", time.monotonic(), 0.0, 0)
            body = json.dumps({**self._body, "id": answer.identity})
            while True:
                try:
                    self._ask(connection, body, answer)
                    break
                except (OSError, http.client.HTTPException) as error:
                    answer.broken.append(repr(error))
                    connection.close()
                    connection = self._connect()
                    if not self._retry or time.monotonic() - answer.sent > ENOUGH:
                        break
                    time.sleep(0.02)
            answer.ended = time.monotonic()
            self.answers.append(answer)

    def _ask(self, connection: http.client.HTTPConnection, body: str, answer: Answer) -> None:
        headers = {"content-type": "application/json"}
        connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
        response = connection.getresponse()
        text = response.read()
        answer.status = response.status
        if answer.status == 200:
            answer.version = json.loads(text)["model_version"]
        else:
            answer.text = text.decode(errors="replace")[:200]

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=ENOUGH)


@dataclass
class Running:
    """A model server that runs, with its ledger, model files and log."""

    world: Any
    serving: LocalServing

    def load(self, **more: Any) -> Load:
        return Load(self.serving.port, SERVING["request_body"](), **more)

    @property
    def worker(self) -> int:
        pid = self.serving.ensure_running().pid
        assert pid is not None
        return pid

    @property
    def supervisor(self) -> int:
        pid = read_record(self.serving.state).supervisor
        assert pid is not None
        return pid

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.serving.port, timeout=ENOUGH)
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def logged(self) -> list[str]:
        """The request ids of all whole lines of the log that were answered."""
        lines = []
        for path in self.world.settings.log.rglob("*.jsonl"):
            for line in path.read_bytes().splitlines():
                if line.endswith(b"}"):
                    plain = json.loads(line)
                    lines += [plain["request_id"]] if plain["status"] == "ok" else []
        return lines

    @property
    def spare(self) -> int | None:
        """The worker that stands by, None while there is none."""
        others = [pid for pid in children(self.supervisor) if pid != self.worker]
        return others[0] if others else None

    def wait_for_spare(self, but: int | None = None) -> int:
        """The worker that stands by, once it has nothing left to import; not the one named."""
        spent: dict[int, int] = {}

        def idle() -> bool:
            time.sleep(0.5)
            pid = self.spare
            if pid is None or pid == but:
                return False
            before, spent[pid] = spent.get(pid), cpu_ticks(pid)
            return spent[pid] == before and spent[pid] > 50

        wait_until(idle, "a spare")
        return next(reversed(spent))


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()]


def cpu_ticks(pid: int) -> int:
    """What the process has used of the processor, in ticks of the system; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def start_server(root: Path, **more: Any) -> Running:
    """A server whose champion is v1, with v2 trained beside it."""
    world = SERVING["World"](root)
    for version in ("v1", "v2"):
        world.train(version)
    world.promote("v1")
    s = world.settings
    serving = LocalServing(
        ledger_url=s.ledger,
        models=s.models,
        log=s.log,
        state=s.state,
        port=free_port(),
        **more,
    )
    running = Running(world, serving)
    serving.ensure_running()
    assert serving.wait_until_ready(MODEL, "v1", ENOUGH)
    return running


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the faults of a file; whatever happened, it answers again afterwards."""
    server = start_server(tmp_path_factory.mktemp("faults"))
    yield server
    server.serving.stop()


@pytest.fixture
def times() -> Callable[[int, int], int]:
    """How often: in the short form, and in the long one."""
    return lambda short, long: long if LONG else short


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What came of it, for the table."""
    return lambda text: request.node.user_properties.append(("seen", text))


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], None]:
    return wait_until


@pytest.fixture
def recovery_seconds() -> float:
    return RECOVERY_SECONDS
