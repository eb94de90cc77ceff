"""Requests and answers as ASGI messages, with the limits every body is under."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.types import Receive, Send

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.protocol import encode, quote

BODY_SECONDS = 30.0
"""How long a caller may take to send a body whose first part came."""

_JSON = (b"content-type", b"application/json")
_CONTENT = {
    b"content-length",
    b"content-type",
    b"content-encoding",
    b"inference-header-content-length",
}

Header = tuple[bytes, bytes]


class Head(NamedTuple):
    """What the headers say of the body: its ``length`` as declared, and, of a v2 request with
    binary tensors, the length of its JSON in ``json``."""

    length: bytes | None
    json: bytes | None


def read_head(headers: Iterable[Header]) -> Head:
    """The headers that describe the body.

    Raises ``RequestError`` (415) for a type or encoding that is not taken.
    """
    found = {name: value for name, value in headers if name in _CONTENT}
    kind = found.get(b"content-type", b"application/json")
    json_length = found.get(b"inference-header-content-length")
    if kind != b"application/json":
        _check_type(kind, binary=json_length is not None)
    encoding = found.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        shown = quote(encoding.decode("latin-1"))
        raise RequestError(f"the body is encoded as {shown}; send it as it is", status=415)
    return Head(found.get(b"content-length"), json_length)


async def read_body(receive: Receive, length: bytes | None, limit: int) -> bytes:
    """The body, read no further than ``limit`` bytes whatever its declared length.

    Raises ``RequestError``: 413 for a longer one, 408 for one that takes too long, 400 when the
    caller left before its end.
    """
    if length is not None and length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_long(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_long(limit)
        return body
    try:
        # Not around the first message: a timer costs more than all the rest of a small request.
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_rest(message, receive, limit)
    except TimeoutError as error:
        raise RequestError(
            f"the body did not come within {BODY_SECONDS:.0f} seconds", status=408
        ) from error


async def send(
    answer: Send, body: bytes, status: int = 200, headers: Iterable[Header] = (_JSON,)
) -> None:
    """Send an answer as a whole."""
    length = (b"content-length", b"%d" % len(body))
    await answer({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await answer({"type": "http.response.body", "body": body})


async def send_error(answer: Send, error: RequestError, *headers: Header) -> None:
    """Send an error with its status and reason."""
    await send(answer, encode({"error": str(error)}), error.status, (_JSON, *headers))


async def _read_rest(message: Any, receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_long(limit)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()
    raise RequestError("the caller left before the end of the body")


def _too_long(limit: int) -> RequestError:
    return RequestError(f"the body is longer than {limit} bytes, send fewer rows", status=413)


def _check_type(kind: bytes, *, binary: bool) -> None:
    """JSON in UTF-8, or bytes behind a JSON of a given length."""
    media, _, parameters = kind.decode("latin-1").lower().partition(";")
    plain = parameters.replace(" ", "").replace('"', "")
    if media.strip() == "application/octet-stream" and binary:
        return
    if media.strip() != "application/json" or plain not in ("", "charset=utf-8", "charset=utf8"):
        raise RequestError(
            f"the body is of type {quote(kind.decode('latin-1'))}, expected application/json in "
            "UTF-8; application/octet-stream needs the header Inference-Header-Content-Length",
            status=415,
        )
