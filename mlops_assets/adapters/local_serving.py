"""The model server as a process of this machine that outlives whoever started it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.adapters.ports import Endpoint
from mlops_assets.lifecycle.errors import EndpointError

MODULE = "mlops_assets.serving"
PORT_VARIABLE = "MLOPS_ASSETS_SERVING_PORT"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2.0
STALE_SECONDS = 1.0
"""How long a load error has to stand: one from before the ledger's last row goes away sooner."""

logger = logging.getLogger(__name__)

_started: dict[int, subprocess.Popen[bytes]] = {}
"""The servers this process started, by pid, so that one that ended does not stay a zombie."""


@dataclass(frozen=True, kw_only=True)
class LocalServing:
    """``Serving`` on loopback: one server per state folder, found again by any process."""

    ledger_url: str
    models: Path
    log: Path
    state: Path
    host: str = "127.0.0.1"
    port: int

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def ensure_running(self) -> Endpoint:
        """The running endpoint, started first when it is not up.

        Raises ``EndpointError`` when somebody else uses the port, or the server does not come up.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        with self._start_lock():
            running = self._endpoint()
            if running:
                return running
            self.stop()  # one of ours that listens elsewhere: its port was changed
            return self._wait_until_live(self._start())

    def wait_until_ready(self, model: str, version: str, timeout: float) -> bool:
        """Whether the version answers within ``timeout`` seconds.

        False without waiting further when the server says that it cannot load the version.
        """
        import httpx

        path = f"{self.url}/v2/models/{model}/versions/{version}/ready"
        began = time.monotonic()
        with httpx.Client(timeout=ANSWER_SECONDS, trust_env=False) as client:
            while True:
                waited = time.monotonic() - began
                try:
                    answer = client.get(path)
                    if answer.status_code == 200:
                        return True
                    if waited > STALE_SECONDS and _has_failed(answer.content):
                        return False
                except httpx.TransportError as error:  # on its way up, or busy: time decides
                    logger.debug("model server: %s: %s", path, error)
                if waited >= timeout:
                    return False
                time.sleep(POLL_SECONDS)

    def stop(self) -> bool:
        """End our server, drained if it goes in time; False when none was running."""
        live = self._live()
        pid = live["pid"] if live and self._is_ours(live) else self._recorded_pid()
        if pid is None or not _runs_a_server(pid):
            return False
        self._end(pid)
        return True

    def _end(self, pid: int) -> None:
        """Ask the process to drain and go; make it go when it does not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            if self._wait_until_gone(pid):
                return

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """One starter at a time; the lock goes with the process that holds it."""
        with (self.state / "start.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _endpoint(self) -> Endpoint | None:
        """Our running server, None when nothing listens on the port."""
        live = self._live()
        if live is None:
            return None
        if self._is_ours(live):
            return Endpoint(self.url, live["pid"])
        if not live and (pid := self._recorded_pid()):  # ours, too busy to answer in time
            return Endpoint(self.url, pid)
        raise EndpointError(
            f"model server: port {self.port} of {self.host} is used by somebody else; set "
            f"{PORT_VARIABLE} to another port, or stop what listens there"
        )

    def _live(self) -> dict[str, Any] | None:
        """What the port says about itself: None when nobody listens, empty when it is unclear."""
        import httpx

        try:
            answer = httpx.get(
                f"{self.url}/v2/health/live", timeout=ANSWER_SECONDS, trust_env=False
            )
            said = answer.json()
        except httpx.ConnectError:
            return None
        except (httpx.HTTPError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _is_ours(self, live: dict[str, Any]) -> bool:
        return live.get("state") == str(self.state.resolve())

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", MODULE]
        for option, value in {
            "--ledger": absolute_url(self.ledger_url),
            "--models": self.models.resolve(),
            "--log": self.log.resolve(),
            "--state": self.state.resolve(),
            "--host": self.host,
            "--port": self.port,
        }.items():
            command += [option, str(value)]
        _reap()
        with self._server_log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.state,
                start_new_session=True,
                close_fds=True,
            )
        _started[process.pid] = process
        return process

    def _wait_until_live(self, process: subprocess.Popen[bytes]) -> Endpoint:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = process.poll()
            if status is not None:
                _started.pop(process.pid, None)
                raise EndpointError(
                    f"model server: ended with status {status} at its start; {self._last_words()}"
                )
            live = self._live()
            if live and self._is_ours(live):
                return Endpoint(self.url, live["pid"])
            time.sleep(POLL_SECONDS)
        self._end(process.pid)
        raise EndpointError(
            f"model server: {self.url} did not answer within {START_SECONDS:.0f} s; "
            f"{self._last_words()}"
        )

    @property
    def _server_log(self) -> Path:
        return self.state / "server.log"

    def _last_words(self) -> str:
        lines = self._server_log.read_text(errors="replace").splitlines()[-5:]
        return f"{self._server_log} ends with: {' | '.join(lines) or 'nothing'}"

    def _recorded_pid(self) -> int | None:
        """The pid in ``server.json`` if that process is still our server and no stranger."""
        try:
            pid = json.loads((self.state / "server.json").read_text())["pid"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # no server ever announced itself here
        ours = isinstance(pid, int) and str(self.state.resolve()) in _command(pid)
        return pid if ours else None

    def _wait_until_gone(self, pid: int) -> bool:
        """Whether the process ended in time; reaped when this process started it."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            child = _started.get(pid)
            if child.poll() is not None if child else not _runs_a_server(pid):
                _started.pop(pid, None)
                return True
            time.sleep(POLL_SECONDS)
        return False


def _command(pid: int) -> list[str]:
    """The words a process was started with; none for a zombie, or where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _runs_a_server(pid: int) -> bool:
    """Whether the process is there and a model server, as far as the system can tell.

    A pid may mean a stranger: it was used again, or a container counted it.
    """
    if Path("/proc/self").exists():
        return MODULE in _command(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _reap() -> None:
    """Let go of the servers that ended."""
    for pid, process in list(_started.items()):
        if process.poll() is not None:
            del _started[pid]


def absolute_url(ledger_url: str) -> str:
    """The URL with the path of an SQLite file made absolute: the server runs in its own folder."""
    from sqlalchemy import make_url

    url = make_url(ledger_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return ledger_url
    path = Path(str(url.database)).resolve()
    return url.set(database=str(path)).render_as_string(hide_password=False)


def _has_failed(content: bytes) -> bool:
    """Whether the server says that it tried the version and could not load it."""
    try:
        said = json.loads(content)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("failed") is True
