"""Copies for shadows: bounded, in order, and nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.answering.attempts import Attempt
from mlops_assets.serving.answering.mirroring import Mirroring
from mlops_assets.serving.answering.rows import Rows

Work = Callable[[Attempt], Coroutine[Any, Any, None]]


def copy(number: int, model: str = "delays") -> Attempt:
    version: Any = None
    return Attempt(model, f"{number}", "", Rows({}, 1), version, "shadow", False, f"{number}")


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 6))
def test_every_copy_is_answered_or_counted_as_dropped(bursts: list[int], capacity: int) -> None:
    answered: list[int] = []

    async def answer(attempt: Attempt) -> None:
        answered.append(int(attempt.request_id))

    async def offer_all() -> Mirroring:
        mirroring, number = Mirroring(answer, capacity=capacity), 0
        for burst in bursts:
            for _ in range(burst):
                mirroring.offer(copy(number))
                assert mirroring.waiting <= capacity
                number += 1
            await asyncio.sleep(0)
        await mirroring.close(60)
        return mirroring

    mirroring = asyncio.run(offer_all())
    assert answered == sorted(answered)
    assert len(answered) + mirroring.dropped == sum(bursts)
    assert mirroring.waiting == 0


def test_no_more_wait_than_there_is_room_for_and_the_rest_is_counted() -> None:
    async def offer_all() -> tuple[int, int, list[str]]:
        entered, released, answered = asyncio.Event(), asyncio.Event(), []

        async def stall(attempt: Attempt) -> None:
            entered.set()
            await released.wait()
            answered.append(attempt.request_id)

        mirroring = Mirroring(stall)
        mirroring.offer(copy(0))
        await entered.wait()
        for number in range(1, 100):
            mirroring.offer(copy(number))
        waiting, dropped = mirroring.waiting, mirroring.dropped
        released.set()
        await mirroring.close(60)
        return waiting, dropped, answered

    waiting, dropped, answered = asyncio.run(offer_all())
    assert (waiting, dropped) == (64, 35)
    assert answered == [f"{number}" for number in range(65)]


def test_a_stalled_shadow_holds_up_no_other_models() -> None:
    async def offer_both() -> None:
        answered = asyncio.Event()

        async def answer(attempt: Attempt) -> None:
            if attempt.model == "delays":
                await asyncio.Event().wait()
            answered.set()

        mirroring = Mirroring(answer)
        mirroring.offer(copy(0, "delays"))
        mirroring.offer(copy(1, "fraud"))
        await answered.wait()
        await mirroring.close(0.01)

    asyncio.run(offer_both())


@pytest.mark.parametrize("waiting", [0, 1, 5])
def test_what_is_not_done_at_the_end_is_dropped(waiting: int) -> None:
    async def end() -> tuple[int, int]:
        begun = 0

        async def stall(_: Attempt) -> None:
            nonlocal begun
            begun += 1
            await asyncio.Event().wait()

        mirroring = Mirroring(stall)
        for number in range(waiting):
            mirroring.offer(copy(number))
        await mirroring.close(0.01)
        assert len(asyncio.all_tasks()) <= 2
        return begun, mirroring.dropped

    begun, dropped = asyncio.run(end())
    assert (begun, dropped) == (min(waiting, 1), max(waiting - 1, 0))


def test_requests_get_their_turn_between_two_copies() -> None:
    order: list[str] = []

    async def take_turns() -> None:
        async def answer(_: Attempt) -> None:
            order.append("copy")

        async def request() -> None:
            for _ in range(3):
                order.append("request")
                await asyncio.sleep(0)

        mirroring = Mirroring(answer)
        for number in range(3):
            mirroring.offer(copy(number))
        await request()
        await mirroring.close(60)

    asyncio.run(take_turns())
    assert order == ["request", "copy"] * 3
