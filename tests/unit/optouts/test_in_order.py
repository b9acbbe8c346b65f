"""Things done side by side are handed over in order, and what goes wrong is told once."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stentor.optouts.assembling import InOrder

pytestmark = pytest.mark.anyio


async def test_what_is_ready_sooner_waits_for_what_was_begun_before():
    first_may_end = asyncio.Event()
    done: list[int] = []

    async def note(number: int) -> None:
        done.append(number)

    def work(number: int) -> Callable[[], Awaitable[int]]:
        async def numbered() -> int:
            if number == 0:
                await first_may_end.wait()
            else:
                first_may_end.set()
            return number

        return numbered

    async with InOrder(3, note) as in_order:
        for number in range(5):
            await in_order.begin(work(number))

    assert done == [0, 1, 2, 3, 4]


async def test_of_what_goes_wrong_one_error_is_told_and_no_other_unheard():
    async def note(_: int) -> None:
        pass

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def fail_to_stop() -> int:
        try:
            return int(await asyncio.Event().wait())
        finally:
            raise RuntimeError("stuck")

    async def fail_together() -> None:
        async with InOrder(3, note) as in_order:
            for work in (fail, fail, fail_to_stop):
                await in_order.begin(work)

    with unheard() as errors, pytest.raises(ValueError, match="no"):
        await fail_together()

    assert errors == []


@contextmanager
def unheard() -> Iterator[list[dict[str, Any]]]:
    """Errors of tasks that nobody asked what became of them; whole at the end of the block."""
    loop, errors = asyncio.get_running_loop(), list[dict[str, Any]]()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    try:
        yield errors
        gc.collect()
    finally:
        loop.set_exception_handler(before)
