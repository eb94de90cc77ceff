"""The threads of a version: few, its own, and given back whatever happens in them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mlops_assets.serving.answering.threads import BudgetSpentError, ThreadBudget

ENOUGH = 60.0


class Stall:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self) -> str:
        self.entered.release()
        assert self.released.wait(ENOUGH)
        return "late"


async def abandon(budget: ThreadBudget, stall: Stall) -> None:
    for _ in range(budget.size):
        with pytest.raises(TimeoutError):
            await budget.run(stall, 0.01)


def test_what_a_call_returns_or_raises_comes_back() -> None:
    async def ask() -> tuple[int, str]:
        budget = ThreadBudget()
        with pytest.raises(ZeroDivisionError):
            await budget.run(lambda: 1 // 0)
        return await budget.run(lambda: 7), await budget.run(
            lambda: threading.current_thread().name
        )

    assert asyncio.run(ask()) == (7, "predicting")


@pytest.mark.parametrize("error", [StopIteration("x"), SystemExit(3), KeyboardInterrupt()])
def test_what_no_future_can_carry_comes_back_as_an_error(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__):
        asyncio.run(ThreadBudget().run(fail))


def test_more_calls_than_threads_wait_for_each_other() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)
        with lock:
            running -= 1

    async def ask() -> None:
        budget = ThreadBudget(2)
        await asyncio.gather(*(budget.run(call) for _ in range(12)))

    asyncio.run(ask())
    assert most == 2


def test_a_call_that_is_given_up_stays_counted_until_it_ends() -> None:
    async def ask() -> None:
        budget, stall = ThreadBudget(2), Stall()
        await abandon(budget, stall)
        assert budget.abandoned == 2
        with pytest.raises(BudgetSpentError, match="2 earlier attempts"):
            await budget.run(lambda: 1)
        stall.released.set()
        while budget.abandoned:
            await asyncio.sleep(0.001)
        assert await budget.run(lambda: 1) == 1

    asyncio.run(ask())


def test_a_stalled_version_takes_no_threads_from_another() -> None:
    async def ask() -> int:
        stalled, sound, stall = ThreadBudget(2), ThreadBudget(2), Stall()
        waiting = [asyncio.create_task(stalled.run(stall)) for _ in range(20)]
        assert await asyncio.to_thread(stall.entered.acquire, timeout=ENOUGH)
        answer = await sound.run(lambda: 7)
        stall.released.set()
        assert set(await asyncio.gather(*waiting)) == {"late"}
        return answer

    assert asyncio.run(ask()) == 7


def test_a_call_that_never_got_a_thread_is_not_one_that_was_given_up() -> None:
    async def ask() -> None:
        budget, stall = ThreadBudget(1), Stall()
        first = asyncio.create_task(budget.run(stall))
        assert await asyncio.to_thread(stall.entered.acquire, timeout=ENOUGH)
        with pytest.raises(TimeoutError):
            await budget.run(lambda: 1, 0.01)
        assert budget.abandoned == 0
        stall.released.set()
        assert await first == "late"
        assert await budget.run(lambda: 1) == 1

    asyncio.run(ask())


def test_a_call_that_outlives_its_loop_harms_nobody() -> None:
    stall = Stall()
    with pytest.raises(TimeoutError):
        asyncio.run(ThreadBudget().run(stall, 0.01))
    (left,) = (t for t in threading.enumerate() if t.name == "predicting")
    assert left.daemon
    stall.released.set()
    left.join(ENOUGH)
    assert not left.is_alive()
