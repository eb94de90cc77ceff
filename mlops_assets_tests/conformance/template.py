"""A valid request for any server, made of its metadata or of an example."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = {"FP64": "d", "FP32": "f", "FP16": "e", "INT8": "b", "INT16": "h", "INT32": "i"}
FORMATS |= {"INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "BOOL": "?"}

A_TEXT = "2013-06-01T12:00:00+00:00"
"""Any text will do for a text, and this one for a moment too."""


@dataclass(frozen=True)
class Input:
    """One input: ``row`` are the values of one row, flat, ``tail`` the shape of one row."""

    name: str
    datatype: str
    tail: tuple[int, ...]
    row: tuple[Any, ...]

    def tensor(self, rows: int = 1) -> dict[str, Any]:
        """The input as JSON, the same row again and again."""
        shape = [rows, *self.tail]
        data = list(self.row) * rows
        return {"name": self.name, "shape": shape, "datatype": self.datatype, "data": data}

    def raw(self, rows: int = 1) -> bytes:
        """The same elements as bytes, little-endian."""
        values = self.row * rows
        if self.datatype == "BYTES":
            texts = [str(value).encode() for value in values]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        return struct.pack(f"<{len(values)}{FORMATS[self.datatype]}", *values)


@dataclass(frozen=True)
class Template:
    """Requests for one model."""

    inputs: tuple[Input, ...]

    def request(self, rows: int = 1, **more: Any) -> dict[str, Any]:
        """A valid request, with ``more`` at its top."""
        return {"inputs": [given.tensor(rows) for given in self.inputs], **more}

    def changed(self, changed: str, /, rows: int = 1, **change: Any) -> dict[str, Any]:
        """The same with one input changed; a field that is ``...`` is left out."""
        request = self.request(rows)
        for tensor in request["inputs"]:
            if tensor["name"] == changed:
                tensor.update(change)
                for field in [field for field, value in change.items() if value is ...]:
                    del tensor[field]
        return request

    @property
    def first(self) -> Input:
        """Any input."""
        return self.inputs[0]

    @property
    def numeric(self) -> Input | None:
        """An input that holds one floating-point number per row, if there is one."""
        single = [given for given in self.inputs if len(given.row) == 1]
        numbers = [given for given in single if given.datatype.startswith("FP")]
        return next(iter(numbers), None)


def template_of_metadata(inputs: Sequence[Mapping[str, Any]]) -> Template:
    """A template from the ``inputs`` of a model's metadata."""
    return Template(tuple(_described(given) for given in inputs))


def template_of_example(request: Mapping[str, Any]) -> Template:
    """A template from a request that the model is known to answer."""
    return Template(tuple(_shown(tensor) for tensor in request["inputs"]))


def _described(given: Mapping[str, Any]) -> Input:
    tail = tuple(1 if size < 1 else size for size in given["shape"][1:])
    value = {"BYTES": A_TEXT, "BOOL": True}.get(given["datatype"], 1)
    if given["datatype"].startswith("FP"):
        value = 1.0
    return Input(given["name"], given["datatype"], tail, (value,) * math.prod(tail))


def _shown(tensor: Mapping[str, Any]) -> Input:
    tail = tuple(tensor["shape"][1:])
    row = tuple(_flat(tensor["data"])[: math.prod(tail)])
    return Input(tensor["name"], tensor["datatype"], tail, row)


def _flat(data: Any) -> list[Any]:
    return [item for part in data for item in _flat(part)] if isinstance(data, list) else [data]
