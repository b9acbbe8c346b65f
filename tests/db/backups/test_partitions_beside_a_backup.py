"""A backup reads every table for as long as it takes; nothing waits behind the keeper who waits for it."""

import time
from datetime import timedelta

import pytest

from stentor.db.pool import Database
from stentor.deliver.partitions import make_weeks

pytestmark = pytest.mark.anyio


async def test_partitions_wait_for_a_backup_and_nobody_waits_for_them(db: Database):
    async with Database(db.dsn, size=2, shift=timedelta(days=7)) as next_week:
        async with db.transaction() as dumping:
            # What pg_dump holds until it ends.
            await dumping.execute("LOCK TABLE send IN ACCESS SHARE MODE")
            began_s = time.monotonic()
            meanwhile = await make_weeks(next_week)
            waited_s = time.monotonic() - began_s
        afterwards = await make_weeks(next_week)

    assert (meanwhile, afterwards) == (0, 7)
    assert waited_s < 2


async def test_a_week_that_the_catch_all_holds_something_of_keeps_no_later_week_from_its_partitions(db: Database):
    async with Database(db.dsn, size=1, shift=timedelta(days=14)) as later:
        async with later.autocommit() as conn:
            # What an installation wrote that had been off until after its last partition.
            await conn.execute(
                "INSERT INTO send_context (execution_id, part, customer_id, brand_id, context)"
                " SELECT uuid_floor(statement_timestamp() + interval '21 days'), 0, gen_random_uuid(), gen_random_uuid(), '{}'"
            )
        made = await make_weeks(later)

    # Of three weeks one is there, one is blocked, and the last one is made.
    assert made == 7
