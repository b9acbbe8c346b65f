"""Files of lists in an object storage: what is put is there, and what is asked often lies on this machine, once and bounded."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from obstore.store import from_url

from s3_server import BUCKET, S3Server, s3_server
from stentor.errors import NoRoom, Unavailable
from stentor.optouts.object_storage import ObjectStorage, StorageRefused
from stentor.optouts.storage import NotStored, make_private

pytestmark = pytest.mark.anyio

NAME = "runs/0192.index"
LARGE = os.urandom(1 << 20) * 20 + b"the end"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    async with s3_server() as server:
        for name, text in server.environment.items():
            monkeypatch.setenv(name, text)
        yield server


@pytest.fixture
def storage(server: S3Server, tmp_path: Path) -> ObjectStorage:
    return at(tmp_path)


URL = f"s3://{BUCKET}/stentor"


def at(directory: Path, *, cache_bytes: int = 1 << 30) -> ObjectStorage:
    return ObjectStorage.at(URL, directory / "lists", cache_bytes=cache_bytes)


def on_a_disk_of(directory: Path, disk_bytes: int) -> ObjectStorage:
    """A machine whose disk takes copies of so many bytes altogether."""

    def reserve(descriptor: int, start: int, size: int) -> None:
        taken = sum(path.stat().st_size for path in (directory / "lists" / "cache").iterdir())
        if taken + size > disk_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.posix_fallocate(descriptor, start, size)

    return ObjectStorage(from_url(URL), directory / "lists", cache_bytes=1 << 30, reserve=reserve)


async def all_of(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def gets(server: S3Server) -> int:
    return sum(method == "GET" for method, _ in server.asked)


@pytest.mark.parametrize("content", [b"", b"abcdef", LARGE], ids=["empty", "small", "large"])
async def test_a_file_that_was_put_is_there(server: S3Server, storage: ObjectStorage, content: bytes):
    make_private(storage.work)
    made = storage.work / "made"
    made.write_bytes(content)

    await storage.put(NAME, made)
    await storage.put_bytes("uploads/a1/1-0", bytearray(content))

    assert server.objects == {f"stentor/{NAME}": content, "stentor/uploads/a1/1-0": content}
    assert not made.exists()
    assert await storage.size(NAME) == len(content)
    assert await all_of(storage.stream(NAME)) == content


async def test_a_part_is_read_alone_and_in_pieces(storage: ObjectStorage):
    await storage.put_bytes(NAME, LARGE)

    assert await all_of(storage.stream(NAME, 5, 10)) == LARGE[5:10]
    assert await all_of(storage.stream(NAME, len(LARGE) - 3)) == LARGE[-3:]
    assert await all_of(storage.stream(NAME, len(LARGE))) == b""
    assert max([len(piece) async for piece in storage.stream(NAME)]) == 1 << 20


async def test_what_is_not_there_is_not_stored(storage: ObjectStorage):
    with pytest.raises(NotStored):
        await all_of(storage.stream(NAME))
    with pytest.raises(NotStored):
        async with storage.local(NAME):
            pass
    assert await storage.size(NAME) is None
    await storage.delete([NAME])


async def test_files_are_listed_and_deleted(server: S3Server, storage: ObjectStorage):
    for name in ("uploads/a1/1-0", "uploads/b2/1-0", NAME):
        await storage.put_bytes(name, b"abc")
    server.objects["stentor/uploads/.strange"] = b""

    assert {(name, size) async for name, size, _ in storage.names("uploads")} == {
        ("uploads/a1/1-0", 3),
        ("uploads/b2/1-0", 3),
    }
    assert [name async for name, *_ in storage.names("uploads/b2")] == ["uploads/b2/1-0"]
    await storage.delete(["uploads/a1/1-0", NAME])
    assert server.objects.keys() == {"stentor/uploads/b2/1-0", "stentor/uploads/.strange"}


@pytest.mark.fault("S9")
@pytest.mark.parametrize("name", ["../secret", "runs/../../secret", "work/x", "runs/%2e%2e%2fsecret", "runs/a\0b"])
async def test_a_name_that_is_none_of_ours_asks_nothing(server: S3Server, storage: ObjectStorage, name: str):
    for one in (
        storage.size(name),
        storage.put_bytes(name, b""),
        storage.delete([name]),
        all_of(storage.stream(name)),
        storage.local(name).__aenter__(),
    ):
        with pytest.raises(ValueError, match="names no file"):
            await one

    assert server.asked == []


async def test_a_file_is_fetched_once_for_all_who_ask_for_it(server: S3Server, storage: ObjectStorage, tmp_path: Path):
    await storage.put_bytes(NAME, LARGE)
    another_process = at(tmp_path)

    async def read(by: ObjectStorage) -> bool:
        async with by.local(NAME) as path:
            return await asyncio.to_thread(path.read_bytes) == LARGE

    assert await asyncio.gather(*(read(by) for by in (storage, another_process) * 4)) == [True] * 8
    ranges = gets(server)
    assert ranges == 3
    assert await read(storage)
    assert gets(server) == ranges


async def test_copies_are_bounded_and_the_one_unused_for_longest_goes_first(server: S3Server, tmp_path: Path):
    storage = at(tmp_path, cache_bytes=250)
    for name in ("runs/a", "runs/b", "runs/c"):
        await storage.put_bytes(name, bytes(100))

    for number, name in enumerate(("runs/a", "runs/b", "runs/a", "runs/c")):
        async with storage.local(name) as path:
            pass
        os.utime(path, (number, number))

    assert copies(tmp_path) == {"runs+a", "runs+c"}


async def test_a_copy_that_is_in_use_stays(server: S3Server, tmp_path: Path):
    storage = at(tmp_path, cache_bytes=150)
    for name in ("runs/a", "runs/b", "runs/c"):
        await storage.put_bytes(name, bytes(100))

    async with storage.local("runs/a") as path, at(tmp_path, cache_bytes=150).local("runs/b"):
        assert path.exists()
        assert copies(tmp_path) == {"runs+a", "runs+b"}
    async with storage.local("runs/c"):
        pass

    assert copies(tmp_path) == {"runs+c"}


async def test_copies_that_nobody_uses_make_room_on_a_full_disk(server: S3Server, tmp_path: Path):
    storage = on_a_disk_of(tmp_path, 250)
    for name in ("runs/a", "runs/b", "runs/c"):
        await storage.put_bytes(name, bytes(100))
    for number, name in enumerate(("runs/a", "runs/b")):
        async with storage.local(name) as path:
            pass
        os.utime(path, (number, number))

    async with storage.local("runs/c") as path:
        assert path.read_bytes() == bytes(100)

    assert copies(tmp_path) == {"runs+b", "runs+c"}


async def test_a_disk_that_is_full_of_copies_in_use_is_told_and_nothing_is_left_half_made(
    server: S3Server, tmp_path: Path
):
    storage = on_a_disk_of(tmp_path, 150)
    for name in ("runs/a", "runs/b"):
        await storage.put_bytes(name, bytes(100))

    async with storage.local("runs/a") as path:
        with pytest.raises(NoRoom, match="is full"):
            async with storage.local("runs/b"):
                pass
        assert path.read_bytes() == bytes(100)
        assert copies(tmp_path) == {"runs+a"}
    async with storage.local("runs/b") as path:
        assert path.read_bytes() == bytes(100)


async def test_who_waits_no_longer_lets_go_of_a_copy_only_when_nothing_writes_it_any_more(
    server: S3Server, tmp_path: Path
):
    begun, may_go_on = threading.Event(), threading.Event()
    written: list[str] = []

    def reserve(descriptor: int, *_: int) -> None:
        begun.set()
        may_go_on.wait(10)
        with suppress(OSError):
            written.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    storage = ObjectStorage(from_url(URL), tmp_path / "lists", cache_bytes=1 << 30, reserve=reserve)
    await storage.put_bytes("runs/a", bytes(100))
    fetching = asyncio.create_task(storage.local("runs/a").__aenter__())
    await asyncio.to_thread(begun.wait, 10)

    fetching.cancel()
    await asyncio.wait({fetching}, timeout=0.05)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await fetching

    assert [name.rpartition(".")[2] for name in written] == ["making"]
    assert copies(tmp_path) == set()


async def test_copies_that_nobody_used_for_a_week_go(server: S3Server, tmp_path: Path):
    storage = at(tmp_path)
    assert await storage.drop_old_copies() == 0
    for name in ("segments/old", "segments/used", "segments/new"):
        await storage.put_bytes(name, bytes(100))
        async with storage.local(name):
            pass
    half_made = tmp_path / "lists" / "cache" / "segments+left.12345678.making"
    half_made.touch()
    eight_days_ago_s = time.time() - 8 * 86_400
    async with storage.local("segments/used") as used:
        for path in (used, used.with_name("segments+old"), half_made):
            os.utime(path, (eight_days_ago_s, eight_days_ago_s))

        assert await storage.drop_old_copies() == 2

    assert copies(tmp_path) == {"segments+used", "segments+new"}


async def test_of_an_upload_which_is_read_once_no_copy_is_kept(server: S3Server, tmp_path: Path):
    name = "uploads/a1/1-0"
    await at(tmp_path).put_bytes(name, b"ann@example.com")

    async with at(tmp_path).local(name), at(tmp_path).local(name) as path:
        assert path.read_bytes() == b"ann@example.com"

    assert copies(tmp_path) == set()


def copies(directory: Path) -> set[str]:
    return {path.name for path in (directory / "lists" / "cache").iterdir() if path.name[0] != "."}


async def test_many_files_go_through_a_small_cache_at_once(server: S3Server, tmp_path: Path):
    storage = at(tmp_path, cache_bytes=100)
    contents = {f"runs/{number}": bytes([number]) * 100 for number in range(10)}
    for name, content in contents.items():
        await storage.put_bytes(name, content)

    async def read(name: str) -> bool:
        async with AsyncExitStack() as stack:
            path = await stack.enter_async_context(storage.local(name))
            await asyncio.sleep(0)
            return path.read_bytes() == contents[name]

    assert all(await asyncio.gather(*(read(name) for name in list(contents) * 5)))


async def test_a_storage_that_is_away_for_a_moment_is_asked_again(server: S3Server, storage: ObjectStorage):
    await storage.put_bytes(NAME, b"abc")
    server.fails = 2

    assert await all_of(storage.stream(NAME)) == b"abc"


async def test_a_storage_that_sends_too_little_is_not_believed(server: S3Server, storage: ObjectStorage):
    await storage.put_bytes(NAME, b"abc")
    server.cut = True

    with pytest.raises(Unavailable):
        await all_of(storage.stream(NAME))
    with pytest.raises(Unavailable):
        async with storage.local(NAME):
            pass


async def test_wrong_credentials_are_told(
    server: S3Server, storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await storage.put_bytes(NAME, b"abc")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another one")

    with pytest.raises(Unavailable, match="refuses our credentials"):
        await at(tmp_path).put_bytes(NAME, b"other")

    assert server.objects == {f"stentor/{NAME}": b"abc"}


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/path"])
def test_a_url_of_no_storage_is_refused(url: str, tmp_path: Path):
    with pytest.raises(StorageRefused, match="is no storage"):
        ObjectStorage.at(url, tmp_path, cache_bytes=0)
