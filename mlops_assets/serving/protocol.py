"""The bodies of the Open Inference Protocol v2, decoded and encoded."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.training import Feature, ModelSignature

OUTPUT = "probability"
MAX_ID_LENGTH = 200


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


def decode_request(body: bytes) -> InferRequest:
    """The request in ``body``. Raises ``RequestError`` (400) saying what is wrong with it."""
    try:
        request = _DECODER.decode(body)
    except RecursionError as error:
        raise RequestError("request: the JSON is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RequestError(f"request: not a v2 inference request: {error}") from error
    for output in request.outputs:
        if output.name != OUTPUT:
            raise RequestError(
                f"request: output {quote(output.name)} does not exist; the one output is '{OUTPUT}'"
            )
    return request


def probabilities(data: list[float]) -> list[OutputTensor]:
    """The outputs that carry one probability per row."""
    return [OutputTensor(OUTPUT, "FP64", [len(data)], data)]


def describe_model(model: str, versions: list[str], signature: ModelSignature) -> dict[str, Any]:
    """The metadata of a model: what to send and what comes back."""
    identity = (signature.entity_key, signature.time)
    inputs = [_tensor(feature.name, datatype(feature)) for feature in signature.features]
    inputs += [_tensor(name, "BYTES") for name in identity if name not in signature.names]
    return {
        "name": model,
        "versions": versions,
        "platform": "sklearn",
        "inputs": inputs,
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
