"""Starting, finding and stopping the model server as a process."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from mlops_assets.adapters import local_serving, server_processes
from mlops_assets.adapters.journal import write_once, write_rollout
from mlops_assets.adapters.local_serving import LocalServing, absolute_url
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.training import Feature, ModelSignature

AT = datetime(2013, 6, 1, tzinfo=UTC)
ENOUGH = 60.0


@pytest.fixture
def serving(tmp_path):
    serving = LocalServing(
        ledger_url=f"sqlite:///{tmp_path}/ledger.db",
        models=tmp_path / "models",
        log=tmp_path / "log",
        state=tmp_path / "state",
        port=free_port(),
        spare=False,
    )
    yield serving
    serving.stop()


def recorded(serving, role="pid"):
    return json.loads((serving.state / "server.json").read_text())[role]


def wait_until(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_running(pid):
    """Whether it is there and no zombie: who started it may not have looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_server_is_started_once_and_found_again(serving):
    first = serving.ensure_running()
    assert first.url == f"http://127.0.0.1:{serving.port}"
    assert first.pid == recorded(serving)
    assert serving.ensure_running() == first
    assert replace(serving).ensure_running() == first


def test_two_starters_start_one_server(serving):
    with ThreadPoolExecutor() as pool:
        endpoints = set(pool.map(lambda _: replace(serving).ensure_running(), range(3)))
    assert len(endpoints) == 1


def test_the_server_outlives_whoever_started_it(serving):
    code = f"""
from pathlib import Path
from mlops_assets.adapters.local_serving import LocalServing
print(LocalServing(ledger_url={serving.ledger_url!r}, models=Path({str(serving.models)!r}),
    log=Path({str(serving.log)!r}), state=Path({str(serving.state)!r}),
    port={serving.port}).ensure_running().pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    assert serving.ensure_running().pid == pid
    assert os.getsid(pid) == recorded(serving, "supervisor")
    assert serving.stop()
    assert serving.stop() is False


def test_a_stopped_server_is_gone_and_can_be_started_again(serving):
    pid = serving.ensure_running().pid
    supervisor = recorded(serving, "supervisor")
    assert serving.stop() is True
    assert not is_running(pid)
    assert not is_running(supervisor)
    assert serving.stop() is False
    assert serving.ensure_running().pid != pid


def test_a_server_that_does_not_go_is_made_to(serving, monkeypatch):
    pid = serving.ensure_running().pid
    monkeypatch.setattr(local_serving, "STOP_SECONDS", 1.0)
    monkeypatch.setattr(local_serving, "ANSWER_SECONDS", 0.5)
    os.kill(pid, signal.SIGSTOP)
    assert serving.stop() is True
    wait_until(lambda: not is_running(pid))  # a busy system takes its time to end what is killed


def test_a_worker_that_was_killed_is_replaced_and_found(serving):
    pid = serving.ensure_running().pid
    os.kill(pid, signal.SIGKILL)
    again = serving.ensure_running()
    assert again.pid not in (None, pid)
    assert recorded(serving, "supervisor") == server_processes.read_record(serving.state).supervisor


def test_given_its_supervisor_was_killed_when_asked_for_then_a_new_server_has_the_port(serving):
    orphan = serving.ensure_running().pid
    supervisor = recorded(serving, "supervisor")
    os.kill(supervisor, signal.SIGKILL)
    wait_until(lambda: not is_running(supervisor))
    again = serving.ensure_running()
    assert again.pid not in (None, orphan)
    assert not is_running(orphan)


def test_a_worker_whose_supervisor_was_killed_ends_by_itself(serving):
    orphan = serving.ensure_running().pid
    os.kill(recorded(serving, "supervisor"), signal.SIGKILL)
    wait_until(lambda: not is_running(orphan))
    assert serving.stop() is False


def test_a_restart_leaves_another_process_answering(serving):
    first = serving.ensure_running()
    supervisor = recorded(serving, "supervisor")
    second = serving.restart()
    assert second.pid not in (None, first.pid)
    assert recorded(serving, "supervisor") == supervisor
    wait_until(lambda: not is_running(first.pid))
    assert serving.ensure_running() == second


def test_a_restart_of_nothing_is_an_error(serving):
    with pytest.raises(EndpointError, match="none runs for"):
        serving.restart()


def test_a_restart_that_is_not_through_in_time_leaves_somebody_answering(serving, monkeypatch):
    first = serving.ensure_running()
    monkeypatch.setattr(local_serving, "START_SECONDS", 0.0)
    with pytest.raises(EndpointError, match="the earlier one goes on"):
        serving.restart()
    assert is_running(first.pid)


def test_a_server_on_another_port_is_named_and_left_alone(serving):
    pid = serving.ensure_running().pid
    with pytest.raises(EndpointError) as error:
        replace(serving, port=free_port()).ensure_running()
    assert f"answers on port {serving.port}, not on" in str(error.value)
    assert "mlops-assets down" in str(error.value)
    assert serving.ensure_running().pid == pid


def test_a_server_on_another_port_is_found_to_be_stopped(serving):
    pid = serving.ensure_running().pid
    moved = replace(serving, port=free_port())
    assert moved.stop() is True
    assert not is_running(pid)
    assert moved.ensure_running().url.endswith(f":{moved.port}")
    moved.stop()


def test_a_password_of_the_ledger_is_on_no_command_line(serving, monkeypatch):
    started = {}
    monkeypatch.setattr(
        local_serving.subprocess, "Popen", lambda words, **more: started.update(more, words=words)
    )
    monkeypatch.setattr(local_serving, "remember", lambda _: None)
    serving.state.mkdir()
    for url in ("postgresql+psycopg://me:hunter2@host/db", "postgresql://host/db?password=hunter2"):
        replace(serving, ledger_url=url)._start()
        assert not [word for word in started["words"] if "hunter2" in word]
        assert started["env"]["MLOPS_ASSETS_LEDGER_URL"] == url
    replace(serving, ledger_url="postgresql://me@host/db")._start()
    assert "postgresql://me@host/db" in started["words"]


def test_a_stranger_with_a_recorded_pid_is_never_stopped(serving):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        serving.state.mkdir()
        (serving.state / "server.json").write_text(json.dumps({"pid": stranger.pid}))
        assert serving.stop() is False
        assert stranger.poll() is None
        stranger.stdin.close()


def test_a_pid_that_a_container_counted_is_not_stopped_here(serving):
    """Its server answers with our folder, but its pid belongs to somebody else here."""
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger,
        answering(serving, {"state": str(serving.state.resolve()), "pid": stranger.pid}),
    ):
        assert serving.ensure_running().pid == stranger.pid
        assert serving.stop() is False
        assert stranger.poll() is None
        stranger.stdin.close()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "x"}', '{"pid": 4194305}'])
def test_nothing_is_stopped_when_the_record_is_damaged(serving, content):
    serving.state.mkdir()
    (serving.state / "server.json").write_text(content)
    assert serving.stop() is False


class Stranger(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.says)

    def log_message(self, *_):
        pass


@contextmanager
def answering(serving, says):
    """Somebody who answers every request on the server's port with ``says``."""
    with http.server.HTTPServer((serving.host, serving.port), Stranger) as server:
        server.says = says if isinstance(says, bytes) else json.dumps(says).encode()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("says", [b"hello", b"[]", b"{}", b'{"live": true, "state": "/elsewhere"}'])
def test_a_port_that_somebody_else_uses_is_named_with_what_to_do(serving, says):
    with answering(serving, says):
        with pytest.raises(EndpointError) as error:
            serving.ensure_running()
        assert serving.stop() is False
    assert str(error.value) == (
        f"model server: port {serving.port} of 127.0.0.1 is used by somebody else; set "
        "MLOPS_ASSETS_SERVING_PORT to another port, or stop what listens there"
    )


def test_a_port_that_accepts_and_says_nothing_is_somebody_else(serving, monkeypatch):
    monkeypatch.setattr(local_serving, "ANSWER_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind((serving.host, serving.port))
        silent.listen()
        with pytest.raises(EndpointError, match="used by somebody else"):
            serving.ensure_running()


def test_a_server_that_ends_at_its_start_is_reported_with_its_last_words(serving, monkeypatch):
    monkeypatch.setattr(local_serving, "MODULE", "mlops_assets.nothing")
    with pytest.raises(EndpointError, match=r"ended with status 1 at its start; .*No module named"):
        serving.ensure_running()


def test_a_server_that_never_answers_is_ended(serving, monkeypatch, tmp_path):
    (tmp_path / "idle.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(local_serving, "MODULE", "idle")
    monkeypatch.setattr(local_serving, "START_SECONDS", 0.3)
    others = set(server_processes._started)
    with pytest.raises(EndpointError, match="did not answer within"):
        serving.ensure_running()
    assert set(server_processes._started) <= others


def deploy(serving, *, with_files=True):
    """A ledger in which v1 is about to be rolled out, with or without its files."""
    features = (Feature("x", "numeric"),)
    signature = ModelSignature("delays", features, "id", "at", "late", "2013", "t", "logistic")
    files = FolderModelFiles(serving.models)
    model = LogisticRegression().fit(pl.DataFrame({"x": [0.0, 1.0]}).to_pandas(), np.array([0, 1]))
    digest = files.save(model, signature)
    if not with_files:
        (files.path(digest) / "model.skops").unlink()
    ledger = SqlLedger(serving.ledger_url)
    write_once(ledger, "verdict", "delays", digest, {"outcome": "passed"}, AT)
    state = RolloutState("v1", digest, "2013", "initializing", 0, 0, AT.isoformat(), "test")
    write_rollout(ledger, "delays", state, AT)


def test_a_version_that_loads_becomes_ready(serving):
    serving.ensure_running()
    deploy(serving)
    assert serving.wait_until_ready("delays", "v1", ENOUGH) is True
    assert serving.wait_until_ready("delays", "v1", 0) is True


def test_a_version_that_cannot_be_loaded_is_not_waited_for(serving):
    serving.ensure_running()
    deploy(serving, with_files=False)
    assert serving.wait_until_ready("delays", "v1", 10_000) is False


def test_an_unknown_version_is_not_ready_in_time(serving):
    serving.ensure_running()
    assert serving.wait_until_ready("delays", "v1", 0.3) is False


def test_without_a_server_nothing_is_ready(serving):
    assert serving.wait_until_ready("delays", "v1", 0.2) is False


def test_the_path_of_an_sqlite_ledger_is_made_absolute():
    assert absolute_url("sqlite:///state/l.db") == f"sqlite:///{Path.cwd()}/state/l.db"
    for url in ("sqlite:////tmp/l.db", "sqlite://", "postgresql+psycopg://me:hunter2@host/db?a=b"):
        assert absolute_url(url) == url
