"""Event files of TensorBoard, and the four kinds of values that go into them."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from mlops_assets.lifecycle.errors import SpecError

_SIZE_IN_PNG = slice(16, 24)
"""Where a PNG file says how wide and how high it is."""


class EventFile:
    """One event file in a folder, made with the first value, flushed after each write.

    Written without tensorboardX's queue and thread: what was logged is on disk, whatever happens to
    the process. A second writer in the same folder has a file of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._lock = Lock()

    def add(self, *values: Any) -> None:
        """Append values as one event of step 0."""
        event = tensorboard("proto.event_pb2").Event(wall_time=time.time(), step=0)
        event.summary.value.extend(values)
        with self._lock:
            if self._writer is None:
                self._writer = self._open()
            self._writer.write_event(event)
            self._writer.flush()

    def close(self) -> None:
        with self._lock:
            if self._writer is not None:
                self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        # The name alone has seconds, and a file of that name would be overwritten.
        own = f".{time.time_ns()}.{os.getpid()}.{id(self):x}"
        writer = tensorboard("event_file_writer")
        return writer.EventsWriter(str(self._folder / "events"), own)


def scalar(name: str, value: float) -> Any:
    """A number; TensorBoard keeps it in single precision."""
    return _value(tag=name, simple_value=float(value))


def text(name: str, markdown: str) -> Any:
    """A Markdown text."""
    (value,) = tensorboard("summary").text(name, markdown).value
    value.tag = name
    return value


def image(name: str, png: bytes) -> Any:
    """A PNG image, byte for byte."""
    size = png[_SIZE_IN_PNG]
    width, height = struct.unpack(">II", size) if len(size) == 8 else (0, 0)
    shape = {"width": width & 0x7FFFFFFF, "height": height & 0x7FFFFFFF, "colorspace": 4}
    picture = tensorboard("proto.summary_pb2").Summary.Image(**shape, encoded_image_string=png)
    return _value(tag=name, image=picture)


def hparams(params: Mapping[str, Any], finished: bool) -> list[Any]:
    """A row of the HParams table.

    The columns are left to TensorBoard, which finds them in the rows: said for one run, they would
    hold for its whole folder.
    """
    _, start, end = tensorboard("summary").hparams(dict(params), {})
    return [*start.value, *(end.value if finished else ())]


def tensorboard(module: str) -> Any:
    """A module of tensorboardX, which has no types.

    Raises ``SpecError`` when the package is not installed.
    """
    try:
        return import_module(f"tensorboardX.{module}")
    except ModuleNotFoundError as error:
        raise SpecError(
            f"tracking: TensorBoard was asked for and {error.name} is not installed; "
            'pip install "mlops-assets[tensorboard]"'
        ) from error


def _value(**content: Any) -> Any:
    return tensorboard("proto.summary_pb2").Summary.Value(**content)
