"""Waiting for what other processes do, without sleeping for a guessed while."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_EVERY_S = 0.02


async def eventually(check: Callable[[], T | Awaitable[T | None] | None], within_s: float = 10.0) -> T:
    """The first true value that `check` returns, sync or async; an AssertionError in it means "not yet".

    Raises AssertionError with what was seen last when nothing true came within `within_s` seconds.
    """
    until = time.monotonic() + within_s
    while True:
        try:
            found = check()
            seen = await found if inspect.isawaitable(found) else found
            if seen:
                return seen
            last: object = seen
        except AssertionError as error:
            last = error
        if time.monotonic() > until:
            raise AssertionError(f"Not within {within_s:g} s; seen last: {last!r}")
        await asyncio.sleep(_LOOK_EVERY_S)
