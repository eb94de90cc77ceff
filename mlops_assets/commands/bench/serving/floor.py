"""The floor: the same HTTP stack reading a body and answering a constant."""

from __future__ import annotations

import sys
from typing import Any

ANSWER = (
    b'{"model_name":"m","model_version":"v1","id":"0","parameters":{},"outputs":'
    b'[{"name":"probability","datatype":"FP64","shape":[1],"data":[0.5]}]}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application of one answer."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


def serve(port: str) -> None:
    """Serve with the settings of the model server."""
    import uvicorn

    uvicorn.run(
        answer, port=int(port), access_log=False, log_level="warning", ws="none", lifespan="off"
    )


if __name__ == "__main__":
    serve(*sys.argv[1:])
