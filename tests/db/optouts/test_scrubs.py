"""Files held against lists: each line is where it belongs, as it came, and nothing is taken for clean that was not asked."""

import csv
import gzip
import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import zstandard

from list_jobs import ListJobs
from optout_files import FiledList
from stentor.optouts.bulk import BulkCheck
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.crew import Child, Crew
from stentor.optouts.entry_service import EntryService
from stentor.optouts.hashing import HASH_NAMES, HashName, digest_of, hash_of
from stentor.optouts.held_files import HeldFiles
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.working import JobFailed
from stentor.optouts.lists import ListService
from stentor.optouts.look_up import LookUp
from stentor.optouts.model import ListDraft, ListPatch
from stentor.optouts.runs.held import held
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.runs.index import Digests
from stentor.optouts.scrubbing.runner import CHILD_MEMORY_BYTES

pytestmark = pytest.mark.anyio

ANN, BEN, CLEO = "ann@example.com", "ben@example.com", "cleo@mail.example.co.uk"


async def parted(jobs: ListJobs, job: Job) -> tuple[list[str], list[str], list[str]]:
    """The lines that are clean, those that are removed, and the numbers of those that cannot be read."""
    clean = (await jobs.file(job, "clean.csv")).decode().splitlines()
    removed = (await jobs.file(job, "removed.csv")).decode().splitlines()
    rejects: list[str] = []
    if job.malformed:
        told = (await jobs.file(job, "rejects.csv")).decode()
        rejects = [row["line"] for row in csv.DictReader(io.StringIO(told, newline="")) if row["reason"]]
    assert (job.state, job.submitted) == ("success", job.added + job.duplicate + job.malformed)
    return clean, removed, rejects


async def scrubbed(jobs: ListJobs, lines: list[str], *lists: FiledList) -> tuple[list[str], list[str], list[str]]:
    content = "".join(f"{line}\n" for line in lines).encode()
    job = await jobs.scrub(content, [one.list_id for one in lists])
    return await parted(jobs, job)


async def single(filed: FiledList, text: str) -> None:
    async with filed.db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at) VALUES (%s, %s, %s, %s, 'api', now())",
            [filed.list_id, digest_of(text, filed.hash), filed.brand_id, 1 if "@" in text else 2],
        )


async def test_lines_that_a_list_holds_are_parted_from_those_that_it_does_not(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, "491711234567"])
    await single(filed, CLEO)

    lines = [BEN, ANN, "", "what is this", CLEO, "491711234568", "491711234567", "+49 171 1234567", "dan@example.com"]
    clean, removed, rejects = await scrubbed(jobs, lines, filed)

    assert clean == [BEN, "491711234568", "dan@example.com"]
    assert removed == [ANN, CLEO, "491711234567", "+49 171 1234567"]
    assert rejects == ["4"]


async def test_lines_are_given_back_as_they_came_however_they_are_spelled(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, "eve@xn--exmple-cua.com", "jos\u00e9@example.com"])

    lines = ["Ann@Example.COM", "EVE@Ex\u00e4mple.com", "Jos\u00c9@example.com", "BEN@example.com", '"Ann"@example.com']
    clean, removed, rejects = await scrubbed(jobs, lines, filed)

    assert (clean, removed, rejects) == (["BEN@example.com"], [*lines[:3], lines[4]], [])


async def test_an_entry_in_one_spelling_of_its_host_holds_for_the_other(jobs: ListJobs, filed: FiledList):
    # As somebody hashed it who never heard of A-labels.
    await filed.add(["eve@ex\u00e4mple.com", "@m\u00fcller.example"])

    lines = ["eve@xn--exmple-cua.com", "fay@xn--mller-kva.example", "fay@muller.example"]

    assert await scrubbed(jobs, lines, filed) == (lines[2:], lines[:2], [])


async def test_a_domain_on_a_list_removes_all_of_its_addresses(jobs: ListJobs, filed: FiledList):
    await filed.add(["@example.com"])

    lines = [ANN, "dan@sub.example.com", "@example.com", "Eve@EXAMPLE.com", hash_of(ANN, "md5").hex()]

    # Of a hash nobody can tell the domain.
    assert await scrubbed(jobs, lines, filed) == ([lines[1], lines[4]], [lines[0], lines[2], lines[3]], [])


@pytest.mark.parametrize("name", HASH_NAMES)
async def test_hashes_are_found_in_plain_lists_and_addresses_in_lists_of_hashes(jobs: ListJobs, name: HashName):
    plain = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name=name)
    await plain.add([ANN])
    await plain.add([BEN], hashed=True)

    lines = [hash_of(text, name).hex() for text in (ANN, BEN, CLEO)] + [hash_of(ANN, name).hex().upper(), BEN, CLEO]
    clean, removed, rejects = await scrubbed(jobs, lines, plain)

    assert (clean, removed, rejects) == ([lines[2], CLEO], [lines[0], lines[1], lines[3], BEN], [])


async def test_a_hash_of_another_kind_than_any_lists_cannot_be_read(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])

    lines = [hash_of(ANN, "sha1").hex(), "g" * 32, hash_of(ANN, "md5").hex()[:-1]]

    assert await scrubbed(jobs, lines, filed) == ([], [], ["1", "2", "3"])


async def test_of_several_lists_any_removes_whatever_their_hashes(jobs: ListJobs, filed: FiledList):
    other = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name="sha256")
    await filed.add([ANN])
    await other.add([BEN])

    lines = [ANN, BEN, CLEO, hash_of(BEN, "sha256").hex(), hash_of(BEN, "md5").hex()]

    assert await scrubbed(jobs, lines, filed, other) == ([lines[2], lines[4]], [ANN, BEN, lines[3]], [])


async def test_who_was_taken_off_is_clean_until_an_import_brings_them_again(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, BEN])
    await filed.remove(ANN, BEN)
    await filed.add([BEN])

    assert await scrubbed(jobs, [ANN, BEN], filed) == ([ANN], [BEN], [])


class Meanwhile(Crew):
    """Children before whose tasks something else happens."""

    def __init__(self, first: Callable[[], Awaitable[object]]) -> None:
        super().__init__(memory_bytes=CHILD_MEMORY_BYTES, size=1)
        self._first = first

    @asynccontextmanager
    async def child(self) -> AsyncIterator[Child]:
        await self._first()
        async with super().child() as child:
            yield child


@pytest.mark.fault("F17")
async def test_who_opts_out_again_while_lists_are_read_is_not_clean(jobs: ListJobs, filed: FiledList, tmp_path: Path):
    # Asked before the other one: its single entry is brought to a child between the look at the lists and at what was removed.
    early = filed
    late = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id)
    await single(early, CLEO)
    await late.add([ANN, BEN])
    await late.remove(BEN)
    entries = EntryService(jobs.db, LookUp(Indexes(jobs.storage)))

    async def opt_out() -> None:
        await entries.collect(jobs.brand_id, str(late.list_id), ANN)

    async with Meanwhile(opt_out) as crew, AsyncExitStack() as stack:
        files = HeldFiles(jobs.db, jobs.storage, crew, tmp_path, stack)
        found = {store.list_id: lists for store, lists in await files.of(jobs.brand_id, [early.list_id, late.list_id])}

        asked = Digests.of(digest_of(text, late.hash) for text in (ANN, BEN))
        assert held(found[late.list_id]).holds(asked).tolist() == [True, False]


@pytest.mark.fault("F17")
async def test_who_opts_out_again_and_leaves_the_files_while_lists_are_read_is_not_clean(
    jobs: ListJobs, filed: FiledList, tmp_path: Path
):
    await filed.add([ANN, BEN])
    await single(filed, CLEO)
    later = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id)
    await single(later, CLEO)
    entries = EntryService(jobs.db, LookUp(Indexes(jobs.storage)))
    compactor = Compactor(jobs.db, jobs.storage, min_free_bytes=0)

    async def opt_out() -> None:
        if await entries.collect(jobs.brand_id, str(filed.list_id), ANN):
            await compactor.compact(jobs.brand_id, filed.list_id, everything=True)

    async with Meanwhile(opt_out) as crew, AsyncExitStack() as stack:
        files = HeldFiles(jobs.db, jobs.storage, crew, tmp_path, stack)
        found = {store.list_id: lists for store, lists in await files.of(jobs.brand_id, [filed.list_id, later.list_id])}

        assert held(found[filed.list_id]).holds(Digests.of([digest_of(ANN, filed.hash)])).tolist() == [True]
    assert await filed.holds([ANN, BEN]) == [BEN]


async def test_a_list_of_addresses_alone_removes_no_number(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, "491711234567"])
    async with jobs.db.autocommit() as conn:
        await conn.execute("UPDATE optout_list SET channels = 2 WHERE id = %s", [filed.list_id])

    assert await scrubbed(jobs, [ANN, "491711234567"], filed) == (["491711234567"], [ANN], [])


async def test_a_table_keeps_its_header_and_whole_rows(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, CLEO])
    rows = [
        '1;"Ann; of Example";Ann@example.com',
        '2;"Ben";ben@example.com',
        "3;Cleo",
        f'4;"unbalanced;{CLEO}',
        f"5;;{CLEO}",
        "6;;",
    ]
    content = "\ufeffid;name;E-Mail\r\n" + "".join(f"{row}\r\n" for row in rows)

    job = await jobs.scrub(content.encode(), [filed.list_id])

    clean, removed, rejects = await parted(jobs, job)
    assert (clean, removed) == (["id;name;E-Mail", rows[1]], ["id;name;E-Mail", rows[0], rows[4]])
    assert rejects == ["4", "5", "7"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "utf-16"])
async def test_files_are_read_however_they_are_written(jobs: ListJobs, filed: FiledList, encoding: str):
    await filed.add([ANN])
    text = f"{ANN}\r\n\r\n{BEN}"
    content = {
        "gzip": lambda: gzip.compress(text.encode()),
        "zstd": lambda: zstandard.compress(text.encode()),
        "utf-16": lambda: text.encode("utf-16"),
    }[encoding]()

    job = await jobs.scrub(content, [filed.list_id], gzipped=True)

    assert gzip.decompress(await jobs.file(job, "clean.csv.gz")).decode() == f"{BEN}\n"
    assert gzip.decompress(await jobs.file(job, "removed.csv.gz")).decode() == f"{ANN}\n"


async def test_compressed_tables_keep_their_header(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])

    job = await jobs.scrub(f"email\n{ANN}\n{BEN}\n".encode(), [filed.list_id], gzipped=True)

    assert gzip.decompress(await jobs.file(job, "clean.csv.gz")).decode() == f"email\n{BEN}\n"


@pytest.mark.parametrize("content", [b"", b"\n\n \n"])
async def test_an_empty_file_has_nothing_on_either_side(jobs: ListJobs, filed: FiledList, content: bytes):
    job = await jobs.scrub(content, [filed.list_id])

    assert await parted(jobs, job) == ([], [], [])


async def test_what_is_no_text_fails_with_a_sentence(jobs: ListJobs, filed: FiledList):
    with pytest.raises(JobFailed, match="a zip archive"):
        await jobs.scrub(b"PK\x03\x04 and so on", [filed.list_id])


@pytest.mark.fault("F17")
async def test_who_cannot_be_read_is_never_clean_and_nothing_is_given_back_broken(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    rows = [f"{BEN};Müller", f"{CLEO};Miller", "müller@example.com;x"]
    table = await jobs.scrub("\n".join(["email;name", *rows]).encode("cp1252"), [filed.list_id])
    lines = await jobs.scrub(
        "müller@example.com\n".encode("cp1252") + f"mill\ufffder@example.com\n{BEN}".encode(), [filed.list_id]
    )

    assert await parted(jobs, table) == (["email;name", rows[1]], ["email;name"], ["2", "4"])
    assert await parted(jobs, lines) == ([BEN], [], ["1", "2"])
    assert b"Send the file in UTF-8" in await jobs.file(table, "rejects.csv")


async def test_a_list_that_cannot_be_asked_fails_the_scrub_instead_of_passing_everybody(
    jobs: ListJobs, filed: FiledList
):
    await filed.add([ANN])
    await ListService(jobs.db).update(jobs.brand_id, str(filed.list_id), ListPatch(enabled=False))

    with pytest.raises(JobFailed, match="Enable it"):
        await jobs.scrub(ANN.encode(), [filed.list_id])


async def test_groups_and_links_are_asked_where_their_entries_lie(
    jobs: ListJobs, filed: FiledList, other_brand_id: UUID
):
    theirs = await FiledList.made(jobs.db, jobs.storage, other_brand_id)
    await theirs.add([BEN])
    await filed.add([ANN])
    lists = ListService(jobs.db)
    await lists.grant(other_brand_id, str(theirs.list_id), jobs.brand_id)
    link = await lists.create(jobs.brand_id, ListDraft(name="link", kind="linked", linked=str(theirs.list_id)))
    members = [str(link.id), str(filed.list_id)]
    group = await lists.create(jobs.brand_id, ListDraft(name="group", kind="grouped", members=members))

    job = await jobs.scrub(f"{ANN}\n{BEN}\n{CLEO}\n".encode(), [group.id, link.id])

    assert await parted(jobs, job) == ([CLEO], [ANN, BEN], [])


@pytest.mark.parametrize("what", ["disabled", "not granted"])
async def test_a_group_with_one_member_that_cannot_be_asked_fails_the_scrub(
    jobs: ListJobs, filed: FiledList, other_brand_id: UUID, what: str
):
    theirs = await FiledList.made(jobs.db, jobs.storage, other_brand_id)
    await theirs.add([BEN])
    lists = ListService(jobs.db)
    await lists.grant(other_brand_id, str(theirs.list_id), jobs.brand_id)
    link = await lists.create(jobs.brand_id, ListDraft(name="link", kind="linked", linked=str(theirs.list_id)))
    members = [str(link.id), str(filed.list_id)]
    group = await lists.create(jobs.brand_id, ListDraft(name="group", kind="grouped", members=members))
    if what == "disabled":
        await lists.update(jobs.brand_id, "link", ListPatch(enabled=False))
    else:
        await lists.revoke(other_brand_id, str(theirs.list_id), jobs.brand_id)

    with pytest.raises(JobFailed, match="cannot be asked: 'link'"):
        await jobs.scrub(f"{BEN}\n".encode(), [group.id])


async def test_many_lines_in_many_blocks_end_where_a_look_up_says(jobs: ListJobs, filed: FiledList):
    other = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name="sha512")
    draw = random.Random(7)
    people = [
        f"user{number}@{draw.choice(['example.com', 'web.example', 'xn--exmple-cua.com'])}" for number in range(4_000)
    ]
    await filed.add([text for text in people if draw.random() < 0.2])
    await filed.add(["@web.example"] + [f"{number}" for number in range(4915110000, 4915110500)])
    await other.add([text for text in people if draw.random() < 0.1])
    taken_off = draw.sample(people, 300)
    await filed.remove(*taken_off)
    lines = [
        draw.choice(
            [text, text.upper(), hash_of(text, "md5").hex(), hash_of(text, "sha512").hex(), f"{4915110000 + place}"]
        )
        for place, text in enumerate(people)
    ]
    indexes = Indexes(jobs.storage)
    check = BulkCheck(jobs.db, LookUp(indexes))
    by_look_up = {
        line
        for one in (filed, other)
        for line, told in zip(lines, await check.check(jobs.brand_id, str(one.list_id), lines), strict=True)
        if told.is_listed
    }
    await indexes.aclose()

    content = "".join(f"{line}\n" for line in lines).encode()
    job = await jobs.scrub(content, [filed.list_id, other.list_id], block_bytes=16 << 10)

    clean, removed, rejects = await parted(jobs, job)
    assert rejects == []
    on_lists = set(removed)
    assert [line for line in lines if line in on_lists] == removed
    assert [line for line in lines if line not in on_lists] == clean
    assert on_lists == by_look_up
    assert len(clean) > 1_000
    assert len(removed) > 1_000


async def test_of_lines_that_cannot_be_read_the_first_are_kept_and_all_are_counted(jobs: ListJobs, filed: FiledList):
    content = b"".join(b"no address %d\n" % number for number in range(12))
    job = await jobs.scrub(content, [filed.list_id], block_lines=5, rejects_max=7)

    _, _, rejects = await parted(jobs, job)

    assert (job.malformed, rejects) == (12, [str(number) for number in range(1, 8)])
