"""From the tensors of a request to the rows a model predicts on, checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

from mlops_assets.lifecycle.errors import RequestError, did_you_mean
from mlops_assets.serving.answering.inputs import InputKind, Inputs
from mlops_assets.serving.protocol import InputTensor, quote

FLOATS = ("FP64", "FP32", "FP16")
INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
NUMERIC = (*FLOATS, *INTEGERS, "BOOL")
TEXT = ("BYTES",)
EXACT = 2**53
"""Integers up to here are a double each; beyond it, what a datatype allows is looked at."""

_TEXTS = list[str | None]
_FLAGS = list[bool | None]
_WHOLE = list[int | None]
_NUMBERS = list[float | None]
_FLOAT = {float}
_NUMBER_TYPES = frozenset({float, int, type(None)})
_TEXT_TYPES = frozenset({str, type(None)})


Column = list[float | str | None]


@dataclass(slots=True)
class Rows:
    """The rows of one request.

    ``columns`` holds a list per input that is a feature, or is looked up by: floats or texts,
    None when missing. ``entity`` and ``time`` (ISO 8601 in UTC) identify each row when the caller
    sent them.
    """

    columns: dict[str, Column]
    height: int
    entity: list[str | None] | None = None
    time: list[str | None] | None = None


def read_rows(tensors: Sequence[InputTensor], inputs: Inputs, max_rows: int) -> Rows:
    """The rows in ``tensors``.

    Raises ``RequestError`` naming the input, what came and what is expected.
    """
    read = _read_plain(tensors, inputs, max_rows)
    if read is None:  # something is unusual: look at everything, in the order errors are told
        read = _read_closely(tensors, inputs, max_rows)
    columns, height = read
    entity: Any = columns.get(inputs.entity_key) if inputs.entity_key else None
    time: Any = columns.get(inputs.time) if inputs.time else None
    if inputs.features.issuperset(columns):
        return Rows(columns, height, entity, time)
    features = {name: column for name, column in columns.items() if name in inputs.features}
    return Rows(features, height, entity, time)


def _read_plain(
    tensors: Sequence[InputTensor], inputs: Inputs, max_rows: int
) -> tuple[dict[str, Column], int] | None:
    """The columns of a sound request as most callers write it, None for any other request."""
    if not tensors or len(tensors[0].shape) != 1 or not 1 <= tensors[0].shape[0] <= max_rows:
        return None
    shape, kinds = tensors[0].shape, inputs.kinds
    height = shape[0]
    columns: dict[str, Column] = {}
    for tensor in tensors:
        name, data, kind = tensor.name, tensor.data, kinds.get(tensor.name)
        if tensor.shape != shape or len(data) != height:
            return None
        column: Column | None = None
        if kind == "numeric":
            if tensor.datatype == "FP64":
                first = data[0]
                is_one = height == 1 and type(first) is float and isfinite(first)
                column = data if is_one else _plain_numbers(data)
        elif tensor.datatype == "BYTES":
            is_one = height == 1 and kind == "categorical" and type(data[0]) is str
            column = data if is_one else _plain_texts(data, kind)
        if column is None:
            return None
        columns[name] = column
    whole = len(columns) == len(tensors) and columns.keys() >= inputs.required
    return (columns, height) if whole else None


def _plain_numbers(data: list[Any]) -> Column | None:
    """The numbers as floats, None unless all are finite floats, small integers or missing."""
    types = set(map(type, data))
    if types == _FLOAT:  # a sum is finite only when all of its terms are
        return data if isfinite(sum(data)) else None
    if not types <= _NUMBER_TYPES:
        return None
    numbers: Column = []
    for value in data:
        if value is not None and not -EXACT <= value <= EXACT:
            return None
        numbers.append(value if value is None else float(value))
    return numbers


def _plain_texts(data: list[Any], kind: str | None) -> Column | None:
    """The texts, or moments in UTC; None when something else is among them."""
    if kind is None or not _TEXT_TYPES.issuperset(map(type, data)):
        return None
    if kind != "time":
        return data
    try:
        return [None if text is None else _moment(text) for text in data]
    except ValueError:
        return None  # the close look says what is wrong with it


def _read_closely(
    tensors: Sequence[InputTensor], inputs: Inputs, max_rows: int
) -> tuple[dict[str, Column], int]:
    """The columns of any sound request; raises ``RequestError`` for the first thing wrong."""
    required = [name for name in inputs.names if name in inputs.required]
    _check_names([tensor.name for tensor in tensors], required, list(inputs.kinds))
    height = _height(tensors, max_rows)
    return {t.name: _values(t, inputs.kinds[t.name], height) for t in tensors}, height


def _check_names(sent: list[str], required: list[str], allowed: list[str]) -> None:
    for name in sent:
        if name not in allowed:
            raise RequestError(
                f"input {quote(name)} is not known, expected are {', '.join(required)}"
                f"{did_you_mean(name, allowed)}"
            )
        if sent.count(name) > 1:
            raise RequestError(f"input '{name}' came {sent.count(name)} times, expected once")
    missing = [name for name in required if name not in sent]
    if missing:
        raise RequestError(
            f"missing input {', '.join(missing)}; send null where a value is unknown"
        )


def _height(inputs: Sequence[InputTensor], max_rows: int) -> int:
    """The number of rows that all shapes agree on."""
    for tensor in inputs:
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
            raise RequestError(
                f"input '{tensor.name}' has shape {_brief(tensor.shape)}, expected [n] or [n, 1]"
            )
    heights = {tensor.shape[0]: tensor.name for tensor in inputs}
    if len(heights) != 1:
        rows = ", ".join(f"{quote(name)} has {n}" for n, name in list(heights.items())[:2])
        raise RequestError(f"inputs differ in their number of rows: {rows or 'there are none'}")
    height = next(iter(heights))
    if height < 1:
        raise RequestError(f"the inputs have {height} rows, expected at least 1")
    if height > max_rows:
        raise RequestError(f"{height} rows in one request, at most {max_rows} allowed", status=413)
    return height


def _values(tensor: InputTensor, kind: InputKind, height: int) -> Column:
    """The values of one input, flat, as ``float | None``, ``str | None`` or ISO times."""
    name, allowed = tensor.name, _datatypes(kind)
    if tensor.datatype not in allowed:
        raise RequestError(
            f"input '{name}' has datatype {quote(tensor.datatype)}, "
            f"expected {allowed[0]} as it is {kind}"
        )
    data = tensor.data
    if len(tensor.shape) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != height:
        raise RequestError(
            f"input '{name}' has {len(data)} values for shape {tensor.shape}, expected {height}"
        )
    try:
        return _times(data) if kind == "time" else _typed(data, tensor.datatype)
    except ValueError as error:
        raise RequestError(
            f"input '{name}' ({kind}, {tensor.datatype}) holds a wrong value: {error}"
        ) from error


def _datatypes(kind: InputKind) -> tuple[str, ...]:
    """What an input of that kind may be sent as, the recommended one first."""
    if kind == "key":
        return (*TEXT, *NUMERIC)
    return NUMERIC if kind == "numeric" else TEXT


def _typed(data: list[Any], datatype: str) -> Column:
    """The values as one type; raises ``ValueError`` naming the first that does not fit."""
    if datatype in TEXT:
        return list(msgspec.convert(data, _TEXTS))
    if datatype == "BOOL":
        flags = msgspec.convert(data, _FLAGS)
        return [None if flag is None else float(flag) for flag in flags]
    if datatype in INTEGERS:
        low, high = INTEGERS[datatype]
        for number in msgspec.convert(data, _WHOLE):
            if number is not None and not low <= number <= high:
                raise ValueError(f"an integer outside {low} to {high}")
    return [_number(value) for value in msgspec.convert(data, _NUMBERS)]


def _number(value: float | None) -> float | None:
    """A number a model can take; binary tensors have no null and write NaN for a missing one."""
    if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return None
    if not isfinite(value):
        raise ValueError("an infinite number")
    return value


def _times(data: list[Any]) -> Column:
    """Moments as ISO 8601 in UTC; a moment without an offset is taken as UTC."""
    texts = msgspec.convert(data, _TEXTS)
    return [None if text is None else _moment(text) for text in texts]


@lru_cache(maxsize=1024)
def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{quote(text)} is not an ISO 8601 time") from error


def _brief(shape: list[int]) -> str:
    return str(shape) if len(shape) <= 4 else f"of {len(shape)} dimensions"
