"""The prediction log: one JSON line per attempt, written before the answer is sent."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec

MAX_FILE_BYTES = 64 << 20


class LogLine(msgspec.Struct):
    """One attempt of one version to answer one request.

    ``routed`` is whether the routing chose this version for the request: false when the caller
    named the version, when the primary stepped in for a canary that failed, and for a shadow's
    copy. Only routed lines may be compared between arms. ``arm`` is null for a version outside of
    the routing. ``unit`` is what was assigned: the first row's entity, else the request id.
    ``canary`` names the version in rollout when the request was assigned, ``weight`` is the
    percent of the units that fell to it then; null and 0 outside of a rollout and for requests
    that named their version, 0 for a shadow. ``features`` and ``probability`` hold one value per
    row; the features are those used, looked up or sent.
    """

    request_id: str
    model: str
    version: str
    digest: str
    arm: Literal["primary", "canary", "shadow"] | None
    routed: bool
    status: Literal["ok", "error"]
    reason: str | None
    received_at: str
    milliseconds: float
    entity: list[str | None] | None
    time: list[str | None] | None
    features: dict[str, list[float | str | None]]
    probability: list[float] | None
    unit: str
    canary: str | None = None
    weight: int = 0


WhenFull = Literal["refuse", "answer"]
"""What becomes of a prediction that cannot be logged, as the disk is full or the sink is dead:
``refuse`` acknowledges nothing that is not logged; ``answer`` answers, and counts what is lost."""


def utc_now() -> datetime:
    """The current moment in UTC."""
    return datetime.now(UTC)


class PredictionLog:
    """Appends to ``<root>/<model>/<hour>-<pid>-<random>.jsonl``, a new file each hour.

    A line is one ``os.write``, so it survives the end of this process however that comes. Nothing
    is held back in memory; ``lost`` counts the lines that could not be written. The folder should
    be on a disk of the machine: a write that waits for a network holds up the answers with it.
    """

    def __init__(
        self,
        root: Path,
        *,
        now: Callable[[], datetime] = utc_now,
        max_file_bytes: int = MAX_FILE_BYTES,
        when_full: WhenFull = "refuse",
    ) -> None:
        self.lost = 0
        self._root = root
        self._now = now
        self._max_file_bytes = max_file_bytes
        self._when_full = when_full
        self._encoder = msgspec.json.Encoder()
        self._files: dict[str, _OpenFile] = {}
        self._empty: dict[str, _OpenFile] = {}
        self._lock = threading.Lock()

    def write(self, line: LogLine) -> None:
        """Append one line. When it is not in the file as a whole it is counted as lost, and
        ``OSError`` is raised unless predictions are answered all the same."""
        data = self._encoder.encode(line) + b"\n"
        with self._lock:
            try:
                self._append(line.model, data)
            except OSError:
                self.lost += 1
                if self._when_full == "refuse":
                    raise

    def close(self) -> None:
        """Close all files; a later write opens new ones."""
        with self._lock:
            for model in list(self._files):
                self._close(model)

    def _append(self, model: str, data: bytes) -> None:
        file = self._file(model, len(data))
        try:
            written = os.write(file.descriptor, data)
        except OSError:
            self._give_up(model)
            raise
        file.size += written
        if written != len(data):
            self._give_up(model)
            raise OSError(
                errno.ENOSPC, f"{written} of {len(data)} bytes of a line were written, is it full?"
            )

    def _file(self, model: str, growth: int) -> _OpenFile:
        hour = f"{self._now().astimezone(UTC):%Y%m%dT%H}"
        file = self._files.get(model)
        if file and file.hour == hour and file.size + growth <= self._max_file_bytes:
            return file
        if file:
            self._close(model)
        self._files[model] = opened = self._open(model, hour)
        return opened

    def _open(self, model: str, hour: str) -> _OpenFile:
        folder = self._root / model
        if folder.resolve().parent != self._root.resolve():
            raise OSError(errno.EINVAL, f"model {model!r} does not name a folder of the log")
        empty = self._empty.pop(model, None)
        path = folder / f"{hour}-{os.getpid()}-{uuid4().hex[:8]}.jsonl"
        if empty and empty.hour == hour:
            path = empty.path
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        return _OpenFile(path, descriptor, hour)

    def _give_up(self, model: str) -> None:
        """Leave a file that failed: the next line must not continue a torn one, and a new file
        may work. One that stayed empty is opened again, so that failing does not fill the disk."""
        file = self._files[model]
        self._close(model)
        if file.size == 0:
            self._empty[model] = file

    def _close(self, model: str) -> None:
        os.close(self._files.pop(model).descriptor)


@dataclass
class _OpenFile:
    path: Path
    descriptor: int
    hour: str
    size: int = 0
