"""Runs and their steps are kept, forgotten and dropped so that no step says nothing and no sum misses anybody."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from stentor.channels.contract import Accepted, InDoubt, Message, Outcome
from stentor.db.pool import Database
from stentor.errors import Conflict
from stentor.executions.forgetting import PayloadKeeper
from stentor.executions.history import HISTORY_DAYS, drop_history, drop_history_of
from stentor.executions.remedies import carry_out_next
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from step_world import Walk
from trigger_world import rows

pytestmark = pytest.mark.anyio

DAYS = 30


@pytest.fixture
async def later(db: Database) -> AsyncIterator[Database]:
    """The same database, a day after the things of now have become too old."""
    async with Database(db.dsn, size=4, shift=timedelta(days=DAYS + 1)) as moved:
        yield moved


async def walked(db: Database, *, in_doubt: int) -> tuple[Walk, UUID, UUID]:
    """A run for two people and the execution of its only step, both over; of "doubtful" the message of that step is in doubt."""
    at_step = 0

    def answer(message: Message) -> Outcome:
        is_lost = at_step == in_doubt and message.address.startswith("doubtful")
        return InDoubt("lost") if is_lost else Accepted()

    walk = Walk(await World.made(db), Engine(db, ScriptedChannel(answer)))
    await walk.world.people([Someone("one"), Someone("doubtful")])
    publication_id = await walk.world.publication(steps=[Following(60)])
    run = await walk.world.execution(publication_id, context={"match": "Reds"})
    await walk.on()
    at_step = 1
    await walk.after(minutes=10)
    await walk.keeper.end_over()
    ((step,),) = await rows(db, "SELECT id FROM execution WHERE parent_id IS NOT NULL AND ended_at IS NOT NULL")
    assert await rows(db, "SELECT ended_at IS NOT NULL FROM stepping") == [(True,)]
    return walk, run, step


async def settle(walk: Walk, execution_id: UUID) -> None:
    """Somebody says that what is in doubt did not arrive, and everything ends again."""
    await walk.engine.executions.remedy(walk.world.brand_id, execution_id, "settle_as_failed", asked_by="key 1")
    while await carry_out_next(walk.db):
        continue
    await walk.on()
    await walk.after(minutes=10)
    await walk.keeper.end_over()


async def test_a_run_keeps_its_words_while_a_step_of_it_is_in_doubt(db: Database, later: Database):
    walk, run, step = await walked(db, in_doubt=1)
    brand_id = walk.world.brand_id
    kept = [await PayloadKeeper(later).forget(brand_id, days=DAYS), await drop_history_of(later, brand_id, days=DAYS)]

    assert kept == [0, 0]
    assert await rows(db, "SELECT context FROM execution WHERE id = %s", run) == [({"match": "Reds"},)]
    await settle(walk, step)
    await PayloadKeeper(later).forget(brand_id, days=DAYS)
    assert await rows(db, "SELECT count(*) FROM execution WHERE forgotten_at IS NOT NULL AND context = '{}'") == [(2,)]


@pytest.mark.parametrize("gone", ["UPDATE execution SET forgotten_at = now()", "DELETE FROM execution"])
async def test_a_step_is_not_sent_again_once_the_words_of_its_run_are_gone(db: Database, gone: str):
    walk, run, step = await walked(db, in_doubt=1)
    await walk.run(f"{gone} WHERE id = %s", [run])

    with pytest.raises(Conflict, match="forgotten"):
        await walk.engine.executions.remedy(walk.world.brand_id, step, "resend", asked_by="key 1")
    await settle(walk, step)
    assert set((await walk.world.fates(step)).values()) == {"handed_over", "failed in_doubt"}


async def test_steps_are_dropped_after_their_run_whose_sums_count_them(db: Database, later: Database):
    walk, run, step = await walked(db, in_doubt=0)
    brand_id = walk.world.brand_id

    assert await drop_history_of(later, brand_id, days=DAYS) == 0
    (told,) = (await walk.steps(run)).steps
    assert (told.handed_over, told.went_on) == (1, 1)
    await settle(walk, run)
    await drop_history_of(later, brand_id, days=DAYS)
    assert await rows(db, "SELECT id FROM execution") == [(step,)]
    async with Database(db.dsn, size=2, shift=timedelta(days=HISTORY_DAYS + 10)) as much_later:
        await drop_history(much_later, days=HISTORY_DAYS)
    assert await rows(db, "SELECT id FROM execution") == []
