"""From the tensors of a request to the rows a model predicts on, checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from mlops_assets.lifecycle.errors import RequestError, did_you_mean
from mlops_assets.lifecycle.training import ModelSignature
from mlops_assets.serving.protocol import InputTensor, quote

FLOATS = ("FP64", "FP32", "FP16")
INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
NUMERIC = (*FLOATS, *INTEGERS, "BOOL")
TEXT = ("BYTES",)


@dataclass(frozen=True)
class Rows:
    """The rows of one request.

    ``frame`` has a column per input that is a feature (Float64 or String, null when missing);
    ``entity`` and ``time`` (ISO 8601 in UTC) identify each row when the caller sent them.
    """

    frame: pl.DataFrame
    entity: list[str | None] | None
    time: list[str | None] | None


def read_rows(
    inputs: Sequence[InputTensor], signatures: Sequence[ModelSignature], max_rows: int
) -> Rows:
    """The rows in ``inputs``.

    The features of the first signature have to be there; those of the others may be, so that
    callers can send what a canary needs before it is the model they talk to. Raises
    ``RequestError`` naming the input, what came and what is expected.
    """
    contract = signatures[0]
    kinds = _kinds(signatures)
    _check_names([tensor.name for tensor in inputs], contract.names, list(kinds))
    height = _height(inputs, max_rows)
    columns = {tensor.name: _values(tensor, kinds[tensor.name], height) for tensor in inputs}
    features = {feature.name for signature in signatures for feature in signature.features}
    schema = {
        name: pl.Float64 if kinds[name] == "numeric" else pl.String
        for name in columns
        if name in features
    }
    time = columns.get(contract.time) if kinds[contract.time] == "time" else None
    entity = columns.get(contract.entity_key) if kinds[contract.entity_key] != "numeric" else None
    return Rows(pl.DataFrame({name: columns[name] for name in schema}, schema), entity, time)


def _kinds(signatures: Sequence[ModelSignature]) -> dict[str, str]:
    """Every input that may come, with its kind; the first signature has the last word."""
    kinds: dict[str, str] = {}
    for signature in reversed(signatures):
        kinds |= {signature.entity_key: "categorical", signature.time: "time"}
        kinds |= {feature.name: feature.kind for feature in signature.features}
    return kinds


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


def _values(tensor: InputTensor, kind: str, height: int) -> list[Any]:
    """The values of one input, flat, as ``float | None``, ``str | None`` or ISO times."""
    name, allowed = tensor.name, NUMERIC if kind == "numeric" else TEXT
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
        return _typed(data, tensor.datatype) if kind != "time" else _times(data)
    except ValueError as error:
        raise RequestError(
            f"input '{name}' ({kind}, {tensor.datatype}) holds a wrong value: {error}"
        ) from error


def _typed(data: list[Any], datatype: str) -> list[Any]:
    """The values as one type; raises ``ValueError`` naming the first that does not fit."""
    if datatype in TEXT:
        return msgspec.convert(data, list[str | None])
    if datatype == "BOOL":
        flags = msgspec.convert(data, list[bool | None])
        return [None if flag is None else float(flag) for flag in flags]
    if datatype in INTEGERS:
        low, high = INTEGERS[datatype]
        for number in msgspec.convert(data, list[int | None]):
            if number is not None and not low <= number <= high:
                raise ValueError(f"an integer outside {low} to {high}")
    return msgspec.convert(data, list[float | None])


def _times(data: list[Any]) -> list[str | None]:
    """Moments as ISO 8601 in UTC; a moment without an offset is taken as UTC."""
    texts = msgspec.convert(data, list[str | None])
    return [None if text is None else _moment(text) for text in texts]


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{quote(text)} is not an ISO 8601 time") from error


def _brief(shape: list[int]) -> str:
    return str(shape) if len(shape) <= 4 else f"of {len(shape)} dimensions"
