"""Predictions over HTTP: v2 (JSON or binary) and v1, answered without a framework in between.

Most of what one small request costs is not the prediction, so nothing happens here twice: no
request or response objects, no routing table, decoders and headers made once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.protocol import (
    InferRequest,
    InferResponse,
    decode_request,
    encode,
    input_types,
)
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.web.binary import (
    decode_binary_request,
    encode_binary_response,
    wants_binary,
)
from mlops_assets.serving.web.http import Head, Header, read_body, read_head, send, send_error
from mlops_assets.serving.web.v1 import decode_instances, encode_predictions

PREDICT = ":predict"
FAILED = RequestError("the server failed; its own log has the reason", status=500)
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")

logger = logging.getLogger(__name__)


class Call(NamedTuple):
    """Which predictions a path asks for; ``version`` None leaves it to the routing."""

    protocol: int
    model: str
    version: str | None


class Answers(Protocol):
    """Whoever predicts."""

    async def infer(self, model: str, version: str | None, request: InferRequest) -> InferResponse:
        """The logged answer. Raises ``RequestError`` with the status to answer with."""


def find_call(path: str) -> Call | None:
    """The call that a path is, None for any other path."""
    parts = path.split("/")
    if len(parts) < 4 or parts[0] or parts[2] != "models" or not parts[3]:
        return None
    if parts[1] == "v2" and parts[-1] == "infer":
        if len(parts) == 5:
            return Call(2, parts[3], None)
        if len(parts) == 7 and parts[4] == "versions" and parts[5]:
            return Call(2, parts[3], parts[5])
    if parts[1] == "v1" and len(parts) == 4 and parts[3].endswith(PREDICT):
        model = parts[3].removesuffix(PREDICT)
        return Call(1, model, None) if model else None
    return None


class Inference:
    """Answers calls; ``refused`` is told the status of each that got no prediction."""

    def __init__(
        self,
        catalog: Catalog,
        answers: Answers,
        *,
        max_body_bytes: int,
        max_rows: int,
        refused: Callable[[int], None],
    ) -> None:
        self._catalog = catalog
        self._answers = answers
        self._max_body_bytes = max_body_bytes
        self._max_rows = max_rows
        self._refused = refused

    async def answer(self, call: Call, scope: Scope, receive: Receive, answer: Send) -> None:
        """Answer one call, whatever comes of it."""
        try:
            if scope["method"] != "POST":
                raise RequestError(
                    f"{scope['method']} {scope['path']}: method not allowed", status=405
                )
            body, headers = await self._predict(call, scope, receive)
        except RequestError as error:
            self._refused(error.status)
            await send_error(answer, error, *_explain(error))
        except Exception:  # a caller is told that it failed, people read in the log why
            logger.exception("%s could not be answered", scope["path"])
            self._refused(500)
            await send_error(answer, FAILED)
        else:
            await send(answer, body, 200, headers)

    async def _predict(
        self, call: Call, scope: Scope, receive: Receive
    ) -> tuple[bytes, list[Header]]:
        self._catalog.route(call.model)  # an unknown model is a 404, whatever the body holds
        head = read_head(scope["headers"])
        body = await read_body(receive, head.length, self._max_body_bytes)
        if call.protocol == 1:
            return await self._predict_v1(call.model, body)
        request = _decode(head, body)
        binary = bool(request.parameters or request.outputs) and wants_binary(request)
        response = await self._answers.infer(call.model, call.version, request)
        if not binary:
            return encode(response), [_JSON]
        content, length = encode_binary_response(response)
        return content, [_BINARY, (b"inference-header-content-length", b"%d" % length)]

    async def _predict_v1(self, model: str, body: bytes) -> tuple[bytes, list[Header]]:
        signature = self._catalog.primary(self._catalog.route(model))[1].signature
        request = decode_instances(body, input_types(signature), self._max_rows)
        response = await self._answers.infer(model, None, request)
        identity = (b"x-request-id", response.id.encode())
        return encode_predictions(response), [_JSON, identity]


def _decode(head: Head, body: bytes) -> InferRequest:
    return decode_request(body) if head.json is None else decode_binary_request(body, head.json)


def _explain(error: RequestError) -> list[Header]:
    """Headers that go with a status."""
    return [(b"allow", b"POST")] if error.status == 405 else []
