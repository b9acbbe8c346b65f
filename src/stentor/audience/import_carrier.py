"""Imports of files that lie here: carried on in this process, beside the requests that ask how they stand."""

import asyncio
from uuid import UUID

import structlog

from stentor.audience.held_imports import HeldFile, HeldFiles
from stentor.audience.imports import ImportService
from stentor.audience.model import ImportJob
from stentor.errors import Conflict, Invalid, Problem, Unavailable

CARRIED_MAX = 4
"""Imports that a process carries at once: each keeps two blocks in memory and a connection busy."""

log = structlog.get_logger(__name__)


class ImportCarrier:
    """Begins imports of held files and goes on with them. What a process leaves off, whoever asks it to goes on with."""

    def __init__(self, imports: ImportService, files: HeldFiles) -> None:
        self._imports = imports
        self._files = files
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def begin(self, held: HeldFile, *, region: str | None) -> ImportJob:
        """The import of the file, under way. Raises Invalid, and Unavailable while this process carries as many as it may."""
        self._check_room()
        job = await self._imports.begin(
            held.brand_id,
            held.kind,
            held.format,
            f"{held.name} ({held.id})",
            bytes_total=held.bytes,
            region=region,
        )
        self._start(job, await self._files.adopt(held, job.id))
        return job

    async def go_on(self, brand_id: UUID, job_id: UUID) -> None:
        """Goes on where the import stands. Raises NotFound where its file is not here, Conflict for one that has ended."""
        held, job = await self._files.find(brand_id, job_id), await self._imports.get(brand_id, job_id)
        if job.state != "running":
            raise Conflict(f"The import has {job.state}; bring the file again.")
        if not self.is_carrying(job_id):
            self._check_room()
            self._start(job, held)

    async def cancel(self, brand_id: UUID, job_id: UUID, *, asked_by: str) -> None:
        """Ends the import for good, and throws its file away. Raises as `ImportService.cancel`."""
        await self._imports.cancel(brand_id, job_id, asked_by=asked_by)
        await self._files.drop(brand_id, job_id)

    def is_carrying(self, job_id: UUID) -> bool:
        """Whether this process goes on with it now."""
        return job_id in self._tasks

    async def settled(self, job_id: UUID) -> None:
        """Waits until this process has left off the import, done or not."""
        if (task := self._tasks.get(job_id)) is not None:
            await asyncio.wait([task])

    def _check_room(self) -> None:
        if len(self._tasks) >= CARRIED_MAX:
            raise Unavailable(
                f"{CARRIED_MAX} files are being imported already. Begin this one in a minute.", retry_after_s=60
            )

    def _start(self, job: ImportJob, held: HeldFile) -> None:
        task = asyncio.create_task(self._carry(job, held))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _carry(self, job: ImportJob, held: HeldFile) -> None:
        brand_id = held.brand_id
        try:
            await self._imports.run(brand_id, job.id, self._files.chunks(held, job.bytes_done), offset=job.bytes_done)
        except Invalid:
            # It cannot be read as a whole, which its page says; the file is of no more use.
            pass
        except (Problem, OSError) as problem:
            # Stopped, cancelled, taken over, or there was no room: it stands where it stands, and can be gone on with.
            log.info("import.left_off", import_id=str(job.id), why=type(problem).__name__)
            return
        await self._files.drop(brand_id, job.id)
