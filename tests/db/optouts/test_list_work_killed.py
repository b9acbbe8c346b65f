"""Whoever works on opt-out lists may be killed anywhere: who was on a list stays there, files come whole or not, and add up."""

import signal
from pathlib import Path
from uuid import UUID

import pytest

from compaction_life import HITS as OF_COMPACTION
from list_jobs import ListJobs
from list_life import COUNTS, ERASED, FILED, SINGLE, STRANGER, TAKEN_OFF, lived
from optout_files import FiledList
from stentor.db.pool import Database
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.storage import DirectoryStorage
from stentor.testing.torture.sweep import failpoints_of_lists

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

POINTS = [name for name in failpoints_of_lists() if name not in OF_COMPACTION]

# Two lives take ten seconds: where most hangs on what was done last, here; everywhere else, in `make prove`.
IN_CI = {
    "optout_part.after_commit",
    "list_load.after_commit",
}


@pytest.fixture
async def filed(db: Database, tmp_path: Path, brand_id: UUID) -> FiledList:
    return await FiledList.made(db, DirectoryStorage(tmp_path / "lists"), brand_id)


async def check_books(filed: FiledList, tmp_path: Path) -> None:
    jobs = ListJobs(filed.db, DirectoryStorage(tmp_path / "lists"), filed.brand_id)
    everybody = [*FILED, SINGLE, ERASED, TAKEN_OFF, STRANGER]
    check = BulkCheck(filed.db, LookUp(Indexes(jobs.storage)))
    checked = await check.check(filed.brand_id, str(filed.list_id), everybody)
    assert [one for one, found in zip(everybody, checked, strict=True) if found.is_listed] == [*FILED, SINGLE, ERASED]
    of_kind = {(job.kind, job.spec.get("file")): job for job in await jobs.service.page(filed.brand_id)}
    good = of_kind["import", "good"]
    assert (good.state, (good.submitted, good.added, good.duplicate, good.malformed)) == ("success", COUNTS)
    assert (of_kind["import", "archive"].state, of_kind["import", "withdrawn"].state) == ("failed", "removed")
    exported = (await jobs.file(of_kind["export", None], "optouts.csv")).decode().splitlines()
    assert sorted(exported) == sorted(["plain", *FILED, SINGLE, '""' if '""' in exported else ""])
    scrub = of_kind["scrub", None]
    assert (await jobs.file(scrub, "clean.csv")).decode().splitlines() == [STRANGER]
    assert (await jobs.file(scrub, "removed.csv")).decode().splitlines() == [FILED[3], SINGLE]


@pytest.mark.fault("F17")
@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=() if point in IN_CI else pytest.mark.prove) for point in POINTS]
)
async def test_killed_there_everything_is_done_once_by_whoever_comes_next(filed: FiledList, tmp_path: Path, point: str):
    root = tmp_path / "lists"

    assert lived(filed.db.dsn, root, filed.brand_id, filed.list_id, f"{point}=kill@1") == -signal.SIGKILL

    assert lived(filed.db.dsn, root, filed.brand_id, filed.list_id, is_heir=True) == 0
    await check_books(filed, tmp_path)
