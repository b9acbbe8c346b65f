"""Contacts are looked up by their keys also before the database knows anything about the table."""

from datetime import timedelta
from uuid import uuid4

import pytest

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.db.sql import Statement
from stentor.guard.contacts import Sql
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

PEOPLE = 3_000
WAVE = 400


@pytest.mark.parametrize("statement", [Sql.count_contacts, Sql.settle_contacts, Sql.give_back_contacts], ids=repr)
async def test_a_wave_asks_for_its_own_people_in_a_table_that_was_filled_a_moment_ago(
    db: Database, statement: Statement
):
    world = await World.made(db)
    people = await world.people([Someone(f"p{number}") for number in range(PEOPLE)])
    execution = uuid4()
    keys = {
        "brand_ids": [world.brand_id] * WAVE,
        "parts": [int(person.hex[:3], 16) for person in people[:WAVE]],
        "customer_ids": people[:WAVE],
        "execution_ids": [execution] * WAVE,
        "channels": [1] * WAVE,
    }
    rules = {"at_mosts": [3], "pers_s": [60], "masks": [-1], "topics": [None], "campaigns": [None], "tags": [None]}
    flags = {"refused": [False] * WAVE, "doubted": [False] * WAVE, "ages_s": [0.0] * WAVE}
    others = {"channel": 1, "every": False, "shift": timedelta()}
    async with db.transaction() as conn:
        await conn.execute(
            b"""INSERT INTO contact (brand_id, part, customer_id, execution_id, channel, at, campaign_id)
            SELECT brand_id, part, customer_id, %s, 1, statement_timestamp(), %s FROM customer""",
            [execution, uuid4()],
        )
        await go_by_keys(conn)

        cursor = await conn.execute(b"EXPLAIN " + statement.text.encode(), keys | rules | flags | others)
        plan = [line for (line,) in await cursor.fetchall()]

    assert any("Index Cond" in line and "customer_id = w.customer_id" in line for line in plan), plan
