"""Between the guard's last question and a message's first byte lie at most two seconds."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from stentor.channels.contract import Message, NotSent, Outcome, Wave
from stentor.db.pool import Database
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio


class Hesitant(ScriptedChannel):
    """Starts nothing before its wave is too old; meanwhile something happens."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        await self._meanwhile()
        await eventually(lambda: not wave.may_start(), within_s=4)
        return [NotSent("too old")] * len(messages)


@pytest.mark.fault("F19")
async def test_nothing_starts_two_seconds_after_its_people_were_asked_about(db: Database):
    world = await World.made(db)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())

    await Engine(db, Hesitant(lambda: world.choose("one", 0))).drain()

    assert await world.fates(execution_id) == {"one": "skipped unsubscribed"}


async def test_a_wave_that_took_too_long_to_make_comes_back_smaller_until_it_fits(db: Database):
    world, sizes = await World.made(db), list[int]()
    await world.people([Someone(f"p{number}") for number in range(40)])
    execution_id = await world.execution(await world.publication())

    class Slow(ScriptedChannel):
        async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
            sizes.append(len(messages))
            if len(messages) > 10:
                return [NotSent("too old")] * len(messages)
            return await super().hand_over(wave, messages)

    await Engine(db, Slow()).drain()

    assert sizes[:3] == [40, 20, 10]
    assert set((await world.fates(execution_id)).values()) == {"handed_over"}
