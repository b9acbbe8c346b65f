import asyncio
import time

import pytest

from stentor.api.slow_bodies import Deadlines

pytestmark = pytest.mark.anyio


async def test_what_comes_in_time_is_given():
    async def soon() -> int:
        await asyncio.sleep(0)
        return 7

    assert await Deadlines().until(time.monotonic() + 30, soon()) == 7


async def test_what_does_not_come_is_not_waited_for():
    deadlines = Deadlines()

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await deadlines.until(time.monotonic() + 0.01, asyncio.Event().wait())

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_request_that_is_cancelled_stays_cancelled():
    deadlines = Deadlines()
    waiting = asyncio.create_task(deadlines.until(time.monotonic() + 30, asyncio.Event().wait()))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
