"""Work that is done side by side and comes out one after the other."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_order(calls: Iterable[Callable[[], Awaitable[T]]], *, at_once: int) -> AsyncGenerator[T, None]:
    """What the calls answer, in their order, while `at_once` of them are under way ahead of whoever takes the answers.

    When it is closed, or a call fails, those under way are cancelled and waited for. Raises what the next in order raised.
    """
    running: deque[asyncio.Future[T]] = deque()
    try:
        for call in calls:
            if len(running) == at_once:
                yield await running.popleft()
            running.append(asyncio.ensure_future(call()))
        while running:
            yield await running.popleft()
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
