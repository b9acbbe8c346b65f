"""Files as they are received: whoever sends last has the file, and what came of anybody else's is none of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from stentor.db.pool import Database
from stentor.errors import Conflict
from stentor.optouts.jobs.service import JobService
from stentor.optouts.lists import ListService
from stentor.optouts.model import ListDraft
from stentor.optouts.storage import DirectoryStorage
from stentor.optouts.uploads import UploadService

pytestmark = pytest.mark.anyio


@pytest.mark.fault("F17")
async def test_of_two_who_send_at_once_the_earlier_one_adds_nothing_more(db: Database, tmp_path: Path, brand_id: UUID):
    storage = DirectoryStorage(tmp_path / "lists")
    jobs, uploads = JobService(db, storage), UploadService(db, storage)
    await ListService(db).create(brand_id, ListDraft(name="partners"))
    job = await jobs.prepare_import(brand_id, "partners", declared_bytes=32)
    begun = {name: asyncio.Event() for name in "xy"}
    go_on = {name: asyncio.Event() for name in "xy"}

    async def chunks(name: str) -> AsyncIterator[bytes]:
        begun[name].set()
        await go_on[name].wait()
        yield name.encode() * 32

    async def sent(name: str) -> int:
        return (await uploads.receive(brand_id, job.id, chunks(name))).bytes

    first = asyncio.create_task(sent("x"))
    await begun["x"].wait()
    second = asyncio.create_task(sent("y"))
    await begun["y"].wait()
    go_on["x"].set()
    with pytest.raises(Conflict, match="Somebody else sends this file by now"):
        await first
    go_on["y"].set()

    assert await second == 32
    names = [found.name async for found in storage.names("uploads")]
    assert [b"".join([piece async for piece in storage.stream(name)]) for name in names] == [b"y" * 32]
