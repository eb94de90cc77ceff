"""What moves a rollout fails in the middle of it: the registry's server, or the process itself."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mlops_assets.adapters.journal import read_routing, write_cut_off
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.local_serving import LocalServing
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets_tests.faults import releases
from mlops_assets_tests.faults.releases import (
    MODEL,
    add_version,
    finish,
    open_folder,
    open_world,
    require_whole,
    rows,
    step,
)
from mlops_assets_tests.long_form import takes_minutes

SHARED = runpy.run_path(str(Path(__file__).parent / "conftest.py"))
SERVING, Running, ENOUGH = SHARED["SERVING"], SHARED["Running"], SHARED["ENOUGH"]
wait_until, free_port = SHARED["wait_until"], SHARED["free_port"]
ROOT = Path(__file__).parents[2]


class TrackingServer:
    """An ``mlflow server`` on one port, which is killed and started again."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database, self.folder = database, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--backend-store-uri", self.database]
        command += ["--default-artifact-root", self.folder.as_uri(), "--workers", "1"]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **quiet},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it ends with all its children
            )
        wait_until(self.answers, "the tracking server")

    def answers(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/health", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def kill(self) -> None:
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


@contextmanager
def release_site(root: Path):
    """Everything real: ledger, model files, model server, registry behind a tracking server."""
    made = SERVING["World"](root)
    s = made.settings
    serving = LocalServing(
        ledger_url=s.ledger, models=s.models, log=s.log, state=s.state, port=free_port()
    )
    server = TrackingServer(f"sqlite:///{root}/mlflow.db", root)
    parts = {"serving": serving, "telemetry": JsonlTelemetry(s.log)}
    try:
        by_hand = open_world(s.ledger, server.database)
        for version, as_of in (("v1", "2013-03-04"), ("v2", "2013-05-06")):
            digest = made.train(version, passed=False)
            assert add_version(by_hand, digest, as_of, root) == version
        server.start()
        yield open_world(s.ledger, server.url, **parts), server, Running(made, serving)
    finally:
        server.kill()
        serving.stop()


def fails_naming(server, world, version):
    """What a step says while the tracking server is away."""
    with pytest.raises(Exception, match=f"127.0.0.1.*{server.port}") as raised:
        step(world, version)
    return str(raised.value).splitlines()[0]


@takes_minutes
def test_tracking_server_away(tmp_path, monkeypatch, seen):
    """A step that gives traffic fails, names the server and writes nothing; one that takes
    traffic away is written all the same. The endpoint answers throughout, and with the server
    back the same step succeeds and the aliases say what the ledger says."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with release_site(tmp_path) as (world, server, running):
        step(world, "v1")
        assert running.serving.wait_until_ready(MODEL, "v1", ENOUGH)
        with running.load(rate=40) as load:
            server.kill()
            before = rows(world)
            said = fails_naming(server, world, "v2")
            assert rows(world) == before
            load.run_for(0.5)
            server.start()
            step(world, "v2")
            require_whole(world)
            canary = read_routing(world.ledger, world.name).canary
            assert (canary.version, canary.weight) == ("v2", 10)
            server.kill()
            cut_off = CutOff("v2", canary.digest, "somebody saw it fail")
            write_cut_off(world.ledger, world.name, cut_off, world.clock.now())
            fails_naming(server, world, "v2")
            assert read_routing(world.ledger, world.name).canary is None
            load.run_for(0.5)
            server.start()
            step(world, "v2")
            require_whole(world)
            assert world.aliases() == {"champion": "v1"}
        assert (load.broken, load.refused, load.lost) == ([], [], [])
        assert load.acknowledged <= set(running.logged())
    seen(f"{len(load.answers)} requests, none failed; the step said: {said[:160]}")


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder in which v1 is released and v2 waits."""
    folder = tmp_path_factory.mktemp("begun")
    world = open_folder(folder)
    world.serving.ready.add((world.name, "v1"))
    add_version(world, "a" * 64, "2013-03-04", folder)
    step(world, "v1")
    add_version(world, "b" * 64, "2013-05-06", folder)
    return folder


class Forks:
    """The process that forks one rollout after the other, and kills them when told to."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", releases.__name__]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def run(self, folder: Path, kill_after: float | None = None) -> tuple[int, float]:
        """How a rollout ended, and the seconds it took; negative for a signal."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps([str(folder), kill_after])}\n")
        self.process.stdin.flush()
        status, seconds = json.loads(self.process.stdout.readline())
        return status, seconds

    def end(self) -> None:
        self.process.communicate(timeout=ENOUGH)


@pytest.fixture(scope="module")
def forks():
    made = Forks()
    yield made
    made.end()


def test_process_of_a_rollout_killed(begun, forks, tmp_path, times, seen):
    """At every moment somebody answers for all requests; run again, the rollout ends as an
    unbroken one: the same rows in the ledger, and aliases that agree with them."""
    random.seed(7)
    unbroken = tmp_path / "unbroken"
    shutil.copytree(begun, unbroken)
    status, seconds = forks.run(unbroken)
    assert status == 0
    expected = open_folder(unbroken)
    require_whole(expected)
    ended = []
    for number in range(times(4, 100)):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(begun, folder)
        for _ in range(2):
            ended.append(forks.run(folder, random.random() * seconds * 0.9)[0])
            routing = read_routing(SqlLedger(f"sqlite:///{folder}/ledger.db"), MODEL)
            assert sum(target.weight for target in routing.targets) == 100
        assert forks.run(folder)[0] == 0
        world = open_folder(folder)
        require_whole(world)
        assert rows(world) == rows(expected)
        assert world.aliases() == expected.aliases() == {"champion": "v2"}
    assert -signal.SIGKILL in ended
    seen(f"{ended.count(-signal.SIGKILL)} of {len(ended)} were killed on their way, all whole")


def test_a_rollout_that_nobody_kills_is_one_of_several_steps(begun, tmp_path):
    """The pretence above has something to break: a rollout of three steps and a promotion."""
    shutil.copytree(begun, tmp_path / "whole")
    world = open_folder(tmp_path / "whole")
    finish(world)
    weights = [row[3]["weight"] for row in rows(world) if row[0] == "rollout"]
    assert weights == [0, 100, 0, 10, 50, 100]
