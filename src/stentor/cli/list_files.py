"""Files on the machine of who gives a command: what is sent into the storage of lists, and what is fetched out of it."""

import asyncio
import errno
import fcntl
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.cli.output import Exit, fail
from stentor.optouts.jobs.model import ResultFile
from stentor.optouts.jobs.service import FILE_BYTES_MAX

STANDARD = Path("-")
"""Standard input, or standard output."""

_CHUNK_BYTES = 1 << 20
_STDIN = 0
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}


class SourceChanged(Exception):
    """A file that was being sent is another one by now."""


class Stamp(NamedTuple):
    """What a file is known again by."""

    path: str
    bytes: int
    changed_ns: int


class Source(msgspec.Struct, frozen=True):
    """A file that is sent. Without a stamp it is a pipe: what came of it does not come again."""

    path: Path
    stamp: Stamp | None

    @property
    def size(self) -> int | None:
        """How many bytes it has, where that is known."""
        return None if self.stamp is None else self.stamp.bytes

    @property
    def name(self) -> str:
        """What people call it."""
        return "standard input" if self.path == STANDARD else self.path.name[-200:]

    async def pieces(self, start: int) -> AsyncIterator[bytes]:
        """Its bytes from there on. Raises SourceChanged at the end, if the file was written to since it was looked at."""
        descriptor = _STDIN if self.path == STANDARD else os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if self.stamp is None:
                while piece := await _next_of_pipe(descriptor):
                    yield piece
                return
            at, last = start, self.stamp.bytes
            while at < last:
                piece = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK_BYTES, last - at), at)
                at += len(piece)
                if not piece or (at == last and _stamp(self.path, os.fstat(descriptor)) != self.stamp):
                    raise SourceChanged
                yield piece
        finally:
            if descriptor != _STDIN:
                os.close(descriptor)


def source_of(path: Path) -> Source:
    """The file, or a pipe, as `-` for standard input is one. Ends the command when it can be neither."""
    if path == STANDARD:
        return Source(path, None)
    try:
        found = path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError
    except OSError:
        fail(f"{path} is no file that can be read.", Exit.USAGE)
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode):
        return Source(path, None)
    if not stat.S_ISREG(found.st_mode):
        fail(f"{path} is no file that can be read.", Exit.USAGE)
    if found.st_size > FILE_BYTES_MAX:
        fail(
            f"{path} has more than {FILE_BYTES_MAX:,} bytes (5 GiB). Part it, or compress it with gzip or zstd.",
            Exit.USAGE,
        )
    return Source(path, _stamp(path, found))


class Target:
    """A file that is fetched: there is all of it, or none.

    Until then it lies beside its place as `NAME.JOB.part`, so that who was killed goes on with it. It is there under both names
    until nobody has to go on any more (`let_go`): what a killed command put in place is replaced unasked.
    """

    def __init__(self, path: Path, *, force: bool, option: str) -> None:
        """Ends the command when something is there that shall not be replaced, or nothing can be written there."""
        self.path = path if path == STANDARD else path.resolve()
        self._force = force
        self._option = option
        if not self.is_standard:
            self._check()

    @property
    def is_standard(self) -> bool:
        """Whether it is standard output."""
        return self.path == STANDARD

    async def fetch(
        self,
        job_id: UUID,
        result: ResultFile,
        read: Callable[[ResultFile, int], AsyncIterator[bytes]],
        reached: Callable[[int], None],
    ) -> None:
        """Writes the result of that job beside its place, from where it stands; `reached` hears how far that is."""
        if self.is_standard:
            await _to_standard_output(read(result, 0), reached)
            return
        with self._part(job_id) as descriptor:
            at = os.fstat(descriptor).st_size
            if at > result.bytes:
                os.ftruncate(descriptor, at := 0)
            async for piece in read(result, at):
                await asyncio.to_thread(_write, descriptor, at, piece)
                at += len(piece)
                reached(at)
            await asyncio.to_thread(os.fsync, descriptor)

    def put_in_place(self, job_id: UUID) -> None:
        """Lets what was fetched have its name. Ends the command when something else has it by now and shall keep it."""
        if self.is_standard:
            return
        part = self._part_of(job_id)
        if self._force:
            part.replace(self.path)
        else:
            try:
                self.path.hardlink_to(part)
            except FileExistsError:
                fail(f"{self.path} has come up meanwhile. What would be in it is in {part.name} beside it.")
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                part.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def let_go(self, job_id: UUID) -> None:
        """Removes what was fetched of a job that comes to nothing, or was put in place for good."""
        if not self.is_standard:
            self._part_of(job_id).unlink(missing_ok=True)

    def _check(self) -> None:
        if self.path.exists():
            if not self.path.is_file():
                fail(f"{self.path} is no file. Name another one with {self._option}.", Exit.USAGE)
            # Somebody was killed who had put it there.
            self._force = self._force or any(part.samefile(self.path) for part in self._parts())
            if not self._force:
                fail(
                    f"{self.path} is there already. Replace it with --force, or name another with {self._option}.",
                    Exit.USAGE,
                )
        if not self.path.parent.is_dir() or not os.access(self.path.parent, os.W_OK | os.X_OK):
            fail(f"Nothing can be written in {self.path.parent}. Name another file with {self._option}.", Exit.USAGE)

    def _part_of(self, job_id: UUID) -> Path:
        return self.path.with_name(f"{self.path.name}.{job_id}.part")

    def _parts(self) -> Iterator[Path]:
        for path in self.path.parent.glob(f"{_literally(self.path.name)}.*.part"):
            if _is_id(path.name[len(self.path.name) + 1 : -len(".part")]):
                yield path

    @contextmanager
    def _part(self, job_id: UUID) -> Iterator[int]:
        descriptor = os.open(self._part_of(job_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._clear_others(job_id)
            yield descriptor
        except BlockingIOError:
            fail(f"Another command is writing {self.path} just now. Let it end.")
        finally:
            os.close(descriptor)

    def _clear_others(self, job_id: UUID) -> None:
        """Removes what commands left here that were killed and never given again."""
        for path in self._parts():
            if path == self._part_of(job_id):
                continue
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)


def _stamp(path: Path, found: os.stat_result) -> Stamp:
    return Stamp(str(path.resolve()), found.st_size, found.st_mtime_ns)


async def _next_of_pipe(descriptor: int) -> bytes:
    """What comes next; nobody waits in a thread that could not be interrupted."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    except PermissionError:
        # A file, as `<` makes it: there is always something to read.
        return await asyncio.to_thread(os.read, descriptor, _CHUNK_BYTES)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _CHUNK_BYTES)


async def _to_standard_output(pieces: AsyncIterator[bytes], reached: Callable[[int], None]) -> None:
    at = 0
    async for piece in pieces:
        try:
            await asyncio.to_thread(sys.stdout.buffer.write, piece)
        except BrokenPipeError:
            _leave_standard_output()
        at += len(piece)
        reached(at)
    try:
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _leave_standard_output()


def _leave_standard_output() -> None:
    # What is still buffered goes nowhere, instead of being an error once more at the end of the process.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    fail("Whoever read standard output has gone before its end.")


def _write(descriptor: int, at: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        written = os.pwrite(descriptor, left, at)
        left, at = left[written:], at + written


def _literally(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _is_id(text: str) -> bool:
    with suppress(ValueError):
        return str(UUID(text)) == text
    return False
