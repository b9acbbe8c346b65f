"""Files of lists on a disk that fills up under them: each job ends with a sentence, nothing is half there, and nothing stays behind."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from loading_world import Loading, counts, pieces
from stentor.db.pool import Database
from stentor.errors import NoRoom
from stentor.optouts.exporting.model import ExportSpec
from stentor.optouts.exporting.model import checked as checked_export
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.jobs.clearing import clear_jobs
from stentor.optouts.jobs.model import Job
from stentor.optouts.scrubbing.model import checked as checked_scrub
from stentor.optouts.scrubbing.runner import ScrubRunner
from stentor.worker.lister import ListerRole

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.prove,
    pytest.mark.timeout(600),
    pytest.mark.bad_disks,
    pytest.mark.fault("F10", "F17"),
]

DISK_BYTES = 32 << 20
PEOPLE = 20_000
# From no room at all to enough, so that each kind of file is at times the one that does not fit.
ROOM = [0, 20_000, 100_000, 400_000, 800_000, 1_200_000, 2_000_000, 3_000_000, 12_000_000]


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def filled(disk: Path, *, but_bytes: int) -> Iterator[None]:
    """A file that leaves so much room."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, free(disk) - but_bytes))
    try:
        yield
    finally:
        ballast.unlink()


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


class Full:
    """A brand whose lists lie on a small disk."""

    def __init__(self, loading: Loading, disk: Path) -> None:
        self.loading = loading
        self.disk = disk
        db, storage = loading.db, loading.storage
        runners = (loading.runner, ExportRunner(db, storage), ScrubRunner(db, storage))
        loading.lister = ListerRole(db, "w", {one.kind: one for one in runners}, storage.work, beat_s=0.05)

    async def ended(self, job_id: UUID, *, but_bytes: int) -> Job:
        """The job, done while so much room is left on the disk; of one that failed nothing is there any more."""
        before = set(await self.loading.files())
        with filled(self.disk, but_bytes=but_bytes):
            await self.loading.work()
        job = await self.loading.jobs.get(self.loading.brand_id, job_id)
        assert [path.name for path in self.loading.storage.work.iterdir()] == []
        if job.state != "success":
            assert job.state == "failed"
            assert "full" in job.message, job.message
            await clear_jobs(self.loading.db, self.loading.storage)
            after = set(await self.loading.files())
            assert after <= before, after - before
            assert not [name for name in after if name.startswith("uploads/")]
        return job


@pytest.fixture
async def full(db: Database, tmp_path: Path) -> AsyncIterator[Full]:
    with small_disk(tmp_path / "disk") as disk:
        yield Full(await Loading.made(db, disk), disk)


def lines(begin: int, end: int) -> bytes:
    return b"".join(b"somebody.%08d@example-%d.com\n" % (number, number % 997) for number in range(begin, end))


def ends_well_at_last(states: list[str]) -> bool:
    return states == sorted(states) and set(states) == {"failed", "success"}


async def test_an_import_that_fills_the_disk_adds_nothing_and_leaves_nothing(full: Full):
    loading = full.loading
    list_id = await loading.new_list()
    await loading.load(list_id, lines(0, 100))
    states: list[str] = []
    for number, but_bytes in enumerate(ROOM, start=1):
        held = len(await loading.digests(list_id))
        job_id = await loading.queued(list_id, lines(number * PEOPLE, (number + 1) * PEOPLE))

        job = await full.ended(job_id, but_bytes=but_bytes)

        states.append(job.state)
        assert len(await loading.digests(list_id)) == held + job.added
        assert job.state == "failed" or counts(job) == (PEOPLE, PEOPLE, 0, 0)

    assert ends_well_at_last(states)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
async def test_an_export_that_fills_the_disk_leaves_nothing(full: Full, file_format: Any):
    loading = full.loading
    list_id = await loading.new_list(hash="sha256")
    await loading.load(list_id, lines(0, PEOPLE))
    spec = checked_export(ExportSpec(columns=("plain", "hashed"), format=file_format)).as_json()
    states: list[str] = []
    for but_bytes in ROOM:
        job = await loading.jobs.begin_export(loading.brand_id, str(list_id), spec)

        job = await full.ended(job.id, but_bytes=but_bytes)

        states.append(job.state)
        assert job.added == (PEOPLE if job.state == "success" else 0)

    assert ends_well_at_last(states)


async def test_a_scrub_that_fills_the_disk_leaves_nothing(full: Full):
    loading = full.loading
    list_id = await loading.new_list()
    await loading.load(list_id, lines(0, PEOPLE))
    spec = checked_scrub([list_id]).as_json()
    states: list[str] = []
    for but_bytes in ROOM:
        job = await loading.jobs.prepare_scrub(loading.brand_id, spec)
        await loading.uploads.receive(loading.brand_id, job.id, pieces(lines(PEOPLE // 2, PEOPLE * 3 // 2)))

        job = await full.ended(job.id, but_bytes=but_bytes)

        states.append(job.state)
        assert job.state == "failed" or (job.added, job.duplicate) == (PEOPLE // 2, PEOPLE // 2)

    assert ends_well_at_last(states)


async def test_an_upload_that_fills_the_disk_goes_on_when_there_is_room(full: Full):
    loading = full.loading
    list_id = await loading.new_list()
    data = lines(0, PEOPLE)
    job = await loading.jobs.prepare_import(loading.brand_id, str(list_id), declared_bytes=len(data))

    with filled(full.disk, but_bytes=20_000), pytest.raises(NoRoom, match="Make room"):
        await loading.uploads.receive(loading.brand_id, job.id, pieces(data))
    assert not [name for name in await loading.files() if name.startswith("uploads/")]
    await loading.uploads.receive(loading.brand_id, job.id, pieces(data), offset=0)
    await loading.work()

    assert counts(await loading.jobs.get(loading.brand_id, job.id)) == (PEOPLE, PEOPLE, 0, 0)
