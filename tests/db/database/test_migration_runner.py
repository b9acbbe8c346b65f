import asyncio
from pathlib import Path

import psycopg
import pytest

from stentor.db.connection import Connection
from stentor.db.migrate import MigrationFailed, MigrationRefused, migrate, read_migrations, status

pytestmark = pytest.mark.anyio


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_things.sql").write_text("CREATE TABLE thing (x int);\nINSERT INTO thing VALUES (1);\n")
    (tmp_path / "0002_more.sql").write_text("-- 100 % :odd 'text'\nINSERT INTO thing VALUES (2);\n")
    return tmp_path


async def things(dsn: str) -> list[int]:
    async with await Connection.connect(dsn) as conn:
        return [row[0] for row in await (await conn.execute("SELECT x FROM thing ORDER BY x")).fetchall()]


@pytest.mark.fault("F22")
async def test_files_run_in_order_and_once(fresh_database: str, files: Path):
    first = await migrate(fresh_database, directory=files)
    second = await migrate(fresh_database, directory=files)

    assert [migration.file for migration in first] == ["0001_things.sql", "0002_more.sql"]
    assert second == []
    assert await things(fresh_database) == [1, 2]


async def test_status_tells_what_ran_and_what_did_not(fresh_database: str, files: Path):
    before = await status(fresh_database, directory=files)
    await migrate(fresh_database, directory=files)
    (files / "0003_last.sql").write_text("SELECT 1;")

    after = await status(fresh_database, directory=files)

    assert (len(before.applied), len(before.pending)) == (0, 2)
    assert [ran.name for ran in after.applied] == ["things", "more"]
    assert [migration.name for migration in after.pending] == ["last"]


async def test_several_at_once_take_turns(fresh_database: str, files: Path):
    runs = await asyncio.gather(*(migrate(fresh_database, directory=files) for _ in range(4)))

    assert sorted(migration.number for run in runs for migration in run) == [1, 2]
    assert await things(fresh_database) == [1, 2]


@pytest.mark.fault("F22")
async def test_a_failing_file_is_undone_whole_and_named_with_its_line(fresh_database: str, files: Path):
    (files / "0003_wrong.sql").write_text("INSERT INTO thing VALUES (3);\n\nINSERT INTO nothing VALUES (1);\n")

    with pytest.raises(MigrationFailed, match=r"0003_wrong\.sql, line 3, was rolled back: .*nothing.* does not exist"):
        await migrate(fresh_database, directory=files)

    assert await things(fresh_database) == [1, 2]
    assert len((await status(fresh_database, directory=files)).applied) == 2


@pytest.mark.fault("F22")
async def test_a_schema_newer_than_the_code_is_refused(fresh_database: str, files: Path):
    await migrate(fresh_database, directory=files)
    (files / "0002_more.sql").unlink()

    with pytest.raises(MigrationRefused, match=r"at migration 0002 and this program knows 0001 at most"):
        await migrate(fresh_database, directory=files)


async def test_a_file_that_changed_after_it_ran_is_refused(fresh_database: str, files: Path):
    await migrate(fresh_database, directory=files)
    (files / "0001_things.sql").write_text("CREATE TABLE thing (x bigint);")

    with pytest.raises(MigrationRefused, match=r"0001_things\.sql is not what ran on"):
        await migrate(fresh_database, directory=files)


@pytest.mark.parametrize(
    ("name", "refusal"), [("0004_gap.sql", "0004_gap.sql stands where number 0003 should"), ("fix.sql", "NNNN_")]
)
def test_names_that_do_not_follow_are_refused(files: Path, name: str, refusal: str):
    (files / name).write_text("SELECT 1;")

    with pytest.raises(MigrationRefused, match=refusal):
        read_migrations(files)


@pytest.mark.fault("F22")
async def test_a_lock_that_others_hold_is_given_up_on(fresh_database: str, files: Path):
    await migrate(fresh_database, directory=files)
    (files / "0003_locked.sql").write_text("SET LOCAL lock_timeout = '50ms'; ALTER TABLE thing ADD COLUMN y int;")
    async with await Connection.connect(fresh_database) as holder:
        await holder.execute("SELECT * FROM thing")

        with pytest.raises(MigrationFailed, match="for a lock that others hold, and was rolled back"):
            await migrate(fresh_database, directory=files)

    assert [migration.number for migration in await migrate(fresh_database, directory=files)] == [3]


@pytest.mark.fault("F22")
async def test_a_file_runs_under_time_limits(fresh_database: str, tmp_path: Path):
    (tmp_path / "0001_limits.sql").write_text(
        "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS a, current_setting('statement_timeout') AS b"
    )

    await migrate(fresh_database, directory=tmp_path)

    async with await psycopg.AsyncConnection.connect(fresh_database) as conn:
        assert await (await conn.execute("SELECT * FROM seen")).fetchone() == ("5s", "1h")


async def test_the_schema_of_all_migrations_is_up_to_date(database_dsn: str):
    found = await status(database_dsn)

    assert [ran.number for ran in found.applied] == [migration.number for migration in read_migrations()]
    assert found.pending == []
