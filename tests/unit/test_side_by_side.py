"""Work side by side: its answers come in order, no more of it is under way than may be, and none is left behind."""

import asyncio
import functools

import pytest

from stentor.integrations.pulls.in_order import in_order

pytestmark = pytest.mark.anyio


class Work:
    """Calls that answer when they are told to, and say which of them are under way."""

    def __init__(self) -> None:
        self.under_way: set[int] = set()
        self.done = [asyncio.Event() for _ in range(6)]

    async def call(self, number: int) -> int:
        self.under_way.add(number)
        try:
            await self.done[number].wait()
        finally:
            self.under_way.discard(number)
        if number == 4:
            raise ValueError("the fifth fails")
        return number

    def calls(self):
        return (functools.partial(self.call, number) for number in range(6))


async def test_answers_come_in_order_with_so_many_under_way_and_a_failure_at_its_place():
    work = Work()
    answers = in_order(work.calls(), at_once=2)
    first = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.under_way == {0, 1}
    for event in work.done:
        event.set()

    assert [await first, *[await anext(answers) for _ in range(3)]] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="the fifth fails"):
        await anext(answers)
    assert work.under_way == set()


async def test_what_is_under_way_when_it_is_closed_is_ended():
    work = Work()
    answers = in_order(work.calls(), at_once=3)
    work.done[0].set()
    assert await anext(answers) == 0
    assert work.under_way == {1, 2}

    await answers.aclose()

    assert work.under_way == set()
