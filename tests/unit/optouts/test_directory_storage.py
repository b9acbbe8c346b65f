"""Files of lists in a directory: whole or not there, nobody else's, and never outside of it."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stentor.errors import NoRoom
from stentor.optouts.storage import DirectoryStorage, NotStored, full_disks_named, make_private

pytestmark = pytest.mark.anyio

NAME = "runs/0192.index"


@pytest.fixture
def storage(tmp_path: Path) -> DirectoryStorage:
    return DirectoryStorage(tmp_path / "lists")


async def all_of(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_file_that_was_moved_in_is_there_and_no_longer_where_it_was_made(storage: DirectoryStorage):
    make_private(storage.work)
    made = storage.work / "made"
    made.write_bytes(b"abcdef")

    await storage.put(NAME, made)

    assert await all_of(storage.stream(NAME)) == b"abcdef"
    assert await storage.size(NAME) == 6
    assert not made.exists()


async def test_a_part_of_a_file_is_read_alone(storage: DirectoryStorage):
    await storage.put_bytes(NAME, b"abcdef")

    assert await all_of(storage.stream(NAME, 2, 4)) == b"cd"
    assert await all_of(storage.stream(NAME, 4)) == b"ef"
    assert await all_of(storage.stream(NAME, 6)) == b""


async def test_a_large_file_comes_in_pieces(storage: DirectoryStorage):
    await storage.put_bytes(NAME, bytes(3_000_000))

    assert [len(piece) async for piece in storage.stream(NAME)] == [1 << 20, 1 << 20, 3_000_000 - (2 << 20)]


async def test_a_file_is_read_where_it_lies(storage: DirectoryStorage):
    await storage.put_bytes(NAME, b"abc")

    async with storage.local(NAME) as path:
        assert path.read_bytes() == b"abc"


async def test_what_is_not_there_is_not_stored(storage: DirectoryStorage):
    with pytest.raises(NotStored):
        await all_of(storage.stream(NAME))
    with pytest.raises(NotStored):
        async with storage.local(NAME):
            pass
    assert await storage.size(NAME) is None
    await storage.delete([NAME])


async def test_files_are_listed_below_a_prefix(storage: DirectoryStorage):
    await storage.put_bytes("uploads/a1/1-0", b"one")
    await storage.put_bytes("uploads/b2/1-0", b"three")
    await storage.put_bytes(NAME, b"")

    assert {(name, size) async for name, size, _ in storage.names("uploads")} == {
        ("uploads/a1/1-0", 3),
        ("uploads/b2/1-0", 5),
    }
    assert [name async for name, *_ in storage.names("uploads/b2/")] == ["uploads/b2/1-0"]
    assert [found async for found in storage.names("segments")] == []


async def test_the_last_file_takes_its_folder_with_it(storage: DirectoryStorage, tmp_path: Path):
    await storage.put_bytes("uploads/a1/1-0", b"one")
    await storage.put_bytes("uploads/a1/1-3", b"one")

    await storage.delete(["uploads/a1/1-0"])
    assert (tmp_path / "lists/uploads/a1").exists()
    await storage.delete(["uploads/a1/1-3"])

    assert list((tmp_path / "lists/uploads").iterdir()) == []


async def test_nobody_else_may_look_into_it(storage: DirectoryStorage, tmp_path: Path):
    await storage.put_bytes("uploads/a1/1-0", b"one")
    made = tmp_path / "made"
    made.write_bytes(b"")
    made.chmod(0o644)
    await storage.put(NAME, made)

    modes = {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "lists", *(tmp_path / "lists").rglob("*")]}

    assert modes == {0o700, 0o600}


@pytest.mark.fault("S9")
@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "runs/../../secret",
        "runs/..",
        "runs/.hidden",
        "/etc/passwd",
        "runs//x",
        "runs/",
        "runs",
        "work/x",
        "runs/a\\..\\b",
        "runs/%2e%2e%2fsecret",
        "runs/a\0b",
        "runs/a%00b",
        "runs/a\n",
        "runs/\u2025/secret",
        "runs/\uff0e\uff0e\uff0fsecret",
        "runs/a\u2215b",
        "file:///etc/passwd",
        "runs/a/b/c/d",
        "",
    ],
)
async def test_a_name_that_is_none_of_ours_touches_nothing(storage: DirectoryStorage, tmp_path: Path, name: str):
    (tmp_path / "secret").write_text("secret")
    asked = [
        storage.size(name),
        storage.put(name, tmp_path / "secret"),
        storage.put_bytes(name, b""),
        storage.delete([name]),
        all_of(storage.stream(name)),
        storage.local(name).__aenter__(),
    ]

    for one in asked:
        with pytest.raises(ValueError, match="names no file"):
            await one

    assert (tmp_path / "secret").read_text() == "secret"
    assert await storage.size("runs/secret") is None
    assert not (tmp_path / "lists").exists()


@pytest.mark.fault("S9")
async def test_a_symbolic_link_is_no_file(storage: DirectoryStorage, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    await storage.put_bytes("runs/other", b"")
    (tmp_path / "lists/runs/0192.index").symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="symbolic links") as refused:
        await all_of(storage.stream(NAME))
    with pytest.raises(OSError, match="symbolic links"):
        async with storage.local(NAME):
            pass

    assert refused.value.errno == errno.ELOOP
    assert [name async for name, *_ in storage.names("runs")] == ["runs/other"]


@pytest.mark.fault("S9")
async def test_a_folder_that_is_a_link_leads_nowhere(storage: DirectoryStorage, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1-0").write_text("secret")
    await storage.put_bytes("uploads/other/1-0", b"")
    (tmp_path / "lists/uploads/a1").symlink_to(elsewhere)

    with pytest.raises(NotADirectoryError):
        await storage.put_bytes("uploads/a1/1-9", b"")
    with pytest.raises(NotADirectoryError):
        await all_of(storage.stream("uploads/a1/1-0"))

    assert [name async for name, *_ in storage.names("uploads")] == ["uploads/other/1-0"]
    assert {path.name for path in elsewhere.iterdir()} == {"1-0"}


@pytest.mark.fault("S9")
async def test_what_is_moved_in_is_no_link_either(storage: DirectoryStorage, tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "made").symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="symbolic links"):
        await storage.put(NAME, tmp_path / "made")

    assert await storage.size(NAME) is None


async def test_a_pipe_is_no_file(storage: DirectoryStorage, tmp_path: Path):
    await storage.put_bytes("runs/other", b"")
    (tmp_path / "lists/runs/folder").mkdir()
    os.mkfifo(tmp_path / "lists/runs/pipe")

    for name in ("runs/folder", "runs/pipe"):
        with pytest.raises(NotStored):
            await all_of(storage.stream(name))


def test_a_full_disk_is_told_as_one():
    with pytest.raises(NoRoom, match="full"), full_disks_named():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(PermissionError), full_disks_named():
        raise PermissionError
