import asyncio

import pytest

from stentor.db.remembered import Remembered
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Source:
    """Answers with how often it was asked, once its gate is open."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def load(self, key: str) -> str:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.broken:
            raise OSError("the source is broken")
        return f"{key} {number}"


async def test_a_value_is_loaded_once_while_it_is_fresh():
    source = Source()
    remembered = Remembered(source.load, keep_s=60, entries_max=10)

    assert [await remembered.get("a"), await remembered.get("a"), await remembered.get("b")] == ["a 1", "a 1", "b 2"]


async def test_a_value_that_is_too_old_is_loaded_anew():
    source = Source()
    remembered = Remembered(source.load, keep_s=0, entries_max=10)

    assert [await remembered.get("a"), await remembered.get("a")] == ["a 1", "a 2"]


async def test_callers_who_miss_at_once_share_one_load():
    source = Source()
    source.gate.clear()
    remembered = Remembered(source.load, keep_s=60, entries_max=10)
    callers = [asyncio.ensure_future(remembered.get("a")) for _ in range(50)]
    await eventually(lambda: source.asked > 0)

    source.gate.set()

    assert await asyncio.gather(*callers) == ["a 1"] * 50


async def test_a_load_that_fails_fails_all_who_wait_and_is_forgotten():
    source = Source()
    source.gate.clear()
    source.broken = True
    remembered = Remembered(source.load, keep_s=60, entries_max=10)
    callers = [asyncio.ensure_future(remembered.get("a")) for _ in range(3)]
    await eventually(lambda: source.asked > 0)

    source.gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    source.broken = False

    assert [str(outcome) for outcome in outcomes] == ["the source is broken"] * 3
    assert await remembered.get("a") == "a 2"


async def test_a_caller_who_hangs_up_while_loading_does_not_take_the_others_with_him():
    source = Source()
    source.gate.clear()
    remembered = Remembered(source.load, keep_s=60, entries_max=10)
    first, *others = [asyncio.ensure_future(remembered.get("a")) for _ in range(5)]
    await eventually(lambda: source.asked > 0)

    first.cancel()
    source.gate.set()

    assert await asyncio.gather(*others) == ["a 2"] * 4


async def test_no_more_entries_are_kept_than_allowed_and_the_last_loaded_stay():
    source = Source()
    remembered = Remembered(source.load, keep_s=60, entries_max=2)
    for key in ("a", "b", "a", "c"):
        await remembered.get(key)

    assert [await remembered.get(key) for key in ("b", "c", "a")] == ["b 2", "c 3", "a 4"]
