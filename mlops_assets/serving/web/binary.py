"""Tensors as raw bytes behind the JSON: the binary tensor extension of the v2 protocol.

The header ``Inference-Header-Content-Length`` says where the JSON ends. The tensors that have the
parameter ``binary_data_size`` follow in their order: little-endian, without padding; a BOOL is one
byte, an element of BYTES its length in 4 bytes and then itself. NaN stands for a missing number,
as there is no null.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.protocol import (
    InferRequest,
    InferResponse,
    InputTensor,
    OutputTensor,
    RequestedOutput,
    check_outputs,
    decode_json,
    encode,
    quote,
)

LENGTH_BYTES = 4
_WIDTHS = {"8": "1", "16": "2", "32": "4", "64": "8"}
DTYPES = {
    **{f"FP{bits}": np.dtype(f"<f{_WIDTHS[bits]}") for bits in ("16", "32", "64")},
    **{f"INT{bits}": np.dtype(f"<i{width}") for bits, width in _WIDTHS.items()},
    **{f"UINT{bits}": np.dtype(f"<u{width}") for bits, width in _WIDTHS.items()},
    "BOOL": np.dtype("u1"),
}
"""How an element of each datatype lies in the bytes, other than BYTES."""


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """An input whose data is in the JSON or, by its parameters, behind it."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Request(InferRequest, forbid_unknown_fields=True):
    inputs: list[_Tensor]  # type: ignore[assignment]  # the same, before its bytes are read


class _BinaryOutput(msgspec.Struct):
    """An output whose data is behind the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int]


_DECODER = msgspec.json.Decoder(_Request)


def decode_binary_request(body: bytes, header: bytes) -> InferRequest:
    """The request in ``body``, whose JSON is as long as ``header`` says.

    Raises ``RequestError`` (400) naming the tensor, what came and what is expected.
    """
    length = _header_length(header, len(body))
    request = decode_json(_DECODER, body[:length], "a v2 inference request")
    check_outputs(request.outputs)
    inputs, position = [], length
    for tensor in request.inputs:
        size = _binary_size(tensor, len(body) - position)
        data = tensor.data
        if size is not None:
            data = read_elements(tensor.name, tensor.datatype, body[position : position + size])
            position += size
        inputs.append(
            InputTensor(tensor.name, tensor.shape, tensor.datatype, data or [], tensor.parameters)
        )
    if position != len(body):
        raise RequestError(
            f"request: {len(body) - position} bytes of the body belong to no tensor; "
            "binary_data_size of the inputs has to add up to what follows the JSON"
        )
    return InferRequest(inputs, request.id, request.parameters, request.outputs)


def read_elements(name: str, datatype: str, data: bytes) -> list[Any]:
    """The elements in ``data`` as plain values, None for NaN. Raises ``RequestError`` (400)."""
    if datatype == "BYTES":
        return _read_texts(name, data)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise RequestError(f"input {quote(name)} has datatype {quote(datatype)}, not known here")
    if len(data) % dtype.itemsize:
        raise RequestError(
            f"input {quote(name)} has {len(data)} bytes, no multiple of the {dtype.itemsize} of "
            f"one {datatype}"
        )
    values = np.frombuffer(data, dtype)
    if dtype.kind == "f":
        return _read_floats(name, values)
    if datatype == "BOOL":
        if values.size and values.max() > 1:
            raise RequestError(f"input {quote(name)} (BOOL) holds {values.max()}, expected 0 or 1")
        return [bool(value) for value in values.tolist()]
    plain: list[Any] = values.tolist()
    return plain


def write_elements(values: list[float]) -> bytes:
    """Numbers as the bytes of an FP64 tensor."""
    return np.asarray(values, DTYPES["FP64"]).tobytes()


def wants_binary(request: InferRequest) -> bool:
    """Whether the outputs are asked for as bytes. Raises ``RequestError`` (400) for no boolean."""
    by_default = _flag(request.parameters, "binary_data_output", False)
    asked = request.outputs[0] if request.outputs else RequestedOutput("")
    return _flag(asked.parameters, "binary_data", by_default)


def encode_binary_response(response: InferResponse) -> tuple[bytes, int]:
    """The answer with its outputs behind the JSON, and how long the JSON is."""
    parts = [write_elements(output.data) for output in response.outputs]
    outputs = [_binary_output(*pair) for pair in zip(response.outputs, parts, strict=True)]
    head = encode({**msgspec.structs.asdict(response), "outputs": outputs})
    return b"".join([head, *parts]), len(head)


def _binary_output(output: OutputTensor, part: bytes) -> _BinaryOutput:
    size = {"binary_data_size": len(part)}
    return _BinaryOutput(output.name, output.datatype, output.shape, size)


def _header_length(header: bytes, size: int) -> int:
    if not header.isdigit() or len(header) > 18 or int(header) > size:
        raise RequestError(
            f"request: Inference-Header-Content-Length is {quote(header.decode('latin-1'))}, "
            f"expected the length of the JSON within a body of {size} bytes"
        )
    return int(header)


def _binary_size(tensor: _Tensor, left: int) -> int | None:
    """How many of the bytes left are the tensor's, None when its data is in the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise RequestError(
            f"input {quote(tensor.name)} needs either data or the parameter binary_data_size"
        )
    if size is None:
        return None
    if type(size) is not int or not 0 <= size <= left:
        raise RequestError(
            f"input {quote(tensor.name)} has binary_data_size {quote(str(size))}, {left} bytes of "
            "the body are left for it"
        )
    return size


def _read_floats(name: str, values: Any) -> list[float | None]:
    if np.isinf(values).any():
        raise RequestError(
            f"input {quote(name)} holds an infinite number; send NaN where a value is unknown"
        )
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN alone differs from itself


def _read_texts(name: str, data: bytes) -> list[str]:
    texts: list[str] = []
    position = 0
    while position < len(data):
        begin = position + LENGTH_BYTES
        end = begin + int.from_bytes(data[position:begin], "little")
        if begin > len(data) or end > len(data):
            raise RequestError(
                f"input {quote(name)} (BYTES): element {len(texts)} is longer than its data"
            )
        try:
            texts.append(data[begin:end].decode())
        except UnicodeDecodeError as error:
            raise RequestError(
                f"input {quote(name)} (BYTES): element {len(texts)} is not UTF-8"
            ) from error
        position = end
    return texts


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(f"request: the parameter {name} is true or false")
    return value
