"""A model server that serves nobody: the real process, on a ledger and folders of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mlops_assets.adapters.journal import write_champion, write_once
from mlops_assets.adapters.serving_ports import StagedVersion
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.adapters.staged_drills import Caller, time_going_back
from mlops_assets.adapters.staged_requests import StagedRequests, build_request
from mlops_assets.adapters.system_clock import SystemClock
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.drill import RollbackDrill
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.staging import StagedAnswers
from mlops_assets.lifecycle.training import ModelSignature, cast_features

if TYPE_CHECKING:
    import httpx
    import polars as pl

MODULE = "mlops_assets.serving.process.tethered"
START_SECONDS = 60.0
LOAD_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
REQUEST_SECONDS = 60.0
DRILL_ROWS = 200
PREFIX = "mlops-assets-staging-"
OWNER = "owner.lock"


@dataclass(frozen=True)
class LocalStaging:
    """``Staging`` on loopback; ``models`` is the folder of the model files, only read here."""

    models: Path

    @contextmanager
    def open(self) -> Iterator[LocalStagingServer]:
        """A server of its own, started on first use and ended with the block.

        It also ends when this process does, however that comes about; a folder that stays then
        is removed by the next one that opens a server on this machine.
        """
        remove_abandoned(Path(tempfile.gettempdir()))
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, _owned(Path(folder)):
            server = LocalStagingServer(self.models.resolve(), Path(folder).resolve())
            try:
                yield server
            finally:
                server.stop()


class LocalStagingServer:
    """``StagingServer`` that is one process: a digest is promoted in it, asked, and the next one.

    ``folder`` holds its ledger, prediction log and state, and is removed by whoever made it.
    """

    def __init__(self, models: Path, folder: Path) -> None:
        self._models = models
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @property
    def pid(self) -> int | None:
        """The process that answers, None before the first use and after it ended."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def measure(
        self, signature: ModelSignature, digest: str, rows: pl.DataFrame, samples: int
    ) -> StagedAnswers:
        """The answers to ``rows`` (a column per feature), and the time that the first ``samples``
        of them take one by one. A version that cannot be loaded has no answers, and a reason.

        Raises ``EndpointError`` when the server does not come up, ends, or does not answer.
        """
        import httpx

        self._promote(signature, digest)  # first, so that a server that starts loads it at once
        try:
            client = self._running()
            path = f"/v2/models/{quote(signature.model, safe='')}/versions/{digest}"
            failure = self._wait_until_loaded(client, path)
            size = measure_megabytes(self._models / digest)
            if failure:
                return StagedAnswers((None,) * rows.height, (failure,), (), size, loaded=False)
            requests = StagedRequests(client, f"{path}/infer", signature, self._folder / "log")
            answers, reasons = requests.ask_all(rows)
            times = requests.time_each(rows, samples)
        except httpx.TransportError as error:
            raise EndpointError(
                f"staging server: stopped answering: {error!r}; {self._last_words()}"
            ) from error
        return StagedAnswers(answers, reasons, times, size, loaded=True)

    def drill_rollback(
        self, current: StagedVersion, previous: StagedVersion, rows: pl.DataFrame
    ) -> RollbackDrill:
        """Promote ``current``, go back to ``previous`` while ``rows`` are asked, and time it.

        Asked are those of the first rows that both versions take. Raises ``EndpointError`` when
        a version cannot be loaded, takes none of them, or does not come to answer; and when both
        are the same, as there would be nothing to see.
        """
        if current.digest == previous.digest:
            raise EndpointError("staging server: a drill needs two versions, both are the same")
        model = current.signature.model
        bodies = self._bodies_both_take(previous, current, rows)
        path = f"/v2/models/{quote(model, safe='')}/infer"
        self._promote(previous.signature, previous.digest)
        self._promote(current.signature, current.digest)
        return time_going_back(
            Caller(self._running(), path, bodies),
            current.digest,
            previous.digest,
            lambda: self._promote(previous.signature, previous.digest),
        )

    def stop(self) -> None:
        """End the process, drained if it goes in time; harmless when there is none."""
        if self._client:
            self._client.close()
        process, self._process, self._client = self._process, None, None
        if process is None:
            return
        process.terminate()
        if process.stdin:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()

    def _bodies_both_take(
        self, previous: StagedVersion, current: StagedVersion, rows: pl.DataFrame
    ) -> list[bytes]:
        """Requests of one row with what either version needs, that both of them answer."""
        wanted = (*current.signature.features, *previous.signature.features)
        features = tuple({feature.name: feature for feature in wanted}.values())
        plain = cast_features(rows.head(DRILL_ROWS), features)
        bodies = [build_request(plain.slice(row, 1), features, "") for row in range(plain.height)]
        for version in (previous, current):
            self._promote(version.signature, version.digest)
            client = self._running()
            path = f"/v2/models/{quote(version.signature.model, safe='')}/versions/{version.digest}"
            failure = self._wait_until_loaded(client, path)
            if failure:
                raise EndpointError(f"staging server: a drill of {version.digest[:12]}: {failure}")
            answers = [client.post(f"{path}/infer", content=body).status_code for body in bodies]
            bodies = [body for body, status in zip(bodies, answers, strict=True) if status == 200]
        if not bodies:
            raise EndpointError("staging server: a drill needs a row that both versions take")
        return bodies

    @cached_property
    def _ledger(self) -> SqlLedger:
        return SqlLedger(f"sqlite:///{self._folder}/ledger.db")

    def _promote(self, signature: ModelSignature, digest: str) -> None:
        """Say in this server's own ledger that the version passed and answers from now on."""
        at, model = SystemClock().now(), signature.model
        write_once(self._ledger, "verdict", model, digest, {"outcome": "passed"}, at)
        champion = Champion(digest, digest, signature.train_as_of, "staged")
        write_champion(self._ledger, model, champion, at)

    def _running(self) -> httpx.Client:
        """A connection to the server, started first when it is not up or has ended."""
        import httpx

        if self._client is None or self.pid is None:
            self.stop()
            url = self._wait_until_announced(self._start())
            self._client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        return self._client

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "--ledger": self._ledger.url,
            "--models": self._models,
            "--log": self._folder / "log",
            "--state": self._folder / "state",
            "--port": 0,
        }
        words = [str(word) for option in options.items() for word in option]
        self._announcement.unlink(missing_ok=True)
        with self._server_log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
                [sys.executable, "-m", MODULE, *words],
                stdin=subprocess.PIPE,  # held open until the end: the server ends with it
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        return self._process

    def _wait_until_announced(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_SECONDS
        while not self._announcement.exists():
            status = process.poll()
            if status is not None or time.monotonic() > deadline:
                self.stop()
                said = "did not come up in time" if status is None else f"ended with {status}"
                raise EndpointError(f"staging server: {said} at its start; {self._last_words()}")
            time.sleep(POLL_SECONDS)
        return str(json.loads(self._announcement.read_text())["url"])

    def _wait_until_loaded(self, client: httpx.Client, path: str) -> str | None:
        """Why the version cannot be loaded; None once it answers."""
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            answer = client.get(f"{path}/ready")
            if answer.status_code == 200:
                return None
            said = answer.json()
            if said.get("failed"):
                return str(said["error"])
            if time.monotonic() > deadline:
                raise EndpointError(
                    f"staging server: {path} was not loaded within {LOAD_SECONDS:.0f} s: {said}"
                )
            time.sleep(POLL_SECONDS)

    @property
    def _announcement(self) -> Path:
        return self._folder / "state" / "server.json"

    @property
    def _server_log(self) -> Path:
        return self._folder / "server.log"

    def _last_words(self) -> str:
        if not self._server_log.exists():
            return "it said nothing"
        lines = self._server_log.read_text(errors="replace").splitlines()[-5:]
        return f"its last words: {' | '.join(lines) or 'none'}"


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold a lock in the folder that goes with this process; it appears there when it is held."""
    making = folder / f"{OWNER}.making"
    with making.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        making.rename(folder / OWNER)
        yield


def remove_abandoned(root: Path) -> None:
    """Remove the folders of servers whose owner was killed: nobody holds the lock in them."""
    for owner in root.glob(f"{PREFIX}*/{OWNER}"):
        with contextlib.suppress(OSError), owner.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(owner.parent, ignore_errors=True)


def measure_megabytes(folder: Path) -> float:
    """The size of the files of a folder in millions of bytes, 0 when it is not there."""
    if not folder.is_dir():
        return 0.0
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6
