"""The whole stack as real processes: Dagster's webserver and daemon, model server, MLflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.commands.ports import free_port

ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    """A running ``make dev`` and the addresses of its parts."""

    process: subprocess.Popen[str]
    ui: str
    serving: str
    mlflow: str
    studies: str
    reports: str
    state: Path

    def graphql(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The data of an answer; GraphQL errors fail the test with their text."""
        body = {"query": query, "variables": variables or {}}
        answer = httpx.post(f"{self.ui}/graphql", json=body, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])

    def stop(self) -> str:
        """Press Ctrl-C and wait; what the command printed."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("dev") / "state"
    ui, serving, mlflow, studies, reports = (free_port() for _ in range(5))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlops_assets.cli", "dev", "--state", str(state)),
            *("--ui-port", str(ui), "--serving-port", str(serving)),
            *("--mlflow-port", str(mlflow), "--studies-port", str(studies)),
            *("--reports-port", str(reports)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": ""},
    )
    host = "http://127.0.0.1"
    addresses = (f"{host}:{port}" for port in (ui, serving, mlflow, studies, reports))
    running = Stack(process, *addresses, state)
    try:
        wait_for(lambda: answers(f"{running.ui}/server_info"), 120, "the Dagster UI to answer")
        yield running
    finally:
        if process.poll() is None:
            running.stop()


def answers(url: str) -> bool:
    """Whether something answers there with success."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of ``condition``; fails naming what did not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.5)
    pytest.fail(f"waited {seconds} s in vain for {what}")


@pytest.fixture
def wait() -> Callable[[Callable[[], Any], float, str], Any]:
    return wait_for
