"""The bodies of the Open Inference Protocol v2, decoded and encoded."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.training import Feature, ModelSignature

OUTPUT = "probability"
MAX_ID_LENGTH = 200

Decoded = TypeVar("Decoded")


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """One named column of a request: ``data`` flat or as rows of one value."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """An output the caller asks for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request for predictions."""

    inputs: list[InputTensor]
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID_LENGTH)] | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] = []


class OutputTensor(msgspec.Struct):
    """One named column of a response."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferResponse(msgspec.Struct):
    """Predictions, with the version and (in ``parameters``) the arm that made them."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[OutputTensor]


_DECODER = msgspec.json.Decoder(InferRequest)
_ENCODER = msgspec.json.Encoder()


def decode_request(body: bytes) -> InferRequest:
    """The request in ``body``. Raises ``RequestError`` (400) saying what is wrong with it."""
    request = decode_json(_DECODER, body, "a v2 inference request")
    if b"binary_data_size" in body:
        _refuse_binary_sizes(request.inputs)
    if request.outputs:
        check_outputs(request.outputs)
    return request


def decode_json(decoder: msgspec.json.Decoder[Decoded], body: bytes, meant: str) -> Decoded:
    """What ``body`` holds. Raises ``RequestError`` (400) saying where it is not what is meant."""
    try:
        return decoder.decode(body)
    except RecursionError as error:
        raise RequestError("request: the JSON is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RequestError(f"request: not {meant}: {error}") from error


def encode(answer: Any) -> bytes:
    """An answer as JSON."""
    return _ENCODER.encode(answer)


def check_outputs(outputs: list[RequestedOutput]) -> None:
    """Raise ``RequestError`` (400) for an output that does not exist, or is asked for twice."""
    for output in outputs:
        if output.name != OUTPUT:
            raise RequestError(
                f"request: output {quote(output.name)} does not exist; the one output is '{OUTPUT}'"
            )
    if len(outputs) > 1:
        raise RequestError(
            f"request: output '{OUTPUT}' is asked for {len(outputs)} times, not once"
        )


def _refuse_binary_sizes(inputs: list[InputTensor]) -> None:
    """A tensor that says it is binary, in a body that says it is JSON alone, is half a request."""
    for tensor in inputs:
        if "binary_data_size" in tensor.parameters:
            raise RequestError(
                f"request: input {quote(tensor.name)} has binary_data_size, but the header "
                "Inference-Header-Content-Length is missing; send the length of the JSON in it"
            )


def probabilities(data: list[float]) -> list[OutputTensor]:
    """The outputs that carry one probability per row."""
    return [OutputTensor(OUTPUT, "FP64", [len(data)], data)]


def input_types(signature: ModelSignature) -> dict[str, str]:
    """The datatype of every input: the features in order, then what identifies a row."""
    types = {feature.name: datatype(feature) for feature in signature.features}
    for name in (signature.entity_key, signature.time):
        types.setdefault(name, "BYTES")
    return types


def describe_model(model: str, versions: list[str], signature: ModelSignature) -> dict[str, Any]:
    """The metadata of a model: what to send and what comes back."""
    return {
        "name": model,
        "versions": versions,
        "platform": "sklearn",
        "inputs": [_tensor(name, kind) for name, kind in input_types(signature).items()],
        "outputs": [_tensor(OUTPUT, "FP64")],
    }


def datatype(feature: Feature) -> str:
    """The v2 datatype a feature is described with."""
    return "FP64" if feature.kind == "numeric" else "BYTES"


def quote(text: str) -> str:
    """What a caller sent, short enough to be repeated in an answer."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def _tensor(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}
