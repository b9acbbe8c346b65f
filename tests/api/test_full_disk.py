"""The database has no room left: whoever calls is told to come back, and nothing is half done."""

import pytest

from api_world import World, shop_generator
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio

ORDER = {"topic_key": "news", "context": {"order": "7"}}
RUN = "/event-generators/orders/run"


async def room(db: Database, *, is_left: bool) -> None:
    """Lets the database answer inserts of executions as one does whose disk is full, or no longer."""
    async with db.autocommit() as conn:
        if is_left:
            await conn.execute("DROP TRIGGER full_disk ON execution")
            return
        await conn.execute(
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        await conn.execute("CREATE TRIGGER full_disk AFTER INSERT ON execution EXECUTE FUNCTION full_disk()")


@pytest.mark.fault("F10")
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "order-7"}], ids=["without a key", "under a key"])
async def test_a_full_disk_is_told_of_and_nothing_is_half_done(world: World, db: Database, headers: dict[str, str]):
    await shop_generator(world, "orders", ["sms"], consent_basis="topic", lane="bulk")
    await room(db, is_left=False)

    full = await world.ask("POST", RUN, json=ORDER, headers=headers)
    listed = (await world.ask("GET", "/executions")).json()["data"]
    await room(db, is_left=True)
    again = await world.ask("POST", RUN, json=ORDER, headers=headers)

    assert (full.status_code, int(full.headers["retry-after"]) > 0, listed) == (503, True, [])
    assert "idempotency-replayed" not in again.headers
    assert again.status_code == 202
    assert len((await world.ask("GET", "/executions")).json()["data"]) == 1
