"""A closed loop of clients: each sends its next request once the last one is answered."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import cast

HEAD_END = b"\r\n\r\n"
STUCK_SECONDS = 60.0
"""After that a server that does not answer ends the measurement."""


@dataclass(frozen=True)
class Load:
    """What clients saw: answered requests per second, milliseconds of the median and of 99 of 100
    requests, and how many were not answered with status 200."""

    per_second: float
    p50: float
    p99: float
    failed: int


@dataclass(frozen=True)
class Target:
    """Requests to one address: each of ``bodies`` in turn."""

    port: int
    path: str
    bodies: Sequence[bytes]


def put_load(target: Target, *, clients: int, seconds: float) -> Load:
    """Ask for some seconds after a tenth of them unmeasured, over one connection per client."""
    import uvloop

    return uvloop.run(_ask(target, clients, seconds))


async def _ask(target: Target, clients: int, seconds: float) -> Load:
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()
    requests = [head + str(len(body)).encode() + HEAD_END + body for body in target.bodies]
    await _round(target.port, requests, clients, seconds / 10)
    seen = await _round(target.port, requests, clients, seconds)
    milliseconds = sorted(1000 * took for took in seen.took)
    return Load(
        len(seen.took) / seconds,
        statistics.median(milliseconds),
        milliseconds[int(0.99 * (len(milliseconds) - 1))],
        seen.failed,
    )


@dataclass
class _Seen:
    until: float
    took: list[float] = field(default_factory=list)
    failed: int = 0


async def _round(port: int, requests: list[bytes], clients: int, seconds: float) -> _Seen:
    loop = asyncio.get_running_loop()
    seen = _Seen(time.perf_counter() + seconds)
    made = [
        await loop.create_connection(
            lambda at=at: _Client(requests[at % len(requests) :] + requests[:at], seen),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        for at in range(clients)
    ]
    await asyncio.wait_for(
        asyncio.gather(*(client.done for _, client in made)), seconds + STUCK_SECONDS
    )
    return seen


class _Client(asyncio.Protocol):
    """One keep-alive connection. Answers have to say their length, as those measured here do."""

    def __init__(self, requests: list[bytes], seen: _Seen) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = cycle(requests)
        self._seen = seen
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(HEAD_END)
        if not found or len(body) < _content_length(head):
            return
        now = time.perf_counter()
        self._seen.took.append(now - self._sent)
        self._seen.failed += head[9:12] != b"200"
        self._buffer = b""
        if now < self._seen.until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc) if exc else self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"an answer without content-length cannot be measured: {head[:200]!r}")
