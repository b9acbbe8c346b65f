"""Files of people in the console: looked at before they begin, carried to their end, paused, cancelled, and their rejects told."""

import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from httpx import AsyncClient, Response

from browsing import form_token
from console_world import OWN, ConsoleWorld
from stentor.audience.held_imports import HELD_DAYS_MAX, HeldFile, HeldFiles
from stentor.audience.import_carrier import ImportCarrier
from stentor.audience.model import ImportJob
from stentor.errors import Conflict

pytestmark = pytest.mark.anyio

GOOD = "external_id,email,Fürst <b>,locale\ncrm-1,aino@example.org,Ärö,fi\ncrm-2,nobody,<script>,xx-nonsense-\n,c@example.org,,\n"


async def bring(
    console: ConsoleWorld, at: AsyncClient, content: str, *, name: str = "crm.csv", kind: str = "customers"
) -> Response:
    here = f"{console.root}/imports/new"
    token = form_token(await at.get("/console/account"))
    return await at.post(
        here,
        data={"form_token": token, "kind": kind},
        files={"file": (name, content.encode(), "text/csv")},
        headers=OWN,
    )


def there(folder: Path) -> list[Path]:
    """The files below that folder."""
    return list(folder.rglob("*.*"))


def contents(folder: Path) -> list[Path]:
    """The held files below that folder."""
    return [path for path in there(folder) if path.suffix == ".data"]


async def press(at: AsyncClient, path: str, button: str) -> Response:
    token = form_token(await at.get("/console/account"))
    return await at.post(path, data={"form_token": token, "do": button}, headers=OWN)


async def ended(console: ConsoleWorld, import_id: UUID) -> ImportJob:
    """The import when nobody carries it any more."""
    for _ in range(2_000):
        job = await console.services.imports.get(console.brand.id, import_id)
        if job.state != "running":
            return job
    raise AssertionError(job)


async def test_a_file_is_looked_at_before_it_begins_and_its_rejects_are_told(console: ConsoleWorld):
    at = await console.enters()
    brought = await bring(console, at, GOOD)
    assert brought.status_code == 303, brought.text
    looked = await at.get(brought.headers["location"])

    assert "<script>" not in looked.text.partition("<main")[2]
    assert "the attribute <b><bdi>Fürst &lt;b&gt;" in looked.text
    assert "the field <b>email</b>" in looked.text
    assert looked.text.count('<span class="pill hold">look</span>') == 2
    assert (await console.services.imports.page(console.brand.id)) == []

    begun = await press(at, brought.headers["location"], "begin")
    assert begun.status_code == 303, begun.text
    job = await ended(console, UUID(begun.headers["location"].rpartition("/")[2]))
    assert (job.state, job.added, job.rejected) == ("succeeded", 1, 2)
    page = await at.get(begun.headers["location"])
    assert "Line 3" in page.text
    rejects = await at.get(f"{begun.headers['location']}/rejects.csv")
    assert rejects.text.splitlines()[0] == "line,reason"
    assert len(rejects.text.splitlines()) == 3
    listed = await at.get(f"{console.root}/imports")
    assert re.findall(r'data-l="(\w+)" class="num">(\d+)', listed.text) == [
        ("Added", "1"),
        ("Changed", "0"),
        ("Unchanged", "0"),
        ("Rejected", "2"),
    ]
    # Once it is done with, the file is gone.
    assert (await at.get(brought.headers["location"])).status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "kind", "why"),
    [
        ("crm.xlsx", "PK", "customers", "ends in .csv or .ndjson"),
        ("told.csv", "external_id,name\n", "events", "Events come as NDJSON"),
        ("crm.csv", "external_id\n", "pigeons", "Say what is in the file"),
    ],
)
async def test_what_is_no_such_file_is_not_kept(
    console: ConsoleWorld, tmp_path: Path, name: str, content: str, kind: str, why: str
):
    refused = await bring(console, await console.enters(), content, name=name, kind=kind)

    assert (refused.status_code, why in refused.text) == (400, True)
    assert not contents(tmp_path)


async def test_a_file_that_cannot_be_read_is_thrown_away(console: ConsoleWorld, tmp_path: Path):
    at = await console.enters()
    brought = await bring(console, at, "email\naino@example.org\n")
    looked = await at.get(brought.headers["location"])

    assert "The header needs a column external_id" in looked.text
    assert "Import it" not in looked.text
    assert (await press(at, brought.headers["location"], "discard")).status_code == 303
    assert not contents(tmp_path)


async def test_whose_file_it_is_not_finds_none_and_a_viewer_brings_none(console: ConsoleWorld):
    at = await console.enters()
    brought = await bring(console, at, GOOD)
    other = await console.services.accounts.create_brand("Other")
    theirs = await console.enters("marketer", other)
    file_id = brought.headers["location"].rpartition("/")[2]

    viewer = await console.enters("viewer")
    assert (await bring(console, viewer, GOOD)).status_code == 403
    assert (await viewer.get(brought.headers["location"])).status_code == 200
    assert (await press(viewer, brought.headers["location"], "begin")).status_code == 403
    assert (await theirs.get(f"/console/brands/{other.id}/imports/files/{file_id}")).status_code == 404


async def test_what_was_left_off_goes_on_where_it_stands_and_what_is_cancelled_does_not(
    console: ConsoleWorld, tmp_path: Path
):
    service, brand_id = console.services.imports, console.brand.id
    files = HeldFiles(tmp_path / "imports")
    carrier = ImportCarrier(service, files)

    async def begun(name: str) -> ImportJob:
        lines = b"external_id\n" + b"".join(b"%s-%d\n" % (name.encode(), number) for number in range(20))
        held = await files.keep(brand_id, name, "customers", "csv", _once(lines))
        job = await service.begin(brand_id, "customers", "csv", name, bytes_total=held.bytes)
        await files.adopt(held, job.id)
        return job

    first, second = await begun("first"), await begun("second")
    await service.stop(brand_id, first.id)
    await carrier.go_on(brand_id, first.id)
    await carrier.settled(first.id)
    await carrier.cancel(brand_id, second.id, asked_by="ina@example.org")

    assert (await service.get(brand_id, first.id)).added == 20
    cancelled = await service.get(brand_id, second.id)
    assert cancelled.state == "failed"
    assert cancelled.problem.startswith("Cancelled by ina@example.org.")
    for job in (first, second):
        with pytest.raises(Conflict):
            await service.stop(brand_id, job.id)
        with pytest.raises(Conflict):
            await service.cancel(brand_id, job.id, asked_by="ina@example.org")
    assert not contents(tmp_path)


async def test_a_file_that_nobody_went_on_with_is_gone_after_a_week(tmp_path: Path):
    files, brand_id = HeldFiles(tmp_path), UUID(int=7)

    async def kept() -> HeldFile:
        return await files.keep(brand_id, "crm.csv", "customers", "csv", _once(b"external_id\n"))

    await kept()
    for path in there(tmp_path):
        os.utime(path, (0, time.time() - (HELD_DAYS_MAX + 1) * 86_400))
    new = await kept()

    assert sorted(path.name for path in there(tmp_path)) == [f"{new.id}.data", f"{new.id}.json"]
    assert {path.stat().st_mode & 0o777 for path in there(tmp_path)} == {0o600}


def _once(content: bytes) -> Callable[[int], Awaitable[bytes]]:
    pieces = iter([content, b""])

    async def read(_: int) -> bytes:
        return next(pieces)

    return read
