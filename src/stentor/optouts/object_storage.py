"""Files of lists in an object storage, for many machines: S3 and what speaks like it, Google's and Azure's.

Where it is and what opens it is said as its provider's own tools are told (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL` …).
"""

import asyncio
import errno
import fcntl
import os
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec
from uuid import uuid4

import obstore
import structlog
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from stentor.db.locks import try_exclusive
from stentor.errors import Problem, Unavailable
from stentor.optouts.storage import (
    FULL,
    PIECE_BYTES,
    NotStored,
    Storage,
    Stored,
    checked,
    checked_prefix,
    full_disks_named,
    make_private,
)

log = structlog.get_logger(__name__)

P = ParamSpec("P")

# A request each; with the next one under way while the last one is used.
_RANGE_BYTES = 8 << 20
_RANGES_AT_ONCE = 4
_PARTS_AT_ONCE = 4
_DELETED_AT_ONCE = 1_000

_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}

COPIES_KEPT = timedelta(days=7)
"""How long a machine keeps the copy of a file that nobody there uses; who is erased is in such copies for so long."""

# A piece of a file on its way into a list: what is asked again and again needs the room.
_READ_ONCE = "uploads/"

# Who fetches a file looks so often whether another process has ended to do so.
_LOOK_EVERY_S = 0.05
_TURNS = 64
# What a file system says that cannot: then a full disk is noticed in writing.
_NO_RESERVING = {errno.EOPNOTSUPP, errno.EINVAL}


class StorageRefused(Problem):
    code = "storage-refused"
    title = "The storage of the opt-out lists cannot be used"


class ObjectStorage(Storage):
    """A bucket, or what lies below a path in one, and a directory on this machine's disk for files that are asked often.

    `cache_bytes` bounds what that directory keeps for later; files that are in use stay, whatever they take.
    """

    def __init__(
        self,
        store: ObjectStore,
        directory: Path,
        *,
        cache_bytes: int,
        reserve: Callable[[int, int, int], None] = os.posix_fallocate,
    ) -> None:
        """`reserve` takes room on the disk for a file, as `os.posix_fallocate` does."""
        super().__init__(directory / "work")
        self._store = store
        self._cache = _Cache(directory / "cache", cache_bytes, reserve)

    @classmethod
    def at(cls, url: str, directory: Path, *, cache_bytes: int) -> "ObjectStorage":
        """The storage at `s3://bucket/path`, `gs://…` or `az://…`. Raises StorageRefused for a URL that is none."""
        try:
            store = from_url(url, retry_config=_RETRIES)
        except (exceptions.BaseError, ValueError) as error:
            raise StorageRefused(f"{url!r} is no storage that can be used: {_first_line(error)}") from None
        return cls(store, directory, cache_bytes=cache_bytes)

    async def put(self, name: str, path: Path) -> None:
        with _outages_named():
            await obstore.put_async(
                self._store, checked(name), path, chunk_size=_RANGE_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        await asyncio.to_thread(path.unlink)

    async def put_bytes(self, name: str, data: bytes | bytearray | memoryview) -> None:
        with _outages_named():
            await obstore.put_async(
                self._store, checked(name), data, chunk_size=_RANGE_BYTES, max_concurrency=_PARTS_AT_ONCE
            )

    async def stream(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        size = await self._size(name)
        async with aclosing(self._ranges(name, start, size if end is None else min(end, size), at_once=2)) as parts:
            async for part in parts:
                for at in range(0, len(part), PIECE_BYTES):
                    yield bytes(part[at : at + PIECE_BYTES])

    async def size(self, name: str) -> int | None:
        try:
            return await self._size(name)
        except NotStored:
            return None

    async def delete(self, names: Sequence[str]) -> None:
        whole = [checked(name) for name in names]
        with _outages_named():
            for at in range(0, len(whole), _DELETED_AT_ONCE):
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, whole[at : at + _DELETED_AT_ONCE])

    async def names(self, prefix: str) -> AsyncIterator[Stored]:
        with _outages_named():
            async for page in obstore.list(self._store, prefix=checked_prefix(prefix)):
                for found in page:
                    with suppress(ValueError):
                        yield Stored(checked(found["path"]), found["size"], found["last_modified"])

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        place = self._cache.place(checked(name))
        pin = await self._pinned(name, place)
        try:
            yield place
        finally:
            os.close(pin)
            if name.startswith(_READ_ONCE):
                await asyncio.to_thread(_delete_unused, place)

    async def _pinned(self, name: str, place: Path) -> int:
        if (pin := self._cache.pin(place)) is not None:
            return pin
        async with self._cache.turn(place):
            # Whoever had the turn before may have fetched it.
            pin = self._cache.pin(place)
            return await self._fetch(name, place) if pin is None else pin

    async def drop_old_copies(self) -> int:
        return await asyncio.to_thread(self._cache.drop_unused, COPIES_KEPT)

    async def _fetch(self, name: str, place: Path) -> int:
        size = await self._size(name)
        making = place.with_name(f"{place.name}.{uuid4().hex[:8]}.making")
        pin = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # From here on it is in use: who makes room must not take it for one that nobody needs.
            fcntl.flock(pin, fcntl.LOCK_SH)
            with full_disks_named():
                await _to_the_end(self._cache.make_room, pin, size)
                async with aclosing(self._ranges(name, 0, size, at_once=_RANGES_AT_ONCE)) as parts:
                    async for part in parts:
                        await _to_the_end(_write, pin, part)
                # It is as long as it will be from the beginning: after a power cut, a page that never came to the disk would
                # read as zeros, and whoever it lists as not listed.
                await _to_the_end(os.fsync, pin)
            making.rename(place)
        except BaseException:
            os.close(pin)
            making.unlink(missing_ok=True)
            raise
        log.info("storage.fetched", name=name, bytes=size)
        return pin

    async def _ranges(self, name: str, start: int, end: int, *, at_once: int) -> AsyncGenerator[memoryview, None]:
        """The bytes from `start` to `end`, in order, `at_once` requests ahead."""
        ahead: list[asyncio.Task[Any]] = []
        at = start
        try:
            while at < end or ahead:
                while at < end and len(ahead) < at_once:
                    upto = min(at + _RANGE_BYTES, end)
                    ahead.append(asyncio.create_task(self._range(name, at, upto)))
                    at = upto
                part = await ahead[0]
                del ahead[0]
                yield memoryview(part)
        finally:
            for task in ahead:
                task.cancel()
            # Also what went wrong with several is told once.
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _range(self, name: str, start: int, end: int) -> Any:
        with _outages_named(name):
            part = await obstore.get_range_async(self._store, name, start=start, end=end)
        if len(part) != end - start:
            raise Unavailable("The storage of the opt-out lists sent less than was asked for. Try again in a moment.")
        return part

    async def _size(self, name: str) -> int:
        with _outages_named(checked(name)):
            return (await obstore.head_async(self._store, name))["size"]


class _Cache:
    """Copies of files, shared by this machine's processes: one fetches, and none deletes what another one holds.

    Who uses a copy holds a shared lock on it; who wants it gone needs an exclusive one. A copy's time is that of its last use.
    """

    def __init__(self, directory: Path, bytes_max: int, reserve: Callable[[int, int, int], None]) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._reserve = reserve

    def place(self, name: str) -> Path:
        """Where the copy of that file lies, if it is there."""
        return self._directory / name.replace("/", "+")

    def pin(self, place: Path) -> int | None:
        """A descriptor that keeps the copy while it is open; None where there is no copy."""
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            # Who deletes holds it for a moment only.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                os.utime(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @asynccontextmanager
    async def turn(self, place: Path) -> AsyncIterator[None]:
        """Inside the block nobody else on this machine fetches that file."""
        make_private(self._directory)
        lock = self._directory / f".turn-{zlib.crc32(place.name.encode()) % _TURNS:02}"
        # Without a thread: those that wait would keep the one who works from getting one.
        while (held := try_exclusive(lock)) is None:  # noqa: ASYNC110  another process's lock tells nobody that it is free
            await asyncio.sleep(_LOOK_EVERY_S)
        try:
            yield
        finally:
            os.close(held)

    def make_room(self, descriptor: int, size: int) -> None:
        """Takes room for a new copy, deleting those that were not used for longest: within the bound, and on the disk.

        Raises OSError when the disk is full of what is in use, or of something else.
        """
        # One without bytes is about to be written.
        others = [copy for copy in self._copies() if copy.bytes]
        total = sum(copy.bytes for copy in others) + size
        while total > self._bytes_max and others:
            copy = others.pop(0)
            total -= copy.bytes if _delete_unused(copy.path) else 0
        if total > self._bytes_max:
            log.warning("storage.cache_too_small", bytes=total, bound=self._bytes_max)
        while not self._took(descriptor, size):
            if not any(_delete_unused(others.pop(0).path) for _ in list(others)):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def drop_unused(self, kept: timedelta) -> int:
        """Deletes the copies that nobody used for so long, and what a crash left half made; returns how many."""
        if not self._directory.is_dir():
            return 0
        oldest_ns = time.time_ns() - int(kept.total_seconds()) * 1_000_000_000
        return sum(_delete_unused(copy.path) for copy in self._copies() if copy.used_ns < oldest_ns)

    def _took(self, descriptor: int, size: int) -> bool:
        try:
            if size:
                self._reserve(descriptor, 0, size)
        except OSError as error:
            if error.errno in FULL:
                return False
            if error.errno not in _NO_RESERVING:
                raise
        return True

    def _copies(self) -> "list[_Copy]":
        """All that is there, what was not used for longest first."""
        found: list[_Copy] = []
        for entry in os.scandir(self._directory):
            # Another process may have deleted it by now.
            with suppress(FileNotFoundError):
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    each = entry.stat(follow_symlinks=False)
                    found.append(_Copy(each.st_mtime_ns, each.st_size, Path(entry)))
        return sorted(found)


class _Copy(NamedTuple):
    used_ns: int
    bytes: int
    path: Path


def _delete_unused(path: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(descriptor).st_nlink:
                # Somebody deleted it a moment ago, and what lies there by now may be a new copy that is in use.
                return False
            path.unlink()
        finally:
            os.close(descriptor)
        return True
    return False


async def _to_the_end(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Runs the function in a thread, and does not leave it alone when cancelled: its descriptor may be another file's by then."""
    working = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        await asyncio.shield(working)
    finally:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
        working.exception()


def _write(descriptor: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextmanager
def _outages_named(name: str = "") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotStored(f"There is no {name or 'such file'} in the storage") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise Unavailable(_REFUSED, retry_after_s=30, reason=_first_line(error)) from error
    except exceptions.BaseError as error:
        raise Unavailable(_NO_ANSWER, retry_after_s=5, reason=_first_line(error)) from error


_NO_ANSWER = "The storage of the opt-out lists does not answer. Try again in a moment."
_REFUSED = "The storage of the opt-out lists refuses our credentials. Whoever runs this installation has to look."


def _first_line(error: Exception) -> str:
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:300]
