"""Turns at what is heavy: few at once, fewer for one client, and nobody waits for ever."""

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from stentor.api.wire.classic.turns import Turns
from stentor.errors import Unavailable

pytestmark = pytest.mark.anyio


async def test_one_client_has_few_turns_and_leaves_others_theirs() -> None:
    turns = Turns("lists", at_once=3, of_one=2, wait_s=0.05)
    greedy, other = uuid4(), uuid4()

    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(turns.turn(greedy))
        with pytest.raises(Unavailable, match="Other lists are under way"):
            await held.enter_async_context(turns.turn(greedy))
        await held.enter_async_context(turns.turn(other))
        with pytest.raises(Unavailable):
            await held.enter_async_context(turns.turn(other))

    async with turns.turn(greedy):
        pass


async def test_whoever_waits_gets_the_turn_that_is_left() -> None:
    turns = Turns("lists", at_once=2, of_one=1, wait_s=10)
    client, order = uuid4(), list[str]()

    async def second() -> None:
        async with turns.turn(client):
            order.append("second")

    async with turns.turn(client):
        waiting = asyncio.ensure_future(second())
        await asyncio.sleep(0)
        order.append("first")
    await waiting

    assert order == ["first", "second"]
