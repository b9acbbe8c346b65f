"""Where the files of opt-out lists lie: a directory by default, or an object storage (`stentor.optouts.object_storage`).

Names are made from ids (`stentor.optouts.names`). Files never change: a name is put once, read often, and deleted.
"""

import asyncio
import errno
import os
import re
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from stentor.errors import NoRoom

PIECE_BYTES = 1 << 20

AREAS = ("runs", "segments", "uploads", "results", "erasures", "revocations")
"""What a name begins with. The last two are logs that no list knows of and nobody clears up."""

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What a disk without room says."""

_NAME = re.compile(rf"(?:{'|'.join(AREAS)})(?:/[A-Za-z0-9][A-Za-z0-9._-]{{0,150}}){{1,3}}")
_PREFIX = re.compile(rf"(?:{'|'.join(AREAS)})(?:/[A-Za-z0-9][A-Za-z0-9._-]{{0,150}}){{0,2}}/?")

_RETRY_AFTER_S = 60
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting, as opening a pipe would.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder that is made for a file may be removed, empty, by who clears up beside it.
_TRIES = 5


class NotStored(FileNotFoundError):
    """There is no file of that name."""


class Stored(NamedTuple):
    """A file in the storage."""

    name: str
    bytes: int
    modified: datetime


class Storage(ABC):
    """Files by name. A name that is none of `stentor.optouts.names` raises ValueError, whatever is done with it.

    `work` is a directory on this machine's disk, for what is being made; who needs it makes it (`make_private`).
    Everything raises Unavailable when the storage does not answer, and NoRoom when there is no room left.
    """

    def __init__(self, work: Path) -> None:
        self.work = work

    @abstractmethod
    async def put(self, name: str, path: Path) -> None:
        """Moves a file of this machine in, best from `work`; it is on disk, whole, when this returns."""

    @abstractmethod
    async def put_bytes(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Stores the bytes; they are on disk when this returns."""

    @abstractmethod
    def stream(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, or to the file's, in pieces of at most 1 MiB. Raises NotStored."""

    @abstractmethod
    async def size(self, name: str) -> int | None:
        """How many bytes the file has; None when there is none."""

    @abstractmethod
    async def delete(self, names: Sequence[str]) -> None:
        """Removes the files; those that are not there are none the less gone."""

    @abstractmethod
    def names(self, prefix: str) -> AsyncIterator[Stored]:
        """All files below `prefix` (`runs`, `uploads/<id>`), in no order; also what a crash left half made."""

    @abstractmethod
    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The file on this machine's disk, to be read within the block; mapped, it stays readable after it too.

        Raises NotStored.
        """

    async def drop_old_copies(self) -> int:
        """Deletes this machine's copies of files that nobody here has used for a week; returns how many."""
        return 0


class DirectoryStorage(Storage):
    """A directory on a disk, which may be a shared one; made with its first file, and nobody else's to read.

    Nothing in it is followed out of it: a symbolic link is an error, not a file.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root / "work")
        self._root = root

    async def put(self, name: str, path: Path) -> None:
        await asyncio.to_thread(self._move_in, checked(name), path)

    async def put_bytes(self, name: str, data: bytes | bytearray | memoryview) -> None:
        await asyncio.to_thread(self._write, checked(name), data)

    async def stream(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        descriptor = await asyncio.to_thread(self._opened, checked(name))
        try:
            at = start
            while end is None or at < end:
                wanted = PIECE_BYTES if end is None else min(PIECE_BYTES, end - at)
                piece = await asyncio.to_thread(os.pread, descriptor, wanted, at)
                if not piece:
                    return
                yield piece
                at += len(piece)
        finally:
            os.close(descriptor)

    async def size(self, name: str) -> int | None:
        try:
            descriptor = await asyncio.to_thread(self._opened, checked(name))
        except NotStored:
            return None
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    async def delete(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(self._remove, [checked(name) for name in names])

    async def names(self, prefix: str) -> AsyncIterator[Stored]:
        for found in await asyncio.to_thread(list, self._walk(checked_prefix(prefix))):
            yield found

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        os.close(await asyncio.to_thread(self._opened, checked(name)))
        yield self._root / name

    def _move_in(self, name: str, path: Path) -> None:
        descriptor = os.open(path, _READ)
        try:
            os.fchmod(descriptor, 0o600)
            with full_disks_named():
                os.fsync(descriptor)
                with self._folder_for(name) as (folder, base):
                    try:
                        os.rename(path, base, dst_dir_fd=folder)
                    except OSError as error:
                        if error.errno != errno.EXDEV:
                            raise
                        with _made_whole(folder, base) as target:
                            _copy(descriptor, target)
                        path.unlink()
                    os.fsync(folder)
        finally:
            os.close(descriptor)

    def _write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        with full_disks_named(), self._folder_for(name) as (folder, base):
            with _made_whole(folder, base) as target:
                left = memoryview(data)
                while left:
                    left = left[os.write(target, left) :]
            os.fsync(folder)

    def _opened(self, name: str) -> int:
        """A descriptor of the file. Raises NotStored."""
        *folders, base = name.split("/")
        try:
            with self._folder(folders) as folder:
                descriptor = os.open(base, _READ, dir_fd=folder)
        except FileNotFoundError:
            raise NotStored(errno.ENOENT, "There is no such file in the storage", name) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotStored(errno.ENOENT, "This is no file", name)
        return descriptor

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            *folders, base = name.split("/")
            with suppress(FileNotFoundError), self._folder(folders) as folder:
                os.unlink(base, dir_fd=folder)
        for folders in {tuple(name.split("/")[:-1]) for name in names}:
            if len(folders) > 1:
                with suppress(OSError), self._folder(folders[:-1]) as folder:
                    os.rmdir(folders[-1], dir_fd=folder)

    def _walk(self, prefix: str) -> Iterator[Stored]:
        with suppress(FileNotFoundError), self._folder(prefix.split("/")) as top:
            for folder, _, files, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                for base in files:
                    # It may be gone by now.
                    with suppress(FileNotFoundError):
                        found = os.stat(base, dir_fd=descriptor, follow_symlinks=False)
                        name = os.path.normpath(f"{prefix}/{folder}/{base}")
                        if stat.S_ISREG(found.st_mode) and _NAME.fullmatch(name):
                            yield Stored(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    @contextmanager
    def _folder_for(self, name: str) -> Iterator[tuple[int, str]]:
        """The folder in which that file shall lie, made, and what it is called there."""
        *folders, base = name.split("/")
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                made = self._made(folders)
                break
        else:
            made = self._made(folders)
        try:
            yield made, base
        finally:
            os.close(made)

    def _made(self, folders: Sequence[str]) -> int:
        make_private(self._root)
        at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for folder in folders:
            above, at = at, -1
            try:
                try:
                    at = os.open(folder, _DIRECTORY, dir_fd=above)
                except FileNotFoundError:
                    with suppress(FileExistsError):
                        os.mkdir(folder, 0o700, dir_fd=above)
                    os.fsync(above)
                    at = os.open(folder, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
        return at

    @contextmanager
    def _folder(self, folders: Sequence[str]) -> Iterator[int]:
        """A descriptor of that folder. Raises FileNotFoundError."""
        at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, _DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)


def checked(name: str) -> str:
    """The name. Raises ValueError for one that is none of ours."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} names no file of a list.")
    return name


def checked_prefix(prefix: str) -> str:
    """The beginning of names, without a slash at its end. Raises ValueError for one that is none."""
    if _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"{prefix!r} begins no name of a file of a list.")
    return prefix.rstrip("/")


def make_private(directory: Path) -> None:
    """Makes a directory that nobody else may look into, and what is missing above it, where it is not there."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        make_private(directory.parent)
        make_private(directory)


@contextmanager
def full_disks_named() -> Iterator[None]:
    """Turns the error that a disk is full into NoRoom; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoRoom(
            "The disk of the opt-out lists is full. Make room, and send it again.", retry_after_s=_RETRY_AFTER_S
        ) from error


@contextmanager
def _made_whole(folder: int, base: str) -> Iterator[int]:
    """A descriptor to write a file to that is in the folder, on disk, at the end of the block, or not at all."""
    making = f"{base}.{uuid4().hex[:8]}.making"
    descriptor = os.open(making, _WRITE, 0o600, dir_fd=folder)
    try:
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(making, base, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(making, dir_fd=folder)
        raise


def _copy(source: int, target: int) -> None:
    with os.fdopen(os.dup(source), "rb") as reading, os.fdopen(os.dup(target), "wb") as writing:
        shutil.copyfileobj(reading, writing, PIECE_BYTES)
