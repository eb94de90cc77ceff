"""The real process: start, swap under load, kill and restart, a port that is taken."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

ENOUGH = 60.0


@pytest.fixture
def running(world, free_port):
    """A server process on champion v1; ended with the test."""
    world.train("v1")
    world.promote("v1")
    serving = world.server(free_port)
    serving.ensure_running()
    assert serving.wait_until_ready("delays", "v1", ENOUGH)
    yield serving
    serving.stop()


@pytest.fixture
def bare(world, free_port):
    """A server process without a model: it is up sooner."""
    serving = world.server(free_port)
    serving.ensure_running()
    yield serving
    serving.stop()


def connect(serving):
    return httpx.Client(base_url=serving.url, timeout=ENOUGH, trust_env=False)


def command(world, port, module="mlops_assets.serving"):
    s = world.settings
    options = {"--ledger": s.ledger, "--models": s.models, "--log": s.log, "--state": s.state}
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", module, *words, "--port", str(port)]


def logged(world):
    return {
        json.loads(line)["request_id"]
        for path in world.settings.log.rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
        if line.endswith(b"}")
    }


class Load:
    """Callers that ask without a pause, each on a connection of its own."""

    def __init__(self, url, body, callers=3):
        self.url, self.body = url, body
        self.acknowledged: dict[str, str] = {}
        self.failures: list[str] = []
        self.versions: set[str] = set()
        self._seen = threading.Condition()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, condition):
        with self._seen:
            assert self._seen.wait_for(lambda: condition(self), ENOUGH)

    def _call(self, number):
        count = 0
        with httpx.Client(base_url=self.url, timeout=ENOUGH, trust_env=False) as client:
            while not self._done.is_set():
                count += 1
                identity = f"{number}-{count}"
                try:
                    answer = client.post(
                        "/v2/models/delays/infer", json={**self.body, "id": identity}
                    )
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    return
                with self._seen:
                    if answer.status_code == 200:
                        version = answer.json()["model_version"]
                        self.acknowledged[identity] = version
                        self.versions.add(version)
                    else:
                        self.failures.append(answer.text)
                    self._seen.notify_all()


def test_versions_are_swapped_under_load_without_a_failed_request(running, world, request_body):
    with Load(running.url, request_body()) as load:
        load.wait_for(lambda load: len(load.acknowledged) > 20)
        world.train("v2")
        world.roll_out("v2", 50)
        load.wait_for(lambda load: "v2" in load.versions)
        world.promote("v2")
        world.roll_out("v2", 100, "succeeded")
        world.train("v3")
        world.promote("v3")
        load.wait_for(lambda load: "v3" in load.versions)
    assert load.failures == []
    assert load.versions == {"v1", "v2", "v3"}
    assert set(load.acknowledged) == logged(world)


def test_kill_9_loses_no_acknowledged_prediction_and_no_routing(running, world, request_body):
    world.train("v2")
    world.roll_out("v2", 50)
    assert running.wait_until_ready("delays", "v2", ENOUGH)
    with connect(running) as client:
        pid = client.get("/v2/health/live").json()["pid"]
    with Load(running.url, request_body()) as load:
        load.wait_for(lambda load: len(load.acknowledged) > 30)
        os.kill(pid, signal.SIGKILL)
    for path in world.settings.log.rglob("*.jsonl"):
        with path.open("ab") as log:
            log.write(b'{"request_id": "torn", "mod')
    assert set(load.acknowledged) <= logged(world)
    assert set(load.acknowledged) <= set(world.telemetry.predictions("delays")["request_id"])

    # given that the ledger is away as well
    for path in world.root.glob("ledger.db*"):
        path.unlink()
    (world.root / "ledger.db").mkdir()
    os.kill(running.ensure_running().pid, signal.SIGKILL)
    assert running.wait_until_ready("delays", "v2", ENOUGH)
    with Load(running.url, request_body()) as load:
        load.wait_for(lambda load: load.versions == {"v1", "v2"})
    assert load.failures == []


def test_a_full_disk_answers_503_and_the_server_stays_up(world, free_port, request_body):
    world.train("v1")
    world.promote("v1")
    limited = f"import resource, runpy, sys; sys.argv = {command(world, free_port)[2:]!r}; "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    limited += "runpy.run_module('mlops_assets.serving', run_name='__main__', alter_sys=True)"
    serving = world.server(free_port)
    with subprocess.Popen([sys.executable, "-c", limited]) as process:
        try:
            assert serving.wait_until_ready("delays", "v1", ENOUGH)
            with connect(serving) as client:
                ask = ("/v2/models/delays/infer", request_body())
                statuses = [client.post(ask[0], json=ask[1]).status_code for _ in range(40)]
                assert client.get("/v2/health/live").status_code == 200
        finally:
            process.terminate()
    assert set(statuses) == {200, 503}
    assert len(world.telemetry.predictions("delays")) == 2 * statuses.count(200)


def test_a_body_over_the_limit_is_refused_while_it_is_sent(running):
    with connect(running) as client:
        chunks = iter([b" " * 65536] * 64)
        assert client.post("/v2/models/delays/infer", content=chunks).status_code == 413
        assert client.get("/v2/health/live").status_code == 200


def test_a_body_that_never_ends_harms_nobody(bare):
    head = b"POST /v2/models/delays/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{"
    with connect(bare) as client:
        with socket.create_connection((bare.host, bare.port)) as connection:
            connection.sendall(head)
            assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/live").status_code == 200


def test_the_process_says_where_it_answers(bare, world):
    announced = json.loads((world.settings.state / "server.json").read_text())
    with connect(bare) as client:
        live = client.get("/v2/health/live").json()
    assert announced.pop("started_at").endswith("+00:00")
    assert announced == {
        "pid": live["pid"],
        "host": "127.0.0.1",
        "port": bare.port,
        "url": bare.url,
        "supervisor": live["supervisor"],
    }
    assert live["supervisor"] not in (None, live["pid"])
    assert Path(live["state"]) == world.settings.state


@pytest.mark.parametrize(
    "module", ["mlops_assets.serving", "mlops_assets.serving.process.supervisor"]
)
def test_a_port_that_is_taken_is_one_line_and_status_2(world, free_port, module):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        done = subprocess.run(
            command(world, free_port, module), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"mlops_assets.serving: cannot listen on 127.0.0.1 port {free_port}: Address already in "
        "use; choose another port\n"
    )
    assert not (world.settings.state / "server.json").exists()


def test_sigterm_ends_the_process_with_status_0(world, free_port):
    with subprocess.Popen(command(world, free_port), stderr=subprocess.PIPE) as process:
        while not (world.settings.state / "server.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        with connect(world.server(free_port)) as client:
            assert client.get("/v2/health/live").json()["pid"] == process.pid
        process.terminate()
        assert process.wait(ENOUGH) == 0
        assert process.stderr.read() == b""
