import pytest

from stentor.db.pool import Database

pytestmark = pytest.mark.anyio


async def test_a_transaction_commits_at_its_end(db: Database):
    async with db.transaction() as conn:
        await conn.execute("CREATE TABLE kept (x int)")

    async with db.read() as conn:
        found = await (await conn.execute("SELECT count(*) FROM kept")).fetchone()

    assert found == (0,)


async def test_each_test_has_its_own_database(db: Database):
    async with db.transaction() as conn:
        await conn.execute("CREATE TABLE kept (x int)")
