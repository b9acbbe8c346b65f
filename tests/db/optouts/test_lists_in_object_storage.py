"""Lists whose files lie in an S3 storage: the flow asks them, and compaction merges them, as those in a directory."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from optout_files import FiledList
from s3_server import BUCKET, S3Server, s3_server
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.optouts.compaction.choosing import SMALL_SEGMENTS_MAX
from stentor.optouts.compaction.clearing import delete_replaced, sweep_strangers
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.object_storage import ObjectStorage
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World

pytestmark = pytest.mark.anyio

FILES = SMALL_SEGMENTS_MAX + 1
MANY = [f"p{number}@example.com" for number in range(2 * FILES)]
LATER = timedelta(hours=2)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    async with s3_server() as server:
        for name, text in server.environment.items():
            monkeypatch.setenv(name, text)
        yield server


@pytest.fixture
def storage(server: S3Server, tmp_path: Path) -> ObjectStorage:
    return at(tmp_path / "one")


def at(machine: Path) -> ObjectStorage:
    """What a process of that machine has of it."""
    return ObjectStorage.at(f"s3://{BUCKET}/stentor", machine / "lists", cache_bytes=1 << 30)


@pytest.fixture
async def world(db: Database) -> World:
    made = await World.made(db)
    await made.people([Someone(name) for name in ("one", "two", "three")])
    return made


@pytest.fixture
async def filed(db: Database, storage: ObjectStorage, world: World) -> FiledList:
    return await FiledList.made(db, storage, world.brand_id)


async def planned(world: World, engine: Engine) -> UUID:
    execution_id = await world.execution(await world.publication())
    await engine.plan()
    return execution_id


async def test_a_wave_asks_a_list_whose_files_another_machine_stored(
    db: Database, world: World, server: S3Server, filed: FiledList, tmp_path: Path
):
    await filed.add(["one@example.com", "two@example.com"])
    await filed.remove("two@example.com")
    channel = ScriptedChannel()
    engine = Engine(db, channel, lists=at(tmp_path / "another"))

    first = await planned(world, engine)
    await engine.deliver()
    asked = list(server.asked)
    await filed.add(["three@example.com"])
    second = await planned(world, engine)
    await engine.deliver()

    assert await world.fates(first) == {"one": "skipped suppressed", "two": "handed_over", "three": "handed_over"}
    assert await world.fates(second) == {
        "one": "skipped suppressed",
        "two": "handed_over",
        "three": "skipped suppressed",
    }
    # The second wave fetches what is new, once.
    fetched = [path for method, path in server.asked[len(asked) :] if method == "GET"]
    assert len(fetched) == 1
    assert "/runs/" in fetched[0]


async def test_nobody_is_written_to_unasked_while_the_storage_is_away(
    db: Database, world: World, server: S3Server, filed: FiledList, tmp_path: Path
):
    await filed.add(["one@example.com"])
    channel = ScriptedChannel()
    execution_id = await planned(world, Engine(db, channel))
    server.refused = {"GET", "HEAD"}

    with pytest.raises(Unavailable):
        await Engine(db, channel, lists=at(tmp_path / "another")).deliver()
    waiting = await world.fates(execution_id)
    server.refused = set()
    async with Database(db.dsn, size=3, shift=timedelta(minutes=1)) as later:
        await Engine(later, channel, lists=at(tmp_path / "another")).deliver()

    assert set(waiting.values()) == {"pending"}
    assert await world.fates(execution_id) == {
        "one": "skipped suppressed",
        "two": "handed_over",
        "three": "handed_over",
    }


async def test_a_command_that_fetches_a_file_prints_its_answer_and_nothing_else(
    db: Database, world: World, filed: FiledList, tmp_path: Path
):
    await filed.add(["one@example.com"])
    told = {
        "STENTOR_DATABASE_URL": db.dsn,
        "STENTOR_DATA": str(tmp_path / "another"),
        "STENTOR_SECRET": "a secret for tests that is long enough",
        "STENTOR_STORAGE_URL": f"s3://{BUCKET}/stentor",
    }

    command = ("-m", "stentor", "lists", "check", str(filed.list_id), "one@example.com", "two@example.com", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env={**os.environ, **told}, stdout=subprocess.PIPE
    )
    answer, _ = await process.communicate()

    assert [one["is_listed"] for one in json.loads(answer)["addresses"]] == [True, False]


async def test_files_are_merged_and_who_asks_meanwhile_is_answered(
    db: Database, world: World, server: S3Server, filed: FiledList, storage: ObjectStorage, tmp_path: Path
):
    for number in range(FILES):
        await filed.add(MANY[number::FILES])
    await filed.add(["one@example.com"])
    await filed.remove(MANY[0], ago=timedelta(days=8))
    engine = Engine(db, ScriptedChannel(), lists=at(tmp_path / "another"))
    before = await planned(world, engine)
    await engine.deliver()

    # What a machine does that has none of the files yet.
    await Compactor(db, at(tmp_path / "third"), min_free_bytes=0).compact(world.brand_id, filed.list_id)
    after = await planned(world, engine)
    await engine.deliver()
    async with Database(db.dsn, size=2, shift=LATER) as later:
        deleted = await delete_replaced(later, storage)
    last = await planned(world, Engine(db, ScriptedChannel(), lists=at(tmp_path / "fourth")))
    await Engine(db, ScriptedChannel(), lists=at(tmp_path / "fourth")).deliver()

    assert deleted == 2 * (FILES + 1)
    runs, segments = await filed.live("run"), await filed.live("segment")
    assert (len(runs), len(segments)) == (1, 1)
    assert server.objects.keys() == {f"stentor/{name}" for name in (index_name(runs[0]), segment_name(segments[0]))}
    assert await filed.holds([*MANY, "one@example.com"]) == [*MANY[1:], "one@example.com"]
    assert {row.address for row in await filed.rows()} == {*MANY[1:], "one@example.com"}
    for execution_id in (before, after, last):
        assert (await world.fates(execution_id))["one"] == "skipped suppressed"


async def test_a_storage_that_takes_nothing_leaves_the_list_as_it_is(
    db: Database, world: World, server: S3Server, filed: FiledList, storage: ObjectStorage
):
    for number in range(FILES):
        await filed.add(MANY[number::FILES])
    before = await filed.named()
    compactor = Compactor(db, storage, min_free_bytes=0)
    server.refused = {"PUT", "POST"}

    with pytest.raises(Unavailable):
        await compactor.compact(world.brand_id, filed.list_id)

    assert await filed.named() == before == await filed.stored()
    assert list(storage.work.iterdir()) == []
    server.refused = set()
    await compactor.compact(world.brand_id, filed.list_id)
    assert len(await filed.named()) == 2
    assert await filed.holds(MANY) == MANY


async def test_what_a_killed_compaction_stored_is_swept(
    db: Database, world: World, server: S3Server, filed: FiledList, storage: ObjectStorage
):
    await filed.add(MANY)
    await storage.put_bytes(index_name(world.brand_id), b"of a compaction that was killed")

    assert await sweep_strangers(db, storage) == 0
    async with Database(db.dsn, size=2, shift=timedelta(days=2)) as later:
        assert await sweep_strangers(later, storage) == 1

    assert await filed.stored() == await filed.named()
    assert await filed.holds(MANY) == MANY
