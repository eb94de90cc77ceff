"""Copies of answered requests for a shadow: few at once, and nobody waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from mlops_assets.serving.answering.attempts import Attempt

WAITING = 64
"""Copies that may wait, of all models together; a request is about as large as its body."""


class Mirroring:
    """Hands copies to ``shadow`` one after the other per model; belongs to the event loop.

    What finds no room is dropped and counted in ``dropped``.
    """

    def __init__(
        self, shadow: Callable[[Attempt], Awaitable[None]], *, capacity: int = WAITING
    ) -> None:
        self.dropped = 0
        self._shadow = shadow
        self._capacity = capacity
        self._waiting: dict[str, deque[Attempt]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """Copies that nobody has begun with."""
        return sum(len(copies) for copies in self._waiting.values())

    def offer(self, copy: Attempt) -> None:
        """Take the copy for later, or drop it when too many wait."""
        if self.waiting >= self._capacity:
            self.dropped += 1
            return
        self._waiting.setdefault(copy.model, deque()).append(copy)
        if copy.model not in self._workers:
            self._workers[copy.model] = asyncio.create_task(self._work(copy.model))

    async def close(self, seconds: float = 1.0) -> None:
        """Go on with what waits for so long at most, then drop the rest."""
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=seconds)
        for worker in workers:
            worker.cancel()
        self.dropped += self.waiting
        self._waiting.clear()

    async def _work(self, model: str) -> None:
        """Until none of the model's copies waits; between two of them requests get their turn."""
        copies = self._waiting[model]
        try:
            while copies:
                await self._shadow(copies.popleft())
                await asyncio.sleep(0)
        finally:
            del self._workers[model]
