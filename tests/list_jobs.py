"""Jobs of opt-out lists done at once, without the role that claims them, and what came of them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from stentor.db.pool import Database
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.exporting.model import checked as checked_export
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.jobs import working
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.service import JobService
from stentor.optouts.jobs.working import JobRunner, Workplace
from stentor.optouts.scrubbing.model import checked as checked_scrub
from stentor.optouts.scrubbing.runner import ScrubRunner
from stentor.optouts.storage import Storage, make_private
from stentor.optouts.uploads import UploadService


class ListJobs:
    """One brand's jobs."""

    def __init__(self, db: Database, storage: Storage, brand_id: UUID) -> None:
        self.db = db
        self.storage = storage
        self.brand_id = brand_id
        self.service = JobService(db, storage)
        self._uploads = UploadService(db, storage)

    async def export(self, list_id: UUID, *columns: Any, **spec: Any) -> Job:
        """An export that has ended."""
        asked = checked_export(ExportSpec(columns=columns, **spec))
        job = await self.service.begin_export(self.brand_id, str(list_id), asked.as_json())
        return await self.done(job, ExportRunner(self.db, self.storage))

    async def scrub(
        self, content: bytes, lists: Sequence[UUID], *, gzipped: bool = False, block_bytes: int = 1 << 20, **limits: Any
    ) -> Job:
        """A scrub that has ended, by a runner with these limits."""
        spec = checked_scrub(lists, gzipped=gzipped)
        job = await self.service.prepare_scrub(self.brand_id, spec.as_json(), declared_bytes=len(content))

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self._uploads.receive(self.brand_id, job.id, chunks())
        return await self.done(job, ScrubRunner(self.db, self.storage, block_bytes=block_bytes, **limits))

    async def done(self, job: Job, runner: JobRunner) -> Job:
        """The job, claimed and run to its end. What its runner raises is raised."""
        claimed = await working.claim_next(self.db, "worker")
        assert claimed is not None
        assert claimed.id == job.id
        place = self.storage.work / str(job.id)
        make_private(place)
        await runner.run(claimed, Workplace(place))
        return await self.service.get(self.brand_id, job.id)

    async def file(self, job: Job, name: str) -> bytes:
        """A file that the job made."""
        result = await self.service.result(self.brand_id, job.id, name)
        content = b"".join([piece async for piece in self.service.read(result)])
        assert len(content) == result.bytes
        return content
