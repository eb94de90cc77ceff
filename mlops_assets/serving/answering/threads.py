"""Threads a version may occupy: a few of its own, so that a stalled one takes nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")

BUDGET = 2


class BudgetSpentError(RuntimeError):
    """Every thread of the version is held by a call that was given up waiting for."""


class ThreadBudget:
    """Runs blocking calls for an event loop, each in a thread that ends with it, few at once.

    Threads are daemons: one that never comes back keeps no process from ending.
    """

    def __init__(self, size: int = BUDGET) -> None:
        self.size = size
        self.abandoned = 0
        self._free = asyncio.Semaphore(size)

    async def run(self, call: Callable[[], Result], deadline: float | None = None) -> Result:
        """What ``call`` returns or raises; other calls are waited for when all threads are busy.

        With a ``deadline`` in seconds, waiting included, raises ``TimeoutError`` when it has
        passed; the thread stays counted until the call does end. Raises ``BudgetSpentError`` at
        once when every thread is such a one.
        """
        if self.abandoned >= self.size:
            raise BudgetSpentError(f"{self.size} earlier attempts still hold all of its threads")
        async with asyncio.timeout(deadline):
            await self._free.acquire()
            job = _Job(call, asyncio.get_running_loop())
            job.done.add_done_callback(lambda _: self._free.release())
            job.start()
            return await self._wait(job)

    async def _wait(self, job: _Job[Result]) -> Result:
        try:
            return await asyncio.shield(job.done)
        except asyncio.CancelledError:
            if not job.done.done():
                self.abandoned += 1
                job.done.add_done_callback(self._come_back)
            raise

    def _come_back(self, done: asyncio.Future[Result]) -> None:
        self.abandoned -= 1
        done.exception()  # nobody waits for it any more; asyncio would report it as never seen


class _Job(Generic[Result]):
    """One call in a thread of its own, and the future that the loop waits on."""

    def __init__(self, call: Callable[[], Result], loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[Result] = loop.create_future()
        self._call = call
        self._loop = loop

    def start(self) -> None:
        threading.Thread(target=self._run, name="predicting", daemon=True).start()

    def _run(self) -> None:
        try:
            self._report(self.done.set_result, self._call())
        except BaseException as error:  # noqa: BLE001 - whatever it is, somebody waits to hear of it
            plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            self._report(self.done.set_exception, error if plain else RuntimeError(repr(error)))

    def _report(self, tell: Callable[..., None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(tell, outcome)
