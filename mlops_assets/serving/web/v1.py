"""The bodies of KServe's v1 protocol, as requests and answers of v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.protocol import (
    InferRequest,
    InferResponse,
    InputTensor,
    decode_json,
    quote,
)


class _Instances(msgspec.Struct, forbid_unknown_fields=True):
    """Rows (``instances``), or columns (``inputs``); exactly one of them."""

    instances: list[dict[str, Any] | list[Any]] | None = None
    inputs: dict[str, list[Any]] | None = None


class _Predictions(msgspec.Struct):
    predictions: list[float]


_DECODER = msgspec.json.Decoder(_Instances)
_ENCODER = msgspec.json.Encoder()


def decode_instances(body: bytes, types: Mapping[str, str], max_rows: int) -> InferRequest:
    """The request in ``body``.

    ``types`` are the datatypes of the model's inputs, in the order of the values in a row that is
    a list. Raises ``RequestError``: 400 saying what is wrong, 413 for more than ``max_rows``.
    """
    asked = decode_json(_DECODER, body, "a v1 prediction request")
    if (asked.instances is None) == (asked.inputs is None):
        raise RequestError("request: send either 'instances' (rows) or 'inputs' (columns)")
    columns = asked.inputs
    if columns is None:
        columns = _columns(asked.instances or [], list(types), max_rows)
    return InferRequest(
        [InputTensor(n, [len(c)], _datatype(types.get(n), c), c) for n, c in columns.items()]
    )


def encode_predictions(response: InferResponse) -> bytes:
    """The answer: one probability per row."""
    return _ENCODER.encode(_Predictions(response.outputs[0].data))


def _columns(
    rows: list[dict[str, Any] | list[Any]], names: list[str], max_rows: int
) -> dict[str, list[Any]]:
    if not rows:
        raise RequestError("request: 'instances' is empty, expected at least one row")
    if len(rows) > max_rows:
        # Before the columns are made: rows that are refused should cost nothing more.
        raise RequestError(
            f"{len(rows)} rows in one request, at most {max_rows} allowed", status=413
        )
    if isinstance(rows[0], dict):
        return _columns_of_objects(rows)
    return _columns_of_lists(rows, names)


def _columns_of_objects(rows: list[dict[str, Any] | list[Any]]) -> dict[str, list[Any]]:
    keys = rows[0].keys() if isinstance(rows[0], dict) else ()
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(f"request: instance {index} is a list, the ones before are objects")
        if row.keys() != keys:
            odd = min(row.keys() ^ keys)
            raise RequestError(
                f"request: instance {index} differs from the first one by {quote(odd)}; send the "
                "same features in each, null where a value is unknown"
            )
    return {name: [row[name] for row in rows if isinstance(row, dict)] for name in keys}


def _columns_of_lists(
    rows: list[dict[str, Any] | list[Any]], names: list[str]
) -> dict[str, list[Any]]:
    width = len(rows[0])
    if not 1 <= width <= len(names):
        raise RequestError(
            f"request: instance 0 has {width} values, expected at most {len(names)}, in the order "
            f"{', '.join(names)}"
        )
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            raise RequestError(f"request: instance {index} is an object, the ones before are lists")
        if len(row) != width:
            raise RequestError(
                f"request: instance {index} has {len(row)} values, the first one has {width}"
            )
    return {name: [row[index] for row in rows] for index, name in enumerate(names[:width])}  # type: ignore[index]


def _datatype(described: str | None, values: list[Any]) -> str:
    """The datatype of a column: JSON tells flags, numbers and texts apart by itself.

    What a feature is looked up by is not described; it may be either.
    """
    if described == "BYTES":
        return described
    if any(isinstance(value, bool) for value in values):
        return "BOOL"
    looked_up = described is None and any(isinstance(value, str) for value in values)
    return "BYTES" if looked_up else "FP64"
