"""The prediction log: one JSON line per attempt, written before the answer is sent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec

MAX_FILE_BYTES = 64 << 20


class LogLine(msgspec.Struct):
    """One attempt of one version to answer one request.

    ``routed`` is whether the routing chose this version for the request: false when the caller
    named the version, or when the primary stepped in for a canary that failed. Only routed lines
    may be compared between arms. ``arm`` is null for a version outside of the routing.
    ``features`` and ``probability`` hold one value per row.
    """

    request_id: str
    model: str
    version: str
    digest: str
    arm: Literal["primary", "canary"] | None
    routed: bool
    status: Literal["ok", "error"]
    reason: str | None
    received_at: str
    milliseconds: float
    entity: list[str | None] | None
    time: list[str | None] | None
    features: dict[str, list[float | str | None]]
    probability: list[float] | None


def utc_now() -> datetime:
    """The current moment in UTC."""
    return datetime.now(UTC)


class PredictionLog:
    """Appends to ``<root>/<model>/<hour>-<pid>-<random>.jsonl``, a new file each hour.

    A line is one ``os.write``, so it survives the end of this process however that comes.
    """

    def __init__(
        self,
        root: Path,
        *,
        now: Callable[[], datetime] = utc_now,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._root = root
        self._now = now
        self._max_file_bytes = max_file_bytes
        self._files: dict[str, _OpenFile] = {}
        self._lock = threading.Lock()

    def write(self, line: LogLine) -> None:
        """Append one line. Raises ``OSError`` when it is not in the file as a whole."""
        data = msgspec.json.encode(line) + b"\n"
        with self._lock:
            file = self._file(line.model, len(data))
            written = os.write(file.descriptor, data)
            file.size += written
            if written != len(data):
                self._close(line.model)  # the next line must not continue a torn one
                raise OSError(f"{written} of {len(data)} bytes of a line were written")

    def close(self) -> None:
        """Close all files; a later write opens new ones."""
        with self._lock:
            for model in list(self._files):
                self._close(model)

    def _file(self, model: str, growth: int) -> _OpenFile:
        hour = f"{self._now().astimezone(UTC):%Y%m%dT%H}"
        file = self._files.get(model)
        if file and file.hour == hour and file.size + growth <= self._max_file_bytes:
            return file
        if file:
            self._close(model)
        self._files[model] = opened = _OpenFile(self._open(model, hour), hour)
        return opened

    def _open(self, model: str, hour: str) -> int:
        folder = self._root / model
        if folder.resolve().parent != self._root.resolve():
            raise OSError(f"model {model!r} does not name a folder of the log")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hour}-{os.getpid()}-{uuid4().hex[:8]}.jsonl"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _close(self, model: str) -> None:
        os.close(self._files.pop(model).descriptor)


class _OpenFile:
    def __init__(self, descriptor: int, hour: str) -> None:
        self.descriptor = descriptor
        self.hour = hour
        self.size = 0
