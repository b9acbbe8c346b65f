"""Files on their way into lists, and what is in the lists afterwards."""

import asyncio
import csv
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import duckdb
import msgspec
from psycopg import sql

from stentor.db.pool import Database
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.optouts.hashing import HashName, digest_of
from stentor.optouts.jobs import working
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.service import JobService
from stentor.optouts.jobs.working import ClaimedJob, Workplace
from stentor.optouts.lists import ListDraft, ListService
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.model import ListKind
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.runs.columns import entries_sql
from stentor.optouts.runs.index import Index
from stentor.optouts.storage import DirectoryStorage
from stentor.optouts.uploads import UploadService
from stentor.testing.waiting import eventually
from stentor.testing.world import World
from stentor.worker.lister import ListerRole

CHUNK_LINES, CHUNK_BYTES = 1000, 16_000


def digests(*texts: str, name: HashName = "md5") -> set[bytes]:
    """What a list of these knows them by."""
    return {digest_of(text, name) for text in texts}


def file(*lines: str) -> bytes:
    """An upload of these lines."""
    return "".join(f"{line}\n" for line in lines).encode()


async def pieces(data: bytes, size: int = 1 << 20) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


class Loading:
    """A brand, a storage, and a worker that works off what is queued."""

    def __init__(self, db: Database, root: Path, brand_id: UUID, *, reserve: DiskReserve = NOTHING_RESERVED) -> None:
        self.db = db
        self.brand_id = brand_id
        self.storage = DirectoryStorage(root / "lists")
        self.jobs = JobService(db, self.storage)
        self.uploads = UploadService(db, self.storage)
        self.lists = ListService(db)
        self.runner = ImportRunner(db, self.storage, reserve, chunk_lines=CHUNK_LINES, chunk_bytes=CHUNK_BYTES)
        self.lister = ListerRole(db, "w", {"import": self.runner}, self.storage.work, beat_s=0.05)

    @classmethod
    async def made(cls, db: Database, root: Path) -> "Loading":
        return cls(db, root, (await World.made(db)).brand_id)

    async def new_list(self, name: str = "list", kind: ListKind = "plain", **facts: Any) -> UUID:
        return (await self.lists.create(self.brand_id, ListDraft(name=name, kind=kind, **facts))).id

    async def queued(self, list_id: UUID, data: bytes, declared_bytes: int | None = None) -> UUID:
        """An import whose file has come."""
        job = await self.jobs.prepare_import(self.brand_id, str(list_id), declared_bytes=declared_bytes)
        await self.uploads.receive(self.brand_id, job.id, pieces(data))
        return job.id

    async def claimed(self, list_id: UUID, data: bytes) -> ClaimedJob:
        await self.queued(list_id, data)
        job = await working.claim_next(self.db, "w")
        assert job is not None
        return job

    async def load(self, list_id: UUID, data: bytes, declared_bytes: int | None = None) -> Job:
        """The import, at its end."""
        job_id = await self.queued(list_id, data, declared_bytes)
        await self.work()
        return await self.jobs.get(self.brand_id, job_id)

    async def work(self) -> None:
        """Works off all that is queued."""
        while job := await working.claim_next(self.db, "w"):
            await self.lister.work_on(job, asyncio.Event())

    async def at_work(self, job: ClaimedJob) -> tuple[Workplace, asyncio.Task[None]]:
        """The import of a claimed job, under way: its first chunk is done."""
        place = Workplace(self.storage.work / str(job.id))
        place.directory.mkdir(parents=True)
        task = asyncio.create_task(self.runner.run(job, place))
        await eventually(lambda: bool(done_chunks(place.directory)) or task.done())
        return place, task

    async def rejects(self, job: Job) -> list[list[str]]:
        if "rejects.csv" not in job.results:
            return []
        data = b"".join([piece async for piece in self.jobs.read(job.results["rejects.csv"])])
        return list(csv.reader(data.decode().splitlines()))[1:]

    async def digests(self, list_id: UUID) -> set[bytes]:
        """What the live runs of the list hold, removals apart."""
        found: list[bytes] = []
        for run_id in await self._live("optout_run", list_id):
            async with self.storage.local(index_name(run_id)) as path:
                index = Index(path)
                found += [digest for part in index.parts(1 << 20) for digest in part.as_bytes()]
                index.close()
        assert len(found) == len(set(found))
        return set(found)

    async def rows(self, list_id: UUID, columns: str = "address") -> Sequence[tuple[Any, ...]]:
        """The columns of the live segments of the list, in their order."""
        rows: list[tuple[Any, ...]] = []
        for segment_id in await self._live("optout_segment", list_id):
            async with self.storage.local(segment_name(segment_id)) as path:
                with duckdb.connect() as database:
                    entries = entries_sql(database, path)
                    rows += database.execute(f"SELECT {columns} FROM {entries}", [str(path)]).fetchall()  # noqa: S608
        return rows

    async def addresses(self, list_id: UUID) -> list[str]:
        return [address for (address,) in await self.rows(list_id)]

    async def files(self) -> list[str]:
        return sorted(
            [
                stored.name
                for area in ("runs", "segments", "uploads", "results")
                async for stored in self.storage.names(area)
            ]
        )

    async def _live(self, table: Literal["optout_run", "optout_segment"], list_id: UUID) -> Sequence[UUID]:
        query = sql.SQL("SELECT id FROM {} WHERE list_id = %s AND replaced_at IS NULL ORDER BY created_at, id")
        async with self.db.read() as conn:
            cursor = await conn.execute(query.format(sql.Identifier(table)), [list_id])
            return [row[0] for row in await cursor.fetchall()]


def done_chunks(directory: Path) -> list[Path]:
    """What tells of the chunks that are done without a gap."""
    paths: list[Path] = []
    while (path := directory / f"{len(paths):06}.json").exists():
        paths.append(path)
    return paths


def counts(job: Job) -> tuple[int, int, int, int]:
    """Submitted, added, duplicate, malformed, of an import that ended well."""
    assert job.state == "success", msgspec.json.encode(job)
    return job.submitted, job.added, job.duplicate, job.malformed
