"""Lists as files: which entries are in them, how they are written, and what becomes of what others may not read."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from list_jobs import ListJobs
from optout_files import FiledList
from stentor.db.pool import Database
from stentor.db.reserve import DiskReserve
from stentor.errors import NoRoom
from stentor.optouts.exporting.runner import ExportRunner
from stentor.optouts.hashing import HASH_NAMES, HashName, digest_of, hash_of
from stentor.optouts.jobs.working import JobFailed
from stentor.optouts.lists import ListService
from stentor.optouts.model import ListDraft
from stentor.optouts.names import index_name
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

ANN, BEN, CLEO = "ann@example.com", "ben@example.com", "cleo@mail.example.co.uk"


async def single(
    filed: FiledList, text: str, *, cause: str = "collect", ago: timedelta = timedelta(), **columns: str
) -> None:
    """A single entry; `columns` are campaign, affiliate, sub_affiliate, ip."""
    names = ("campaign", "affiliate", "sub_affiliate", "ip")
    async with filed.db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at, address, campaign, affiliate,"
            " sub_affiliate, ip) VALUES (%s, %s, %s, %s, %s, now() - %s::interval, %s, %s, %s, %s, %s)",
            [
                filed.list_id,
                digest_of(text, filed.hash),
                filed.brand_id,
                1 if "@" in text else 2,
                cause,
                ago,
                text,
                *(columns.get(name, "") for name in names),
            ],
        )


def table(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


async def plain(jobs: ListJobs, filed: FiledList, **spec: Any) -> list[str]:
    """The addresses that an export has, in its order."""
    job = await jobs.export(filed.list_id, "plain", **spec)
    header, *rows = table(await jobs.file(job, "optouts.csv"))
    assert header == ["plain"]
    assert (job.state, job.submitted, job.added) == ("success", len(rows), len(rows))
    return [row[0] if row else "" for row in rows]


async def test_an_export_has_the_entries_of_all_files_in_the_order_in_which_they_came_and_then_the_single_ones(
    jobs: ListJobs, filed: FiledList
):
    await filed.add([BEN, ANN])
    await filed.add(["@example.org", "491711234567"])
    await single(filed, "+33612345678")
    await single(filed, "+33@example.com")

    exported = await plain(jobs, filed)
    assert exported[:4] == [BEN, ANN, "@example.org", "491711234567"]
    assert set(exported[4:]) == {"33612345678", "+33@example.com"}


@pytest.mark.parametrize("runs", ["there", "lost"])
async def test_who_is_in_a_file_and_opted_out_is_told_once_by_the_opt_out(jobs: ListJobs, filed: FiledList, runs: str):
    await filed.add([ANN, BEN])
    await filed.add([CLEO], learned=timedelta(days=1))
    await single(filed, ANN, cause="unsubscribe", campaign="May")
    await single(filed, "dan@example.com", cause="bounce")
    if runs == "lost":
        await jobs.storage.delete([index_name(run_id) for run_id in await filed.live("run")])

    job = await jobs.export(filed.list_id, "plain", "campaign")

    rows = table(await jobs.file(job, "optouts.csv"))[1:]
    assert {row[0]: row[1] for row in rows} == {BEN: "summer", CLEO: "summer", ANN: "May", "dan@example.com": ""}
    assert len(rows) == job.added == 4


async def test_a_lapsed_opt_out_hides_nobody_in_a_file(jobs: ListJobs):
    filed = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, expiry_days=10)
    await filed.add([ANN])
    await single(filed, ANN, ago=timedelta(days=11))

    assert await plain(jobs, filed) == [ANN]


async def test_columns_are_named_and_ordered_as_asked_for(jobs: ListJobs, filed: FiledList):
    await single(filed, ANN, campaign='Spring, "new"', affiliate="aff", sub_affiliate="", ip="192.0.2.7")

    job = await jobs.export(filed.list_id, "ip", "campaign", "hashed", "plain", "timestamp")

    content = await jobs.file(job, "optouts.csv")
    header, row = table(content)
    assert header == ["ip", "campaign", "affiliate", "sub_affiliate", "hashed", "plain", "timestamp"]
    assert row[:6] == ["192.0.2.7", 'Spring, "new"', "aff", "", hash_of(ANN, "md5").hex(), ANN]
    assert abs(datetime.strptime(row[6], "%Y-%m-%dT%H:%M:%S%z") - datetime.now(UTC)) < timedelta(minutes=1)
    # What is empty has no quotes.
    assert b'aff,,"' not in content
    assert b"aff,," in content


@pytest.mark.parametrize("name", HASH_NAMES)
async def test_hashes_are_computed_of_plain_entries_and_told_as_they_came_otherwise(jobs: ListJobs, name: HashName):
    filed = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name=name)
    await filed.add([ANN])
    await filed.add([BEN], hashed=True)
    await single(filed, CLEO)

    job = await jobs.export(filed.list_id, "plain", "hashed")

    assert table(await jobs.file(job, "optouts.csv"))[1:] == [
        [ANN, hash_of(ANN, name).hex()],
        ["", hash_of(BEN, name).hex()],
        [CLEO, hash_of(CLEO, name).hex()],
    ]


async def test_an_entry_of_which_only_the_digest_is_known_is_exported_as_its_hash(jobs: ListJobs, filed: FiledList):
    await single(filed, ANN)
    async with jobs.db.autocommit() as conn:
        await conn.execute("UPDATE optout_recent SET address = NULL")

    job = await jobs.export(filed.list_id, "plain", "hashed")

    assert table(await jobs.file(job, "optouts.csv"))[1:] == [["", hash_of(ANN, "md5").hex()]]


@pytest.mark.parametrize("name", ["md5", "sha512"])
async def test_who_was_removed_is_left_out_until_an_import_brings_them_again(jobs: ListJobs, name: HashName):
    filed = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name=name)
    await filed.add([ANN, BEN, CLEO])
    await filed.remove(ANN, BEN)
    await filed.add([BEN])

    assert await plain(jobs, filed) == [CLEO, BEN]


async def test_the_address_of_who_was_erased_is_told_no_more_and_their_hash_is(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, BEN])
    await filed.erase(ANN)

    job = await jobs.export(filed.list_id, "plain", "hashed")

    assert table(await jobs.file(job, "optouts.csv"))[1:] == [
        ["", hash_of(ANN, "md5").hex()],
        [BEN, hash_of(BEN, "md5").hex()],
    ]


async def test_what_has_lapsed_is_left_out(jobs: ListJobs):
    filed = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, expiry_days=10)
    await filed.add([ANN], learned=timedelta(days=11))
    await filed.add([BEN], learned=timedelta(days=9))
    await single(filed, CLEO, ago=timedelta(days=11))
    await single(filed, "dan@example.com", ago=timedelta(days=9))

    assert await plain(jobs, filed) == [BEN, "dan@example.com"]


async def test_collected_and_imported_entries_are_told_apart(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    await single(filed, BEN)
    await single(filed, CLEO, cause="api")
    await single(filed, "dan@example.com", cause="bounce")

    assert sorted(await plain(jobs, filed, collections=("collected",))) == [BEN, "dan@example.com"]
    assert sorted(await plain(jobs, filed, collections=("imported",))) == [ANN, CLEO]


async def test_days_are_of_utc_and_both_count(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    await single(filed, BEN, ago=timedelta(days=3))
    today = datetime.now(UTC).date()
    before = today - timedelta(days=3)

    # A night in between may have passed.
    assert await plain(jobs, filed, first_day=today - timedelta(days=1), last_day=today + timedelta(days=1)) == [ANN]
    assert await plain(jobs, filed, last_day=before) == [BEN]
    assert await plain(jobs, filed, first_day=before, last_day=date.max) == [ANN, BEN]


async def test_domains_match_from_label_to_label(jobs: ListJobs, filed: FiledList):
    people = [
        ANN,
        CLEO,
        "dan@notexample.com",
        "eve@sub.example.com",
        "@example.com",
        "491711234567",
        "fay@xn--exmple-cua.com",
    ]
    await filed.add(people)

    assert await plain(jobs, filed, domains=("Example.com",)) == [ANN, "eve@sub.example.com", "@example.com"]
    assert await plain(jobs, filed, domains=("co.uk", "exämple.com")) == [CLEO, "fay@xn--exmple-cua.com"]


@pytest.mark.fault("S8")
async def test_cells_for_spreadsheets_are_text_and_phone_numbers_stay_numbers(jobs: ListJobs, filed: FiledList):
    await filed.add(["=cmd@example.com", "@example.org"])
    await single(filed, ANN, campaign='=HYPERLINK("x")', affiliate="+49301234567", sub_affiliate="-1", ip="\uff1d1")

    raw = await jobs.export(filed.list_id, "plain", "campaign", "ip", collections=("collected",))
    told = await jobs.export(filed.list_id, "plain", "campaign", "ip", spreadsheet=True)

    assert table(await jobs.file(raw, "optouts.csv"))[1] == [ANN, '=HYPERLINK("x")', "+49301234567", "-1", "\uff1d1"]
    rows = table(await jobs.file(told, "optouts.spreadsheet.csv"))[1:]
    assert [row[0] for row in rows] == ["'=cmd@example.com", "'@example.org", ANN]
    assert rows[2][1:] == ['\'=HYPERLINK("x")', "+49301234567", "'-1", "'\uff1d1"]


@pytest.mark.fault("S8")
async def test_cells_that_begin_with_a_tab_or_a_line_end_are_text_for_spreadsheets_too(
    jobs: ListJobs, filed: FiledList
):
    cells = ["\t=1", "\r=1", "\n=1"]
    await single(filed, ANN, campaign=cells[0], affiliate=cells[1], sub_affiliate=cells[2])

    raw = await jobs.export(filed.list_id, "campaign")
    told = await jobs.export(filed.list_id, "campaign", spreadsheet=True)

    assert table(await jobs.file(raw, "optouts.csv"))[1] == cells
    assert table(await jobs.file(told, "optouts.spreadsheet.csv"))[1] == [f"'{cell}" for cell in cells]


@pytest.mark.fault("S8")
async def test_a_file_for_machines_and_one_for_spreadsheets_are_told_apart_by_their_names(
    jobs: ListJobs, filed: FiledList
):
    await filed.add([ANN])

    raw = await jobs.export(filed.list_id, "plain")
    told = await jobs.export(filed.list_id, "plain", spreadsheet=True)

    assert (list(raw.results), list(told.results)) == (["optouts.csv"], ["optouts.spreadsheet.csv"])


async def test_ndjson_has_an_object_per_entry(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    await single(filed, '"a\\b"@example.com', campaign="two\nlines")

    job = await jobs.export(filed.list_id, "plain", "campaign", format="ndjson")

    lines = (await jobs.file(job, "optouts.ndjson")).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"plain": ANN, "campaign": "summer", "affiliate": "aff", "sub_affiliate": "sub"},
        {"plain": '"a\\b"@example.com', "campaign": "two\nlines", "affiliate": "", "sub_affiliate": ""},
    ]


async def test_parquet_has_all_entries_of_all_files(jobs: ListJobs, filed: FiledList, tmp_path: Path):
    await filed.add([ANN])
    await filed.add([BEN])
    await filed.remove(ANN)
    await single(filed, CLEO)

    job = await jobs.export(filed.list_id, "plain", "hashed", "timestamp", format="parquet")

    path = tmp_path / "export.parquet"
    path.write_bytes(await jobs.file(job, "optouts.parquet"))
    with duckdb.connect() as database:
        rows = database.execute("SELECT plain, hashed FROM read_parquet(?)", [str(path)]).fetchall()
        kinds = [row[1] for row in database.execute("DESCRIBE FROM read_parquet(?)", [str(path)]).fetchall()]
    assert rows == [(text, hash_of(text, "md5").hex()) for text in (BEN, CLEO)]
    # What is not said to be of UTC, readers take for their own time.
    assert kinds == ["VARCHAR", "VARCHAR", "TIMESTAMP WITH TIME ZONE"]


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
async def test_an_empty_list_is_an_empty_file(jobs: ListJobs, filed: FiledList, file_format: Any, tmp_path: Path):
    job = await jobs.export(filed.list_id, "plain", "timestamp", format=file_format)

    content = await jobs.file(job, f"optouts.{file_format}")
    assert (job.state, job.submitted) == ("success", 0)
    if file_format == "parquet":
        path = tmp_path / "export.parquet"
        path.write_bytes(content)
        with duckdb.connect() as database:
            assert database.execute("FROM read_parquet(?)", [str(path)]).fetchall() == []
    else:
        assert content == (b"plain,timestamp\n" if file_format == "csv" else b"")


async def test_a_group_is_exported_as_what_its_members_have_and_a_link_as_what_it_leads_to(
    jobs: ListJobs, filed: FiledList, other_brand_id: UUID
):
    theirs = await FiledList.made(jobs.db, jobs.storage, other_brand_id)
    await filed.add([ANN])
    await theirs.add([BEN])
    lists = ListService(jobs.db)
    await lists.grant(other_brand_id, str(theirs.list_id), jobs.brand_id)
    link = await lists.create(jobs.brand_id, ListDraft(name="link", kind="linked", linked=str(theirs.list_id)))
    members = [str(link.id), str(filed.list_id)]
    group = await lists.create(jobs.brand_id, ListDraft(name="group", kind="grouped", members=members))

    linked = await jobs.export(link.id, "plain", "ip")
    grouped = await jobs.export(group.id, "plain")

    # Whom the other brand's list holds is told, from where they came is not.
    assert await jobs.file(linked, "optouts.csv") == f"plain,ip\n{BEN},\n".encode()
    assert await jobs.file(grouped, "optouts.csv") == f"plain\n{BEN}\n{ANN}\n".encode()
    await lists.revoke(other_brand_id, str(theirs.list_id), jobs.brand_id)
    with pytest.raises(JobFailed, match="enabled"):
        await jobs.export(link.id, "plain")


async def test_another_brands_list_is_not_exported(jobs: ListJobs, other_brand_id: UUID):
    theirs = await FiledList.made(jobs.db, jobs.storage, other_brand_id)
    await theirs.add([BEN])
    mine = await jobs.service.begin_export(other_brand_id, str(theirs.list_id), {"columns": ["plain"]})
    async with jobs.db.autocommit() as conn:
        await conn.execute("UPDATE optout_job SET brand_id = %s WHERE id = %s", [jobs.brand_id, mine.id])

    with pytest.raises(JobFailed):
        await jobs.done(mine, ExportRunner(jobs.db, jobs.storage))


async def test_who_was_erased_is_a_hash_and_nothing_else_as_in_the_files_that_are_made_anew(
    jobs: ListJobs, filed: FiledList
):
    await filed.add([ANN, BEN])
    await filed.erase(ANN)

    job = await jobs.export(filed.list_id, "plain", "campaign", "ip", "hashed")

    assert table(await jobs.file(job, "optouts.csv"))[1:] == [
        ["", "", "", "", "", hash_of(ANN, "md5").hex()],
        [BEN, "summer", "aff", "sub", "192.0.2.1", hash_of(BEN, "md5").hex()],
    ]
    # Their domain would be told by that.
    assert await plain(jobs, filed, domains=("example.com",)) == [BEN]


async def test_entries_without_an_address_are_rows_too_where_nothing_else_is_asked_for(jobs: ListJobs):
    filed = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id, hash_name="sha256")
    await filed.add([ANN, BEN], hashed=True)

    job = await jobs.export(filed.list_id, "plain")

    assert await jobs.file(job, "optouts.csv") == b'plain\n""\n""\n'
    assert table(await jobs.file(job, "optouts.csv")) == [["plain"], [""], [""]]


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
async def test_a_group_has_who_is_on_several_of_its_lists_once(
    jobs: ListJobs, filed: FiledList, file_format: Any, tmp_path: Path
):
    also = await FiledList.made(jobs.db, jobs.storage, jobs.brand_id)
    await filed.add([CLEO, ANN])
    await filed.remove(CLEO)
    await also.add([ANN, CLEO, BEN])
    await single(filed, BEN)
    members = [str(one.list_id) for one in (filed, also)]
    group = await ListService(jobs.db).create(jobs.brand_id, ListDraft(name="group", kind="grouped", members=members))

    job = await jobs.export(group.id, "plain", format=file_format)

    path = tmp_path / "export"
    path.write_bytes(await jobs.file(job, f"optouts.{file_format}"))
    read = {"csv": "read_csv(?, header = true)", "ndjson": "read_json(?)", "parquet": "read_parquet(?)"}[file_format]
    with duckdb.connect() as database:
        rows = database.execute(f"SELECT plain FROM {read}", [str(path)]).fetchall()  # noqa: S608  one of three
    assert [row[0] for row in rows] == [ANN, BEN, CLEO]
    assert job.added == 3


async def test_what_compaction_has_taken_out_is_not_looked_for_again(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN, BEN])
    await filed.remove(ANN)
    async with jobs.db.autocommit() as conn:
        # As if a compaction had searched the file and not found them.
        await conn.execute("UPDATE optout_segment SET cleared = 1")

    assert await plain(jobs, filed) == [ANN, BEN]


async def test_the_order_is_that_of_the_files_however_much_was_removed(jobs: ListJobs, filed: FiledList):
    people = [f"p{number}@example.com" for number in range(3_000)]
    await filed.add(people)
    await filed.remove(*people[::2], *(f"s{number}@example.com" for number in range(3_000)))

    first = await jobs.export(filed.list_id, "plain", "hashed")
    second = await jobs.export(filed.list_id, "plain", "hashed")

    content = await jobs.file(first, "optouts.csv")
    assert [row[0] for row in table(content)[1:]] == people[1::2]
    assert await jobs.file(second, "optouts.csv") == content


async def test_who_opts_out_by_a_link_while_a_list_is_read_is_not_in_it_twice(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    async with jobs.db.transaction() as conn:
        # What is removed is read by now, and the single entries are not.
        await conn.execute("LOCK TABLE optout_recent IN ACCESS EXCLUSIVE MODE")
        exporting = asyncio.create_task(jobs.export(filed.list_id, "plain"))
        await eventually(lambda: waits_for_single_entries(jobs.db))
        await filed.remove(ANN)
        await conn.execute(
            "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at, address)"
            " VALUES (%s, %s, %s, 1, 'collect', now(), %s)",
            [filed.list_id, digest_of(ANN, "md5"), filed.brand_id, ANN],
        )

    assert await jobs.file(await exporting, "optouts.csv") == f"plain\n{ANN}\n".encode()


async def waits_for_single_entries(db: Database) -> bool:
    async with db.read() as conn:
        found = await conn.execute("SELECT FROM pg_locks WHERE relation = 'optout_recent'::regclass AND NOT granted")
        return bool(await found.fetchall())


def open_files() -> Iterator[Path]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield descriptor.readlink()


async def test_a_full_disk_is_said_to_be_full(jobs: ListJobs, filed: FiledList):
    await filed.add([ANN])
    job = await jobs.service.begin_export(jobs.brand_id, str(filed.list_id), {"columns": ["plain"]})
    reserve = DiskReserve([jobs.storage.work], 1_000_000, free_bytes=lambda _: 999_999)

    with pytest.raises(NoRoom, match="Make room"):
        await jobs.done(job, ExportRunner(jobs.db, jobs.storage, reserve))

    # Who has a file open keeps its room, whether or not it is deleted.
    assert not [path for path in open_files() if path.is_relative_to(jobs.storage.work)]
