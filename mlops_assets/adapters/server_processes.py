"""Which processes of this machine are our model server, and ending them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

WORKER_MODULES = ("mlops_assets.serving", "mlops_assets.serving.process.tethered")
SUPERVISOR_MODULE = "mlops_assets.serving.process.supervisor"
POLL_SECONDS = 0.05

_started: dict[int, subprocess.Popen[bytes]] = {}
"""The servers this process started, by pid, so that one that ended does not stay a zombie."""


@dataclass(frozen=True)
class RecordedServer:
    """What ``server.json`` says of processes that are alive and run our server.

    ``worker`` answers and ``supervisor`` replaces it; each is None when it is gone, or when
    another process has its number now. ``supervised``: whether there ever was a supervisor.
    """

    worker: int | None = None
    supervisor: int | None = None
    supervised: bool = False
    port: int | None = None

    @property
    def alive(self) -> bool:
        return self.worker is not None or self.supervisor is not None

    @property
    def orphaned(self) -> bool:
        """A worker whose supervisor was killed: it is about to end."""
        return self.supervised and self.supervisor is None and self.worker is not None


def read_record(state: Path) -> RecordedServer:
    """The server that was announced in the folder ``state``, as far as it is alive."""
    try:
        said = json.loads((state / "server.json").read_text())
        pid, supervisor, port = said["pid"], said.get("supervisor"), said.get("port")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RecordedServer()  # no server ever announced itself here
    return RecordedServer(
        worker=pid if pid != supervisor and _is_ours(pid, state, WORKER_MODULES) else None,
        supervisor=supervisor if _is_ours(supervisor, state, (SUPERVISOR_MODULE,)) else None,
        supervised=supervisor is not None,
        port=port if isinstance(port, int) else None,
    )


def _is_ours(pid: object, state: Path, modules: tuple[str, ...]) -> bool:
    """Whether the process is there and a server of this folder, as far as the system can tell.

    A pid may mean a stranger: it was used again, or a container counted it. Where there is no
    /proc only whether it is there can be told.
    """
    if not isinstance(pid, int) or pid <= 0:
        return False
    if Path("/proc/self").exists():
        words = _command(pid)
        return str(state.resolve()) in words and bool(set(modules) & set(words))
    return _is_there(pid)


def is_server_here(pid: int, state: Path) -> bool:
    """Whether a pid that the server told of itself means a process of this machine."""
    return _is_ours(pid, state, (*WORKER_MODULES, SUPERVISOR_MODULE))


def remember(process: subprocess.Popen[bytes]) -> None:
    """A server that this process started; servers that ended are let go of."""
    for pid, earlier in list(_started.items()):
        if earlier.poll() is not None:
            del _started[pid]
    _started[process.pid] = process


def end_process(pid: int, seconds: float) -> None:
    """Ask the process to drain and go; after ``seconds`` make it go."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_until_gone(pid, seconds):
            return


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Whether the process ended in time; reaped when this process started it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        child = _started.get(pid)
        if child.poll() is not None if child else _has_ended(pid):
            _started.pop(pid, None)
            return True
        time.sleep(POLL_SECONDS)
    return False


def _has_ended(pid: int) -> bool:
    """Whether it is gone, or a zombie that whoever started it has not reaped."""
    return not _command(pid) if Path("/proc/self").exists() else not _is_there(pid)


def _command(pid: int) -> list[str]:
    """The words a process was started with; none for a zombie, or where there is no /proc."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return []
    return words.split("\0") if words else []


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
