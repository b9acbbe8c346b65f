import asyncio

import pytest

from listed import on_builtin
from stentor.db.pool import Database
from stentor.domain.address import email_digest, phone_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import Cause, OptOut
from stentor.optouts.service import add_to_builtin, ensure_builtin, remove_from_builtin
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

ANN, BEN, PHONE = email_digest("ann@example.com"), email_digest("ben@example.com"), phone_digest("+14155550123")


def opt_out(digest: bytes, cause: Cause = "unsubscribe") -> OptOut:
    return OptOut(ChannelKind.SMS if digest == PHONE else ChannelKind.EMAIL, digest, cause)


async def test_an_entry_suppresses_from_its_commit_on_and_until_it_is_lifted(db: Database):
    world = await World.made(db)

    async with db.transaction() as conn:
        added = await add_to_builtin(conn, world.brand_id, [opt_out(ANN), opt_out(PHONE)])
    async with db.read() as conn:
        found = await on_builtin(conn, world.brand_id, [ANN, BEN, PHONE])
    async with db.transaction() as conn:
        lifted = await remove_from_builtin(conn, world.brand_id, [ANN, BEN])
        left = await on_builtin(conn, world.brand_id, [ANN, BEN, PHONE])

    assert (added, found, lifted, left) == (2, {ANN, PHONE}, 1, {PHONE})


async def test_the_first_cause_stays(db: Database):
    world = await World.made(db)

    async with db.transaction() as conn:
        first = await add_to_builtin(conn, world.brand_id, [opt_out(ANN, "complaint"), opt_out(ANN, "bounce")])
        again = await add_to_builtin(conn, world.brand_id, [opt_out(ANN), opt_out(BEN)])
        rows = await conn.execute("SELECT cause FROM optout_recent WHERE digest = %s", [ANN])
        causes = await rows.fetchall()

    assert (first, again, causes) == (1, 1, [("complaint",)])


async def test_of_causes_that_come_together_the_persons_own_is_kept(db: Database):
    world = await World.made(db)

    async with db.transaction() as conn:
        added = await add_to_builtin(conn, world.brand_id, [opt_out(ANN, "bounce"), opt_out(ANN, "complaint")])
        causes = await (await conn.execute("SELECT cause FROM optout_recent")).fetchall()

    assert (added, causes) == (1, [("complaint",)])


async def test_nothing_to_say_is_said_without_a_statement(db: Database):
    world = await World.made(db)

    async with db.transaction() as conn:
        assert await add_to_builtin(conn, world.brand_id, []) == 0
        assert await remove_from_builtin(conn, world.brand_id, []) == 0


async def test_the_list_of_a_brand_is_made_once_and_is_none_of_anothers(db: Database):
    world, other = await World.made(db), await World.made(db, "Other")

    async with db.transaction() as conn:
        await ensure_builtin(conn, world.brand_id)
        await add_to_builtin(conn, world.brand_id, [opt_out(ANN)])
        lists = await (await conn.execute("SELECT FROM optout_list WHERE brand_id = %s", [world.brand_id])).fetchall()

        assert len(lists) == 1
        assert await on_builtin(conn, other.brand_id, [ANN]) == set()
        assert await remove_from_builtin(conn, other.brand_id, [ANN]) == 0
        assert await on_builtin(conn, world.brand_id, [ANN]) == {ANN}


async def test_transactions_with_entries_in_common_do_not_wait_for_each_other_crosswise(db: Database):
    world = await World.made(db)
    entries = [opt_out(email_digest(f"person{number}@example.com")) for number in range(200)]

    async def add(mine: list[OptOut]) -> int:
        async with db.transaction() as conn:
            return await add_to_builtin(conn, world.brand_id, mine)

    added = await asyncio.gather(*(add(entries[::step]) for step in (1, -1, 1, -1)))

    assert sum(added) == 200


async def test_transactions_that_say_more_of_the_same_people_do_not_wait_for_each_other_crosswise_either(db: Database):
    world = await World.made(db)
    digests = [email_digest(f"person{number}@example.com") for number in range(200)]

    async def add(cause: Cause, step: int) -> int:
        async with db.transaction() as conn:
            return await add_to_builtin(conn, world.brand_id, [opt_out(digest, cause) for digest in digests[::step]])

    causes: list[Cause] = ["api", "bounce", "unsubscribe", "bounce"]
    added = await asyncio.gather(*(add(cause, step) for cause, step in zip(causes, (1, -1, 1, -1), strict=True)))

    async with db.read() as conn:
        kept = await (await conn.execute("SELECT cause, count(*) FROM optout_recent GROUP BY 1")).fetchall()
    assert (sum(added), kept) == (200, [("unsubscribe", 200)])
