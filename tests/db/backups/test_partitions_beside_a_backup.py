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

    assert (meanwhile, afterwards) == (0, 3)
    assert waited_s < 2
