import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from listed import Lists
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import NotFound, Unavailable
from stentor.optouts.hashing import EntryForm
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.shared_check import ROUND_APART_S, WAITING_MAX, SharedCheck
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

ANN, BEN = "ann@example.com", "ben@example.com"


class Counted(Database):
    """A database that counts how often somebody comes to it."""

    visits = 0

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        self.visits += 1
        async with super().autocommit() as conn:
            yield conn


async def test_each_caller_gets_their_own_answer_in_few_rounds(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    list_id = await lists.made(world.brand_id, "l")
    await lists.run(list_id, [f"person{number}@example.com" for number in range(0, 1_000, 2)])
    async with Counted(db.dsn, size=2) as counted:
        shared = SharedCheck(counted, LookUp(Indexes(lists.files)))

        answers = await asyncio.gather(
            *(shared.check(world.brand_id, str(list_id), f"person{number}@example.com") for number in range(1_000))
        )

    assert [answer.form for answer in answers] == [EntryForm.ADDRESS, None] * 500
    assert counted.visits < 20


async def test_rounds_on_each_others_heels_keep_their_distance(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    list_id = await lists.made(world.brand_id, "l")
    async with Counted(db.dsn, size=2) as counted:
        shared = SharedCheck(counted, LookUp(Indexes(lists.files)))

        async def ask_again_and_again() -> None:
            for _ in range(50):
                await shared.check(world.brand_id, str(list_id), ANN)

        started_s = time.monotonic()
        await asyncio.gather(*(ask_again_and_again() for _ in range(20)))
        took_s = time.monotonic() - started_s

    # The first two read which list it is, and begin.
    assert counted.visits <= took_s / ROUND_APART_S + 3


async def test_what_is_acknowledged_before_somebody_asks_is_seen_by_them(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    list_id = await lists.made(world.brand_id, "l")
    shared = SharedCheck(db, LookUp(Indexes(lists.files)))
    seen: list[bool] = []

    async def opt_out(number: int) -> None:
        text = f"person{number}@example.com"
        await lists.recent(list_id, text)
        seen.append((await shared.check(world.brand_id, str(list_id), text)).is_listed)

    await asyncio.gather(*(opt_out(number) for number in range(50)))

    assert seen == [True] * 50


async def test_trouble_is_told_to_all_who_share_it_and_to_nobody_else(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    list_id, lost = await lists.made(world.brand_id, "l"), await lists.made(world.brand_id, "lost")
    lists.lose(await lists.run(lost, [ANN]))
    shared = SharedCheck(db, LookUp(Indexes(lists.files)))

    answers = await asyncio.gather(
        *(shared.check(world.brand_id, reference, ANN) for reference in [str(list_id), str(lost), str(uuid4())] * 2),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers[1:3] + answers[4:]] == [Unavailable, NotFound] * 2
    assert [getattr(answer, "form", ANN) for answer in answers[::3]] == [None, None]


async def test_whoever_hangs_up_takes_nobody_with_them_and_too_many_are_sent_away(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    list_id = await lists.made(world.brand_id, "l")
    await lists.recent(list_id, BEN)
    shared = SharedCheck(db, LookUp(Indexes(lists.files)))

    calls = [asyncio.create_task(shared.check(world.brand_id, str(list_id), BEN)) for _ in range(WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await shared.check(world.brand_id, str(list_id), BEN)
    calls[0].cancel()
    calls[-1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in (answers[0], answers[-1])] == [asyncio.CancelledError] * 2
    assert all(getattr(answer, "is_listed", False) for answer in answers[1:-1])
