"""Files of lists by signed links: sent whole or in pieces, and fetched again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from msgspec.structs import replace

from api_world import Client, World
from list_jobs import ListJobs
from loading_world import counts
from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.optouts.jobs.model import Job
from stentor.optouts.jobs.service import FILE_BYTES_MAX
from stentor.optouts.links import FileLink
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.storage import Storage
from stentor.optouts.uploads import PART_BYTES
from stentor.testing.waiting import eventually
from stentor.wiring.core import Core

pytestmark = pytest.mark.anyio

PIECE = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
FILE = b"ann@example.org\nbob@example.org\n"


@pytest.fixture
def storage(installation: Core) -> Storage:
    return installation.storage


async def prepared(world: World, declared_bytes: int | None = len(FILE)) -> Job:
    return await world.services.optout_jobs.prepare_import(world.brand.id, "built-in", declared_bytes=declared_bytes)


def link_to(world: World, job: Job, **changed: Any) -> str:
    link = FileLink("upload", job.brand_id, job.id, job.upload_until or job.created_at)
    return f"/storage/{world.services.file_links.token(replace(link, **changed))}"


async def job_of(world: World, job: Job) -> Job:
    return await world.services.optout_jobs.get(world.brand.id, job.id)


async def kept(storage: Storage, job: Job) -> bytes:
    """The pieces of the file, joined."""
    names = sorted([name async for name, *_ in storage.names(f"uploads/{job.id}")])
    return b"".join([piece for name in names for piece in [await _whole(storage, name)]])


async def _whole(storage: Storage, name: str) -> bytes:
    return b"".join([piece async for piece in storage.stream(name)])


async def too_late(installation: Core, job: Job) -> None:
    """As if the fifteen minutes were over."""
    async with installation.db.transaction() as conn:
        await conn.execute("UPDATE optout_job SET upload_until = now() - interval '1 second' WHERE id = %s", [job.id])


async def begun(world: World, job: Job) -> bool:
    return (await job_of(world, job)).is_begun


def refusal(answer: Response) -> tuple[int, str]:
    """The status of a refused request, and the code of its XML."""
    assert answer.headers["content-type"].startswith("application/xml")
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


async def test_a_file_that_is_put_whole_is_stored_and_queued(world: World, storage: Storage):
    job = await prepared(world)

    answer = await world.client.put(link_to(world, job), content=FILE)

    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["etag"] == f'"{hashlib.md5(FILE).hexdigest()}"'  # noqa: S324  as S3 has it
    after = await job_of(world, job)
    assert (after.state, after.received_bytes, after.kept_until) == ("queued", len(FILE), None)
    assert after.ready_at is not None
    assert await kept(storage, job) == FILE


async def test_a_file_larger_than_any_other_body_comes_through_in_parts(world: World, storage: Storage):
    file = b"0123456789abcdef" * (PART_BYTES // 16) + b"the rest"

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(file), 1 << 20):
            yield file[start : start + (1 << 20)]

    job = await prepared(world, len(file))
    answer = await world.client.put(link_to(world, job), content=chunks())

    assert answer.status_code == 200
    assert answer.headers["etag"].endswith('-2"')
    assert [size async for _, size, _ in storage.names(f"uploads/{job.id}")] != [len(file)]
    assert hashlib.sha256(await kept(storage, job)).digest() == hashlib.sha256(file).digest()


@pytest.mark.fault("F17")
@pytest.mark.parametrize(("declared", "came"), [(100, 32), (10, 32)])
async def test_a_file_of_another_length_than_declared_fails_its_import_and_not_its_upload(
    world: World, declared: int, came: int
):
    job = await prepared(world, declared)

    answer = await world.client.put(link_to(world, job), content=FILE)

    after = await job_of(world, job)
    assert answer.status_code == 200
    assert (after.state, after.message) == (
        "failed",
        f"The file was declared with {declared} bytes, and {came} came.",
    )
    assert after.ended_at is not None


@pytest.mark.fault("F17")
async def test_pieces_make_a_file(world: World, storage: Storage):
    job = await prepared(world)
    link = link_to(world, job)

    before = await world.client.head(link)
    first = await world.client.patch(link, content=FILE[:10], headers={**PIECE, "Upload-Offset": "0"})
    between = await world.client.head(link)
    last = await world.client.patch(link, content=FILE[10:], headers={**PIECE, "Upload-Offset": "10"})
    after = await world.client.head(link)

    assert [answer.headers["upload-offset"] for answer in (before, first, between, last, after)] == [
        "0",
        "10",
        "10",
        "32",
        "32",
    ]
    assert (before.headers["upload-length"], before.headers["tus-resumable"]) == ("32", "1.0.0")
    assert (before.status_code, first.status_code, last.status_code) == (200, 204, 204)
    assert (await job_of(world, job)).state == "queued"
    assert await kept(storage, job) == FILE


async def test_a_file_without_a_declared_length_is_whole_when_its_sender_says_so(world: World):
    job = await prepared(world, None)
    link = link_to(world, job)

    asked = await world.client.head(link)
    await world.client.patch(
        link, content=FILE[:10], headers={**PIECE, "Upload-Offset": "0", "Upload-Length": str(len(FILE))}
    )
    told = await world.client.head(link)
    await world.client.patch(link, content=FILE[10:], headers={**PIECE, "Upload-Offset": "10"})

    assert asked.headers["upload-defer-length"] == "1"
    assert told.headers["upload-length"] == str(len(FILE))
    assert (await job_of(world, job)).state == "queued"


async def test_a_whole_file_takes_the_place_of_pieces(world: World, storage: Storage):
    job = await prepared(world)
    link = link_to(world, job)
    await world.client.patch(link, content=b"something else", headers={**PIECE, "Upload-Offset": "0"})

    await world.client.put(link, content=FILE)

    assert await kept(storage, job) == FILE


@pytest.fixture
async def server(services: Services) -> AsyncIterator[ApiServer]:
    """The same over a socket, which can break in the middle of a body."""
    server, stop = ApiServer(create_app(services, ApiSettings(secret=b"s")), host="127.0.0.1", port=0), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run(stop))
        yield server
        stop.set()


async def connected(server: ApiServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    with suppress(ConnectionError):
        return await asyncio.open_connection(server.host, server.port)
    return None


@pytest.mark.fault("F17")
async def test_a_piece_that_breaks_off_at_nine_tenths_goes_on_from_there_and_is_loaded_once(
    world: World, server: ApiServer, installation: Core
):
    people = [f"person{number}@example.org" for number in range(1_000)]
    file = "\n".join([*people, people[7], "rubbish"]).encode()
    job = await prepared(world, len(file))
    link, most = link_to(world, job), len(file) * 9 // 10
    head = [
        f"PATCH {link} HTTP/1.1",
        "Host: x",
        "Upload-Offset: 0",
        f"Content-Length: {len(file)}",
        "Expect: 100-continue",
    ]

    reader, writer = await eventually(lambda: connected(server))
    writer.write(
        "".join(f"{line}\r\n" for line in [*head, *(f"{name}: {said}" for name, said in PIECE.items()), ""]).encode()
    )
    async with asyncio.timeout(20):
        # Whoever says so waits for the body: all of it that comes before the break is heard.
        assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
    writer.write(file[:most])
    await writer.drain()
    writer.close()

    async def come() -> int:
        return int((await world.client.head(link)).headers["upload-offset"])

    reached = await eventually(come)
    rest = await world.client.patch(link, content=file[reached:], headers={**PIECE, "Upload-Offset": str(reached)})

    assert 0 < reached <= most
    assert (rest.status_code, rest.headers["upload-offset"]) == (204, str(len(file)))
    assert await kept(installation.storage, job) == file
    jobs = ListJobs(installation.db, installation.storage, world.brand.id)
    assert counts(await jobs.done(job, ImportRunner(installation.db, installation.storage))) == (1_002, 1_000, 1, 1)


@pytest.mark.fault("F17")
async def test_a_piece_from_elsewhere_is_refused(world: World, storage: Storage):
    job = await prepared(world)
    link = link_to(world, job)

    ahead = await world.client.patch(link, content=FILE[5:], headers={**PIECE, "Upload-Offset": "5"})
    nowhere = await world.client.patch(link, content=FILE, headers=PIECE)
    unread = await world.client.patch(link, content=FILE, headers={**PIECE, "Upload-Offset": "-1"})
    untyped = await world.client.patch(link, content=FILE, headers={"Content-Type": "text/csv", "Upload-Offset": "0"})
    later = await world.client.patch(
        link, content=FILE, headers={**PIECE, "Tus-Resumable": "2.0.0", "Upload-Offset": "0"}
    )

    assert [refusal(answer) for answer in (ahead, nowhere, unread, untyped)] == [
        (409, "OperationAborted"),
        (400, "InvalidRequest"),
        (400, "InvalidRequest"),
        (415, "InvalidArgument"),
    ]
    assert (later.status_code, later.headers["tus-version"]) == (412, "1.0.0")
    assert (await world.client.head(link, headers={"Tus-Resumable": "2.0.0"})).status_code == 412
    assert await kept(storage, job) == b""


@pytest.mark.parametrize(
    "said", ["Application/Offset+Octet-Stream", "application/offset+octet-stream; charset=utf-8", None]
)
async def test_a_piece_is_known_by_its_type_however_it_is_written(world: World, said: str | None):
    job = await prepared(world)
    headers = {"Upload-Offset": "0"} if said is None else {"Upload-Offset": "0", "Content-Type": said}

    answer = await world.client.patch(link_to(world, job), content=FILE, headers=headers)

    assert answer.status_code == 204


async def test_a_part_that_is_put_as_if_it_were_the_whole_spoils_nothing(world: World):
    job = await prepared(world)

    part = await world.client.put(link_to(world, job), content=FILE[:10], headers={"Content-Range": "bytes 0-9/32"})
    whole = await world.client.put(link_to(world, job), content=FILE)

    assert refusal(part) == (400, "InvalidRequest")
    assert "PATCH" in part.text
    assert whole.status_code == 200
    assert (await job_of(world, job)).state == "queued"


@pytest.mark.fault("F17")
async def test_of_two_senders_the_later_one_has_the_file(world: World, storage: Storage):
    job = await prepared(world)
    link = link_to(world, job)
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 10
        await go_on.wait()
        yield b"x" * 22

    first = asyncio.create_task(world.client.put(link, content=slow()))
    await eventually(lambda: begun(world, job))
    second = await world.client.put(link, content=FILE)
    go_on.set()

    assert refusal(await first) == (409, "OperationAborted")
    assert second.status_code == 200
    assert await kept(storage, job) == FILE
    assert (await job_of(world, job)).state == "queued"


async def test_a_file_that_has_come_does_not_come_again(world: World):
    job = await prepared(world)
    await world.client.put(link_to(world, job), content=FILE)

    again = await world.client.put(link_to(world, job), content=FILE)

    assert refusal(again) == (409, "OperationAborted")


@pytest.mark.fault("S9")
async def test_an_upload_begins_within_fifteen_minutes(world: World, installation: Core):
    job = await prepared(world)
    await too_late(installation, job)

    whole = await world.client.put(link_to(world, job), content=FILE)
    piece = await world.client.patch(link_to(world, job), content=FILE, headers={**PIECE, "Upload-Offset": "0"})

    assert refusal(whole) == refusal(piece) == (403, "AccessDenied")
    assert "<Message>Request has expired</Message>" in whole.text
    assert (await world.client.head(link_to(world, job))).status_code == 403


@pytest.mark.fault("F17")
async def test_an_upload_that_began_in_time_may_finish(world: World, installation: Core):
    job = await prepared(world)
    link = link_to(world, job)
    await world.client.patch(link, content=FILE[:10], headers={**PIECE, "Upload-Offset": "0"})
    await too_late(installation, job)

    anew = await world.client.put(link, content=FILE)
    on = await world.client.patch(link, content=FILE[10:], headers={**PIECE, "Upload-Offset": "10"})

    assert refusal(anew) == (403, "AccessDenied")
    assert on.status_code == 204
    assert (await job_of(world, job)).state == "queued"


async def test_what_is_too_large_is_refused_at_once(world: World):
    job = await prepared(world, None)

    answer = await world.client.put(
        link_to(world, job), content=b"x", headers={"Content-Length": str(FILE_BYTES_MAX + 1)}
    )

    assert refusal(answer) == (413, "EntityTooLarge")


async def test_an_encoding_that_is_read_is_kept_and_another_refused(world: World):
    job = await prepared(world, None)

    refused = await world.client.put(link_to(world, job), content=FILE, headers={"Content-Encoding": "br"})
    await world.client.put(link_to(world, job), content=FILE, headers={"Content-Encoding": "gzip"})

    assert refusal(refused) == (415, "InvalidArgument")
    assert (await job_of(world, job)).encoding == "gzip"


async def test_a_removed_upload_takes_no_more(world: World):
    job = await prepared(world)
    await world.services.optout_jobs.remove(world.brand.id, job.id)

    assert refusal(await world.client.put(link_to(world, job), content=FILE)) == (404, "NoSuchKey")
    assert (await world.client.head(link_to(world, job))).status_code == 404


async def test_a_path_says_what_it_takes(world: World):
    answer = await world.client.options("/storage/anything")

    assert answer.status_code == 204
    assert (answer.headers["tus-version"], answer.headers["tus-max-size"]) == ("1.0.0", str(FILE_BYTES_MAX))
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, PATCH, PUT"


@pytest.mark.fault("S9")
@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e%2f%2e%2e%2fsecret.key",
        "..%5c..%5csecret.key",
        "%252e%252e%252fsecret.key",
        "%2fetc%2fpasswd",
        "%E2%88%95etc%E2%88%95passwd",
        "runs%2f0192.index",
        "a" * 500,
        "%ff%fe",
        "\u2025",
    ],
)
async def test_a_forged_link_opens_nothing(app_client: Client, path: str):
    for method in ("GET", "PUT", "PATCH", "HEAD"):
        answer = await app_client.request(method, f"/storage/{path}", content=b"" if method[0] == "P" else None)
        if method != "HEAD":
            assert refusal(answer) == (403, "SignatureDoesNotMatch")
        assert answer.status_code == 403


@pytest.mark.fault("S9")
@pytest.mark.parametrize(("path", "status"), [("a%00b", 400), ("../secret.key", 404), ("a/../../b", 404), ("", 404)])
async def test_a_path_that_is_no_link_leads_nowhere(app_client: Client, path: str, status: int):
    answer = await app_client.get(f"/storage/{path}")

    assert answer.status_code == status


@pytest.mark.fault("S9")
async def test_a_link_opens_only_what_it_was_made_for(world: World, other_world: World):
    job = await prepared(world)
    download = link_to(world, job, purpose="download", file_name="optouts.csv")
    foreign = link_to(world, job, brand_id=other_world.brand.id)

    assert refusal(await world.client.put(download, content=FILE)) == (403, "SignatureDoesNotMatch")
    assert refusal(await world.client.put(f"{link_to(world, job)}?Expires=9999999999", content=FILE)) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert refusal(await world.client.put(foreign, content=FILE)) == (404, "NoSuchKey")


async def made(world: World, installation: Core, content: bytes, *, file_name: str = "optouts.csv") -> str:
    """The link to a file that an export has made."""
    job = await world.services.optout_jobs.begin_export(world.brand.id, "built-in", {})
    name = f"results/{job.id}/1-{file_name}"
    await installation.storage.put_bytes(name, content)
    async with installation.db.transaction() as conn:
        await conn.execute(
            "UPDATE optout_job SET state = 'success', ended_at = now(), results = jsonb_build_object(%s::text,"
            " jsonb_build_object('name', %s::text, 'bytes', %s::bigint, 'etag', 'abc')) WHERE id = %s",
            [file_name, name, len(content), job.id],
        )
    until = job.created_at + timedelta(days=7)
    return link_to(world, job, purpose="download", file_name=file_name, until=until)


async def test_a_download_is_not_there_until_it_is_ready(world: World, installation: Core):
    job = await world.services.optout_jobs.begin_export(world.brand.id, "built-in", {})
    until = job.created_at + timedelta(days=7)
    link = link_to(world, job, purpose="download", file_name="optouts.csv", until=until)

    waiting = await world.client.get(link)
    async with installation.db.transaction() as conn:
        await conn.execute("UPDATE optout_job SET state = 'failed', message = 'No list.' WHERE id = %s", [job.id])
    failed = await world.client.get(link)

    assert refusal(waiting) == refusal(failed) == (404, "NoSuchKey")
    assert "not ready yet" in waiting.text
    assert "could not be made: No list." in failed.text


async def test_a_download_is_served_whole_and_in_ranges(world: World, installation: Core):
    content = bytes(range(256)) * 10_000
    link = await made(world, installation, content)

    whole = await world.client.get(link)
    head = await world.client.head(link)
    part = await world.client.get(link, headers={"Range": "Bytes=10-19"})
    rest = await world.client.get(link, headers={"Range": "bytes=2559990-"})
    end = await world.client.get(link, headers={"Range": "bytes=-5"})
    past = await world.client.get(link, headers={"Range": "bytes=2560000-"})

    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["etag"] == '"abc"'
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "text/csv; charset=utf-8"
    assert whole.headers["content-disposition"] == (
        "attachment; filename=\"optouts.csv\"; filename*=UTF-8''optouts.csv"
    )
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "2560000", b"")
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == "bytes 10-19/2560000"
    assert (rest.status_code, rest.content) == (206, content[-10:])
    assert (end.status_code, end.content) == (206, content[-5:])
    assert (past.status_code, past.headers["content-range"]) == (416, "bytes */2560000")


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=-"])
async def test_a_range_that_is_none_gets_the_whole(world: World, installation: Core, asked: str):
    answer = await world.client.get(await made(world, installation, b"abcdef"), headers={"Range": asked})

    assert (answer.status_code, answer.content) == (200, b"abcdef")


async def test_a_download_that_is_known_is_not_sent_again(world: World, installation: Core):
    link = await made(world, installation, b"abcdef")

    known = await world.client.get(link, headers={"If-None-Match": 'W/"x", "abc"'})
    same = await world.client.get(link, headers={"Range": "bytes=1-2", "If-Range": '"abc"'})
    other = await world.client.get(link, headers={"Range": "bytes=1-2", "If-Range": '"old"'})

    assert (known.status_code, known.content) == (304, b"")
    assert (same.status_code, same.content) == (206, b"bc")
    assert (other.status_code, other.content) == (200, b"abcdef")


async def test_an_empty_file_is_a_file(world: World, installation: Core):
    answer = await world.client.get(await made(world, installation, b""))

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "0", b"")


@pytest.mark.fault("S9")
async def test_a_download_ends_with_its_link(world: World, installation: Core):
    link = await made(world, installation, b"abcdef")
    read = world.services.file_links.read(link.removeprefix("/storage/"))
    assert read is not None
    async with installation.db.read() as conn:
        row = await (await conn.execute("SELECT now()")).fetchone()
    assert row is not None
    over = world.services.file_links.token(
        FileLink("download", read.brand_id, read.job_id, row[0] - timedelta(seconds=1), read.file_name)
    )

    answer = await world.client.get(f"/storage/{over}")

    assert refusal(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


async def test_a_file_that_is_gone_is_not_found(world: World, installation: Core):
    link = await made(world, installation, b"abcdef")
    names = [name async for name, *_ in installation.storage.names("results")]
    await installation.storage.delete(names)

    assert refusal(await world.client.get(link)) == (404, "NoSuchKey")
