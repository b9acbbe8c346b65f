import asyncio
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pretended_pooler import pretended_pooler
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.testing.databases import TestDatabases
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio


async def one(conn: psycopg.AsyncConnection, query: str) -> object:
    row = await (await conn.execute(query.encode())).fetchone()
    return row and row[0]


async def test_a_transaction_commits_at_its_end_and_is_undone_by_an_error(db: Database):
    async with db.transaction() as conn:
        await conn.execute("CREATE TABLE kept (x int)")
        await conn.execute("INSERT INTO kept VALUES (1)")

    with pytest.raises(psycopg.errors.DivisionByZero):
        async with db.transaction() as conn:
            await conn.execute("INSERT INTO kept VALUES (2); SELECT 1 / 0")

    async with db.read() as conn:
        assert await one(conn, "SELECT array_agg(x) FROM kept") == [1]


async def test_what_is_done_as_one_is_stored_together_or_not_at_all(db: Database):
    async with db.autocommit() as conn:
        await conn.execute("CREATE TABLE kept (x int)")

    async def keep(number: object) -> None:
        async with db.transaction() as conn:
            await conn.execute("INSERT INTO kept VALUES (%s)", [number])

    async def keep_and_fail() -> None:
        async with db.as_one():
            await keep(3)
            await keep("three")

    async with db.as_one():
        await keep(1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with db.transaction() as conn:
                await conn.execute("INSERT INTO kept VALUES (2); SELECT 1 / 0")
        async with db.read() as conn:
            assert await one(conn, "SELECT array_agg(x) FROM kept") == [1]
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await keep_and_fail()

    async with db.read() as conn:
        assert await one(conn, "SELECT array_agg(x) FROM kept") == [1]


async def test_what_another_task_does_meanwhile_is_its_own(db: Database):
    async def pid() -> object:
        async with db.read() as conn:
            return await one(conn, "SELECT pg_backend_pid()")

    async with db.as_one() as conn:
        assert await pid() == await one(conn, "SELECT pg_backend_pid()")
        assert await asyncio.create_task(pid()) != await one(conn, "SELECT pg_backend_pid()")


async def test_a_process_says_how_long_it_may_stand_still(databases: TestDatabases, database_dsn: str):
    # Through a pooler a session is nobody's: there it is the operator's to set.
    dsn = databases.past_pooler(database_dsn)
    async with Database(dsn, size=1, stands_still=timedelta(seconds=10)) as opened, opened.read() as conn:
        assert await one(conn, "SHOW idle_in_transaction_session_timeout") == "10s"


async def test_transactions_are_read_committed_whatever_the_server_prefers(db: Database, database_dsn: str):
    name = conninfo_to_dict(database_dsn)["dbname"]
    async with db.read() as conn:
        await conn.execute(f"ALTER DATABASE {name} SET default_transaction_isolation TO serializable".encode())

    async with Database(database_dsn, size=1) as opened, opened.transaction() as conn:
        assert await one(conn, "SHOW transaction_isolation") == "read committed"


async def test_a_statement_over_its_time_is_unavailability_and_leaves_nothing_behind(db: Database):
    with pytest.raises(Unavailable, match="statement timeout"):
        async with db.transaction(statement_timeout=timedelta(milliseconds=30)) as conn:
            await conn.execute("SELECT pg_sleep(5)")

    async with db.transaction() as conn:
        assert await one(conn, "SHOW statement_timeout") == "0"


async def test_reading_under_a_time_limit_cannot_write(db: Database):
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        async with db.read(statement_timeout=timedelta(seconds=5)) as conn:
            await conn.execute("CREATE TABLE written (x int)")


async def test_a_mistake_in_a_statement_keeps_its_own_error(db: Database):
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with db.transaction() as conn:
            await conn.execute("SELECT 1 / 0")


async def test_a_caller_waits_for_a_connection_no_longer_than_its_patience(database_dsn: str):
    async with Database(database_dsn, size=1, patience=timedelta(seconds=0.2)) as db, db.read():
        started = time.monotonic()
        with pytest.raises(Unavailable):
            async with db.transaction():
                pass

    assert time.monotonic() - started < 2


@pytest.mark.fault("F3")
async def test_connections_that_the_server_closed_are_replaced_unseen(db: Database, fresh_database: str):
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(occupy(db))
    async with await psycopg.AsyncConnection.connect(fresh_database, autocommit=True) as admin:
        name = conninfo_to_dict(db.dsn)["dbname"]
        killed = await admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        # Clients of a pooler, who prepare nothing, share its connections.
        assert killed.rowcount >= (5 if db.prepared else 1)

    for _ in range(10):
        async with db.transaction() as conn:
            assert await one(conn, "SELECT 1") == 1


async def occupy(db: Database) -> None:
    async with db.read() as conn:
        await conn.execute("SELECT pg_sleep(0.05)")


@pytest.mark.fault("F3")
async def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path):
    nowhere = Database(make_conninfo("", host=str(tmp_path), dbname="x", user="x"), size=1)

    with pytest.raises(Unavailable, match="No such file or directory"):
        await nowhere.open()


async def test_a_closed_pool_says_so(database_dsn: str):
    db = Database(database_dsn, size=1)
    await db.open()
    await db.aclose()

    with pytest.raises(Unavailable, match="closing"):
        async with db.transaction():
            pass


async def test_its_connections_carry_the_shift(database_dsn: str):
    shift = timedelta(days=1)

    async with Database(database_dsn, size=1, shift=shift) as db, db.transaction() as conn:
        assert conn.shift == shift


@pytest.mark.fault("F6")
async def test_prepared_statements_are_forgone_behind_a_pooler(database_dsn: str, tmp_path: Path):
    async with pretended_pooler(database_dsn, tmp_path) as dsn, Database(dsn, size=1) as behind:
        assert not behind.prepared
        async with behind.read() as conn:
            assert conn.prepare_threshold is None


async def test_a_transaction_that_nobody_goes_on_with_is_ended_and_called_an_outage(db: Database):
    with pytest.raises(Unavailable):
        await stand_still(db)


async def stand_still(db: Database) -> None:
    async with db.transaction() as conn, db.autocommit() as other:
        await conn.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
        pid = await one(conn, "SELECT pg_backend_pid()")
        await eventually(lambda: is_gone(other, pid))
        await conn.execute("SELECT 1")


async def is_gone(other: psycopg.AsyncConnection, pid: object) -> bool:
    cursor = await other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid])
    return not await cursor.fetchall()
