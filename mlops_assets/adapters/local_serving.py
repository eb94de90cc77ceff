"""The model server as processes of this machine that outlive whoever started them."""

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

from mlops_assets.adapters.server_processes import (
    SUPERVISOR_MODULE,
    RecordedServer,
    end_process,
    is_server_here,
    read_record,
    remember,
)
from mlops_assets.adapters.serving_ports import Endpoint
from mlops_assets.lifecycle.errors import EndpointError

MODULE = SUPERVISOR_MODULE
PORT_VARIABLE = "MLOPS_ASSETS_SERVING_PORT"
LEDGER_VARIABLE = "MLOPS_ASSETS_LEDGER_URL"
START_SECONDS = 30.0
STOP_SECONDS = 14.0
"""Longer than the supervisor lets a worker drain before it kills it."""
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2.0
STALE_SECONDS = 1.0
"""How long a load error has to stand: one from before the ledger's last row goes away sooner."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LocalServing:
    """``Serving`` on loopback: one server per state folder, found again by any process.

    ``spare``: a second process stands by with its imports done, so that a server that was killed
    answers again at once; it takes as much memory as a server without a model.
    """

    ledger_url: str
    models: Path
    log: Path
    state: Path
    host: str = "127.0.0.1"
    port: int
    online: Path | None = None
    spare: bool = True

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def ensure_running(self) -> Endpoint:
        """The running endpoint, started first when it is not up.

        Raises ``EndpointError`` when somebody else uses the port, the server of this state folder
        answers on another one, or the server does not come up.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        with self._start_lock():
            running = self._endpoint()
            if running:
                return running
            self.stop()  # what is left of a server whose supervisor was killed
            return self._wait_until_live(self._start())

    def restart(self) -> Endpoint:
        """Replace the process that answers by a fresh one, without losing a request.

        Raises ``EndpointError`` when no server runs, or the fresh one does not come up; then the
        one that answers goes on.
        """
        before = read_record(self.state)
        if before.supervisor is None:
            raise EndpointError(f"model server: none runs for {self.state}; start it first")
        os.kill(before.supervisor, signal.SIGHUP)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            now = read_record(self.state)
            if now.worker and now.worker != before.worker:
                return Endpoint(self.url, now.worker)
            time.sleep(POLL_SECONDS)
        raise EndpointError(
            f"model server: a fresh process did not get ready within {START_SECONDS:.0f} s, the "
            f"earlier one goes on; {self._last_words()}"
        )

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
        recorded = read_record(self.state)
        live = self._live()
        told = live.get("pid") if live and self._is_ours(live) else None
        pids = [recorded.supervisor, recorded.worker]
        if isinstance(told, int) and is_server_here(told, self.state):
            pids.append(told)
        ours = [pid for pid in pids if pid is not None]
        for pid in dict.fromkeys(ours):  # the supervisor first: it would start another worker
            end_process(pid, STOP_SECONDS)
        return bool(ours)

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """One starter at a time; the lock goes with the process that holds it."""
        with (self.state / "start.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _endpoint(self) -> Endpoint | None:
        """Our running server, None when there is none and nothing listens on the port."""
        recorded = read_record(self.state)
        if recorded.orphaned:
            self.stop()
            recorded = RecordedServer()
        live = self._live()
        if live and self._is_ours(live):
            return Endpoint(self.url, live["pid"])
        if recorded.alive and recorded.port not in (None, self.port):
            raise EndpointError(
                f"model server: the one of {self.state} answers on port {recorded.port}, not on "
                f"{self.port}; set {PORT_VARIABLE} to {recorded.port}, or end it first with "
                "mlops-assets down"
            )
        if live is None:
            return None
        if not live and recorded.worker:  # ours, too busy to answer in time
            return Endpoint(self.url, recorded.worker)
        if not live and recorded.supervisor:  # a worker was killed, another one comes
            return self._wait_until_live(None)
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
        ledger, secret = _place_ledger(absolute_url(self.ledger_url))
        options = {
            **ledger,
            "--models": self.models.resolve(),
            "--log": self.log.resolve(),
            "--state": self.state.resolve(),
            "--host": self.host,
            "--port": self.port,
            **({"--online": self.online.resolve()} if self.online else {}),
        }
        words = [str(word) for option in options.items() for word in option]
        with self._server_log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, *words, *([] if self.spare else ["--no-spare"])],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **secret},
                cwd=self.state,
                start_new_session=True,
                close_fds=True,
            )
        remember(process)
        return process

    def _wait_until_live(self, process: subprocess.Popen[bytes] | None) -> Endpoint:
        """The endpoint once it answers; ``process`` is ended when it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            status = process.poll() if process else None
            if status is not None:
                raise EndpointError(
                    f"model server: ended with status {status} at its start; {self._last_words()}"
                )
            live = self._live()
            if live and self._is_ours(live):
                return Endpoint(self.url, live["pid"])
            time.sleep(POLL_SECONDS)
        if process:
            end_process(process.pid, STOP_SECONDS)
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


def absolute_url(ledger_url: str) -> str:
    """The URL with the path of an SQLite file made absolute: the server runs in its own folder."""
    from sqlalchemy import make_url

    url = make_url(ledger_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return ledger_url
    path = Path(str(url.database)).resolve()
    return url.set(database=str(path)).render_as_string(hide_password=False)


def _place_ledger(url: str) -> tuple[dict[str, str], dict[str, str]]:
    """The ledger as an option, or as a variable when others must not see a password in it."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    if parsed.password is not None or "password" in parsed.query:
        return {}, {LEDGER_VARIABLE: url}
    return {"--ledger": url}, {}


def _has_failed(content: bytes) -> bool:
    """Whether the server says that it tried the version and could not load it."""
    try:
        said = json.loads(content)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("failed") is True
