"""A server that leaves without breaking a connection under its caller.

It stops accepting, and says ``connection: close`` with each answer for a moment (the lame-duck
moment), so that callers who keep a connection leave by themselves between two requests. Closing an
idle connection from this side races with the request that is on its way over it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from socket import socket
from typing import Any

import uvicorn

DRAIN_SECONDS = 8
"""How long requests that are under way may go on after SIGTERM."""

LAME_DUCK_SECONDS = 1.5
"""How long connections may stay for a last answer; it ends with the last of them."""

READY_SECONDS = 10.0
"""How long callers wait to connect for a routing to be loaded, before they are answered without."""

_POLL_SECONDS = 0.02

logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """Accepts once ``ready`` says so, and drains before it ends.

    ``accepting`` is called when the first connection can be answered; ``leaving`` when no more
    are accepted: from then on the application has to end each connection with its answer.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[], bool],
        accepting: Callable[[], None],
        leaving: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._accepting = accepting
        self._leaving = leaving

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets=[])
        await self._wait_until_ready()
        loop = asyncio.get_running_loop()
        backlog = self.config.backlog
        if self.should_exit:
            return
        for listener in sockets or []:
            server = await loop.create_server(self._protocol, sock=listener, backlog=backlog)
            self.servers.append(server)
        self._accepting()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._leaving()
        self._end_after_this_answer()
        await self._wait_until_left(LAME_DUCK_SECONDS)
        await super().shutdown(sockets)

    async def _wait_until_ready(self) -> None:
        """Requests wait in the backlog meanwhile, as none could be answered."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready() and not self.should_exit:
            if time.monotonic() > deadline:
                logger.warning("no routing after %.0f s, accepting all the same", READY_SECONDS)
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes of each connection."""
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    def _end_after_this_answer(self) -> None:
        """The requests that were begun before may not know of ``leaving``."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                connection.shutdown()

    async def _wait_until_left(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
