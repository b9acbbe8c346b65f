"""A client of opt-out lists and the worker that serves it, in one process that may be killed anywhere.

Whoever lives after it does what it has no answer for, as clients do, and takes over what its worker left.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from stentor.db.pool import Database
from stentor.errors import NotFound
from stentor.failpoints import VARIABLE
from stentor.optouts.entry_service import EntryService
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.jobs.model import Job, JobKind
from stentor.optouts.jobs.service import JobService
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.scrubbing.model import checked as checked_scrub
from stentor.optouts.scrubbing.runner import ScrubRunner
from stentor.optouts.storage import DirectoryStorage
from stentor.optouts.uploads import UploadService
from stentor.testing.waiting import eventually
from stentor.worker.lister import ListerRole

if TYPE_CHECKING:
    from stentor.optouts.jobs.working import JobRunner

SINGLE, TAKEN_OFF, ERASED = "single@example.com", "taken.off@example.com", "erased@example.com"
FILED = [f"p{number}@example.com" for number in range(30)]
FILE = "".join(f"{line}\n" for line in (*FILED, FILED[0], SINGLE, "no address")).encode()
COUNTS = (33, 30, 2, 1)
ARCHIVE = b"PK\x03\x04 is no list"
STRANGER = "stranger@example.com"
SCRUBBED = f"{FILED[3]}\n{STRANGER}\n{SINGLE}\n".encode()

HEIR_LATER = timedelta(minutes=1)
"""Past the leases of whoever lived before."""

_PATIENCE_S = 60.0


def lived(dsn: str, root: Path, brand_id: UUID, list_id: UUID, failpoints: str = "", *, is_heir: bool = False) -> int:
    """How it ended: 0, or minus the signal that killed it."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import list_life; list_life.main()",
            dsn,
            root,
            str(brand_id),
            str(list_id),
            str(is_heir),
        ],
        env={VARIABLE: failpoints, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    return done.returncode


def main() -> None:
    dsn, root, brand_id, list_id, is_heir = sys.argv[1:]
    shift = HEIR_LATER if is_heir == "True" else timedelta()
    asyncio.run(_live(dsn, DirectoryStorage(Path(root)), UUID(brand_id), list_id, shift))


async def _live(dsn: str, storage: DirectoryStorage, brand_id: UUID, list_id: str, shift: timedelta) -> None:
    async with Database(dsn, size=3, shift=shift) as db:
        look_up = LookUp(Indexes(storage))
        runners: list[JobRunner] = [ImportRunner(db, storage), ExportRunner(db, storage), ScrubRunner(db, storage)]
        lister = ListerRole(db, "lister", {runner.kind: runner for runner in runners}, storage.work)
        stop = asyncio.Event()
        working = asyncio.create_task(lister.run(stop))
        client = _Client(db, storage, EntryService(db, look_up), brand_id, list_id)
        await client.single_entries()
        await client.files()
        stop.set()
        await working


class _Client:
    def __init__(
        self, db: Database, storage: DirectoryStorage, entries: EntryService, brand_id: UUID, list_id: str
    ) -> None:
        self._entries = entries
        self._jobs = JobService(db, storage)
        self._uploads = UploadService(db, storage)
        self._brand_id = brand_id
        self._list_id = list_id

    async def single_entries(self) -> None:
        await self._entries.add(self._brand_id, self._list_id, [SINGLE, ERASED])
        if not any(past.lifted_at for past in await self._entries.history(self._brand_id, self._list_id, TAKEN_OFF)):
            await self._entries.add(self._brand_id, self._list_id, [TAKEN_OFF])
            with suppress(NotFound):
                await self._entries.remove(self._brand_id, self._list_id, TAKEN_OFF, reason="It was a mistake.")
        await self._entries.erase(self._brand_id, ERASED)

    async def files(self) -> None:
        await self._over(await self._sent("import", FILE, {"file": "good"}))
        await self._over(await self._sent("import", ARCHIVE, {"file": "archive"}))
        withdrawn = await self._job("import", {"file": "withdrawn"})
        await self._jobs.remove(self._brand_id, withdrawn.id)
        await self._over(await self._job("export", ExportSpec(columns=("plain",)).as_json()))
        await self._over(await self._sent("scrub", SCRUBBED, checked_scrub([UUID(self._list_id)]).as_json()))

    async def _job(self, kind: JobKind, spec: dict[str, Any], size: int | None = None) -> Job:
        """The job that was asked for before, if it was."""
        for job in await self._jobs.page(self._brand_id, kind=kind):
            if job.spec == spec:
                return job
        if kind == "import":
            return await self._jobs.prepare_import(self._brand_id, self._list_id, declared_bytes=size, spec=spec)
        if kind == "scrub":
            return await self._jobs.prepare_scrub(self._brand_id, spec, declared_bytes=size)
        return await self._jobs.begin_export(self._brand_id, self._list_id, spec)

    async def _sent(self, kind: JobKind, content: bytes, spec: dict[str, Any]) -> Job:
        job = await self._job(kind, spec, len(content))
        if job.state == "uploading":
            await self._uploads.receive(self._brand_id, job.id, _pieces([content]))
        return job

    async def _over(self, job: Job) -> None:
        async def is_over() -> bool:
            return (await self._jobs.get(self._brand_id, job.id)).is_over

        await eventually(is_over, _PATIENCE_S)


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
