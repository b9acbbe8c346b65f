"""Imports, exports and scrubs of opt-out lists, prepared, watched and fetched by a backend."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from api_world import World
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.optouts.jobs.model import ResultFile
from stentor.optouts.jobs.working import Counts, claim_next, finish
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio


async def made(world: World) -> str:
    """The code of a new list."""
    return (await world.ask("POST", "/optout-lists", json={"name": "L"})).json()["code"]


async def upload_url(world: World) -> str:
    """Where a file for a new list goes."""
    code = (await world.ask("POST", "/optout-lists", json={"name": f"List {new_id()}"})).json()["code"]
    return (await world.ask("POST", f"/optout-lists/{code}/imports", json={})).json()["upload_url"]


async def test_an_import_is_prepared_and_takes_its_file_by_a_link(world: World):
    code = await made(world)

    prepared = await world.ask("POST", f"/optout-lists/{code}/imports", json={"bytes": 16})
    job = prepared.json()
    sent = await world.client.put(job["upload_url"], content=b"ann@example.org\n")
    standing = (await world.ask("GET", f"/optout-jobs/{job['id']}")).json()

    assert (prepared.status_code, job["state"], job["kind"], job["bytes"]) == (201, "uploading", "import", 16)
    assert job["upload_until"] > job["created_at"]
    assert sent.status_code == 200
    assert (standing["state"], standing["received_bytes"], standing["upload_url"]) == ("queued", 16, "")


async def test_jobs_are_listed_newest_first_of_a_list_or_of_a_kind(world: World, other_world: World):
    code = await made(world)
    await made(other_world)
    await other_world.ask("POST", "/optout-lists/L/imports", json={})
    first = (await world.ask("POST", f"/optout-lists/{code}/imports", json={})).json()["id"]
    export = (await world.ask("POST", "/optout-lists/built-in/exports", json={"columns": ["plain"]})).json()["id"]
    scrub = (await world.ask("POST", "/optout-scrubs", json={"against": ["L", "built-in"]})).json()["id"]

    async def listed(query: str = "") -> list[str]:
        return [job["id"] for job in (await world.ask("GET", f"/optout-jobs{query}")).json()["data"]]

    assert await listed() == [scrub, export, first]
    assert await listed("?list=L") == [first]
    assert await listed("?kind=export") == [export]
    assert (await world.ask("GET", "/optout-jobs?list=never")).status_code == 404
    page = (await world.ask("GET", "/optout-jobs?limit=2")).json()
    rest = (await world.ask("GET", f"/optout-jobs?limit=2&cursor={page['next_cursor']}")).json()
    assert ([job["id"] for job in rest["data"]], rest["next_cursor"]) == ([first], None)


async def test_an_export_names_where_its_file_will_be(world: World):
    body = {"columns": ["plain", "ip"], "first_day": "2026-01-01", "domains": ["co.uk"], "format": "ndjson"}

    job = (await world.ask("POST", "/optout-lists/built-in/exports", json=body)).json()
    early = await world.client.get(job["download_url"])

    assert (job["state"], job["spec"]["columns"], job["spec"]["first_day"]) == ("queued", ["plain", "ip"], "2026-01-01")
    assert early.status_code == 404
    for wrong in ({"columns": [""]}, {"columns": ["plain"], "first_day": "2026-02-01", "last_day": "2026-01-01"}):
        assert (await world.ask("POST", "/optout-lists/built-in/exports", json=wrong)).status_code == 400


async def test_a_scrub_names_lists_that_there_are(world: World, other_world: World):
    theirs = await made(other_world)

    for against in ([""], ["built-in", theirs], ["built-in"] * 101):
        refused = await world.ask("POST", "/optout-scrubs", json={"against": against})
        assert refused.status_code == 400
        assert refused.json()["violations"][0]["pointer"].startswith("/against")


async def test_a_job_is_removed_once_and_takes_no_file_any_more(world: World):
    code = await made(world)
    job = (await world.ask("POST", f"/optout-lists/{code}/imports", json={})).json()

    removed = await world.ask("DELETE", f"/optout-jobs/{job['id']}")
    again = await world.ask("DELETE", f"/optout-jobs/{job['id']}")
    late = await world.client.put(job["upload_url"], content=b"ann@example.org\n")

    assert (removed.status_code, removed.json()["state"], again.json()["state"]) == (200, "removed", "removed")
    assert late.status_code == 404


async def test_a_watched_job_tells_what_changes_and_ends_with_it(world: World, db: Database, installation: Core):
    code = await made(world)
    job = (await world.ask("POST", f"/optout-lists/{code}/imports", json={"bytes": 2})).json()
    await world.client.put(job["upload_url"], content=b"x\n")
    path = f"/optout-jobs/{job['id']}"

    watching = asyncio.create_task(world.ask("GET", f"{path}/events"))
    claimed = await claim_next(db, "w")
    assert claimed is not None
    name = f"results/{job['id']}/1-rejects.csv"
    await installation.storage.put_bytes(name, b"line,reason\r\n1,no\r\n")
    async with db.transaction() as conn:
        await finish(
            conn,
            claimed,
            "success",
            counts=Counts(submitted=1, malformed=1),
            results={"rejects.csv": ResultFile(name, 19, "e")},
        )
    events = (await asyncio.wait_for(watching, 10)).text
    told = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    rejects = await world.ask("GET", f"{path}/rejects.csv")
    ended = (await world.ask("GET", path)).json()

    assert told[-1]["state"] == "success"
    assert (ended["submitted"], ended["malformed"], ended["files"][0]["name"]) == (1, 1, "rejects.csv")
    assert (rejects.status_code, rejects.text) == (200, "line,reason\r\n1,no\r\n")
    assert (await world.client.get(ended["files"][0]["url"])).text == rejects.text
    assert (await world.ask("DELETE", path)).status_code == 409


async def test_rejects_are_not_there_before_they_are(world: World, other_world: World):
    code = await made(world)
    job = (await world.ask("POST", f"/optout-lists/{code}/imports", json={})).json()["id"]

    own, foreign, missing = [
        await asked.ask("GET", f"/optout-jobs/{job_id}/rejects.csv", headers={"X-Request-Id": "same"})
        for asked, job_id in ((world, job), (other_world, job), (other_world, UUID(int=1)))
    ]

    assert own.status_code == foreign.status_code == 404
    assert foreign.content == missing.content


async def test_where_a_file_goes_is_told_to_whom_may_write_alone(world: World):
    code = await made(world)
    job = (await world.ask("POST", f"/optout-lists/{code}/imports", json={})).json()
    reader, writer = await world.key("read"), await world.key("read", "write")

    seen = [(await world.ask("GET", f"/optout-jobs/{job['id']}", token=token)).json() for token in (reader, writer)]
    listed = (await world.ask("GET", "/optout-jobs", token=reader)).json()["data"]

    assert [one["upload_url"] for one in seen] == ["", job["upload_url"]]
    assert [one["upload_url"] for one in listed] == [""]


async def test_files_of_one_brand_that_come_slowly_keep_no_other_brand_waiting(world: World, other_world: World):
    urls = [await upload_url(world) for _ in range(3)]
    coming, let_go_on = [asyncio.Event(), asyncio.Event()], asyncio.Event()

    async def slowly(begun: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"ann@example.org\n"
        begun.set()
        await let_go_on.wait()

    slow = [
        asyncio.create_task(world.client.put(url, content=slowly(begun)))
        for url, begun in zip(urls, coming, strict=False)
    ]
    for begun in coming:
        await begun.wait()
    third = await world.client.put(urls[2], content=b"cleo@example.org\n")
    others = await other_world.client.put(await upload_url(other_world), content=b"ben@example.org\n")
    let_go_on.set()
    sent = [await one for one in slow]
    again = await world.client.put(urls[2], content=b"cleo@example.org\n")

    assert (third.status_code, third.headers["retry-after"]) == (503, "5")
    assert [answer.status_code for answer in (others, *sent, again)] == [200, 200, 200, 200]
