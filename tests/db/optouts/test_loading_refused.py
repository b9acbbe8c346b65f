"""Files that come onto no list, or not whole: each line is accounted for, and what is left is nothing."""

import codecs
import gzip
from pathlib import Path

import msgspec
import pytest

from loading_world import Loading, counts, done_chunks, file
from stentor.db.pool import Database
from stentor.db.reserve import DiskReserve
from stentor.errors import NoRoom
from stentor.optouts.jobs.clearing import clear_jobs
from stentor.optouts.jobs.working import JobFailed, Workplace
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.storage import DirectoryStorage

pytestmark = pytest.mark.anyio


@pytest.mark.fault("F17")
async def test_a_file_of_another_length_than_declared_fails_and_changes_nothing(loading: Loading):
    list_id = await loading.new_list()
    claimed = await loading.claimed(list_id, file("ann@example.com"))

    with pytest.raises(JobFailed, match="announced with 99 bytes, and 16 came"):
        await loading.runner.run(msgspec.structs.replace(claimed, declared_bytes=99), Workplace(loading.storage.work))

    assert await loading.digests(list_id) == set()


@pytest.mark.fault("F17")
async def test_a_file_of_all_that_can_be_wrong_is_accounted_for_line_by_line(loading: Loading):
    list_id = await loading.new_list()
    lines = [f"p{number}@example.com" for number in range(400)]
    data = b"".join(
        [
            codecs.BOM_UTF8,
            "\r\n".join(lines[:100]).encode() + b"\r\n",
            "\r".join(lines[100:200]).encode() + b"\r",
            b"nul\0nul@example.com\n",
            b"x" * (2 << 20) + b"\n",
            b"broken\xff@example.com\n",
            b'"unbalanced@example.com\n',
            b"\n\n",
            "\n".join(lines[200:]).encode() + b"\n",
            b"p7@example.com\n=cmd|' /C calc'!A0\n",
        ]
    )

    job = await loading.load(list_id, data)

    assert counts(job) == (406, 400, 1, 5)
    assert await loading.addresses(list_id) == lines
    rejects = await loading.rejects(job)
    assert [int(line) for line, _ in rejects] == [201, 202, 203, 204, 408]
    assert all(reason.endswith(".") and not reason.startswith(("=", "+", "-", "@")) for _, reason in rejects)


@pytest.mark.fault("F17")
@pytest.mark.parametrize("data", [b"E-Mail-Adresse;Name\nann@example.com;Ann\n", b"nobody\nnothing"])
async def test_a_file_without_any_entry_fails_and_says_why_of_each_line(loading: Loading, data: bytes):
    list_id = await loading.new_list()

    job = await loading.load(list_id, data)

    assert (job.state, job.submitted, job.added, job.duplicate, job.malformed) == ("failed", 2, 0, 0, 2)
    assert "header line" in job.message
    assert [line for line, _ in await loading.rejects(job)] == ["1", "2"]
    assert {name.split("/")[0] for name in await loading.files()} == {"results", "uploads"}
    assert await clear_jobs(loading.db, loading.storage) == 1
    assert {name.split("/")[0] for name in await loading.files()} == {"results"}


@pytest.mark.fault("F18")
@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (gzip.compress(gzip.compress(b"ann@example.com\n")), "inside another"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (gzip.compress(bytes(300 << 20)), "times its size"),
        (gzip.compress(b"ann@example.com\n" * 1000)[:-9], "cut short"),
        (b"date,campaign\n2024,x\n", "no column of addresses"),
    ],
    ids=["nested", "zip", "bomb", "torn", "nameless"],
)
async def test_what_is_no_list_fails_with_a_sentence_and_leaves_nothing(loading: Loading, data: bytes, sentence: str):
    list_id = await loading.new_list()

    job = await loading.load(list_id, data)

    assert job.state == "failed"
    assert sentence in job.message
    assert await loading.digests(list_id) == set()
    assert all(name.startswith("uploads/") for name in await loading.files())
    assert [path.name for path in loading.storage.work.iterdir()] == []


@pytest.mark.fault("F17")
async def test_a_disk_without_room_fails_the_job_with_a_sentence_and_leaves_nothing(
    loading: Loading, db: Database, tmp_path: Path
):
    list_id = await loading.new_list()
    full = DiskReserve([tmp_path], 1000, free_bytes=lambda _: 10)
    loading = Loading(db, tmp_path, loading.brand_id, reserve=full)

    job = await loading.load(list_id, file("ann@example.com"))

    assert (job.state, "Make room" in job.message) == ("failed", True)
    assert all(name.startswith("uploads/") for name in await loading.files())


@pytest.mark.fault("F17")
async def test_a_disk_without_room_for_the_index_of_all_fails_the_job_before_it_is_made(
    loading: Loading, db: Database, tmp_path: Path
):
    list_id = await loading.new_list()
    tight = DiskReserve([tmp_path], 1000, free_bytes=lambda _: 1000 + 3000 * 16 - 1)
    loading = Loading(db, tmp_path, loading.brand_id, reserve=tight)

    job = await loading.load(list_id, file(*(f"p{number}@example.com" for number in range(3000))))
    less = await loading.load(list_id, file(*(f"p{number}@example.com" for number in range(2999))))

    assert (job.state, "are needed" in job.message) == ("failed", True)
    assert counts(less) == (2999, 2999, 0, 0)


class Full(DirectoryStorage):
    """A storage on a disk that has room for everything but segments."""

    async def put(self, name: str, path: Path) -> None:
        if name.startswith("segments/"):
            raise NoRoom("The disk is full.", retry_after_s=1)
        await super().put(name, path)


@pytest.mark.fault("F17")
async def test_what_was_stored_of_a_file_goes_when_the_rest_has_no_room(loading: Loading, tmp_path: Path):
    list_id = await loading.new_list()
    loading.runner = ImportRunner(loading.db, Full(tmp_path / "lists"))
    job = await loading.claimed(list_id, file("ann@example.com", "nobody"))
    workplace = Workplace(loading.storage.work / str(job.id))
    workplace.directory.mkdir(parents=True)

    with pytest.raises(NoRoom):
        await loading.runner.run(job, workplace)

    assert [name.split("/")[0] for name in await loading.files()] == ["uploads"]


async def test_a_file_that_is_something_else_is_given_up_early_and_says_why(loading: Loading):
    list_id = await loading.new_list()
    runner = ImportRunner(loading.db, loading.storage, chunk_bytes=10_000, hopeless_lines=500)
    claimed = await loading.claimed(list_id, file("ann@example.com", *(["rubbish"] * 30_000)))
    place = Workplace(loading.storage.work / str(claimed.id))
    place.directory.mkdir(parents=True)

    with pytest.raises(JobFailed, match=r"no entries of this list; .* says why.* nothing was added") as failed:
        await runner.run(claimed, place)

    assert failed.value.results is not None
    told = failed.value.counts
    assert (told.added, told.duplicate, told.malformed) == (0, 0, told.submitted - 1)
    assert f"Of the first {told.submitted:,} lines {told.malformed:,} " in failed.value.sentence
    assert len(done_chunks(place.directory)) < 5
    assert await loading.addresses(list_id) == []
