"""One file out of pieces that children make: they work side by side, and the pieces follow each other in order."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Self, TypeVar

from stentor.optouts.jobs.model import ResultFile
from stentor.optouts.jobs.working import ClaimedJob
from stentor.optouts.names import result_name
from stentor.optouts.storage import Storage, full_disks_named

T = TypeVar("T")

_AT_ONCE = 1 << 30


class Assembly:
    """A file that grows by whole files. It is brought to disk as it grows, so that its end is not waited for long."""

    def __init__(self, path: Path, head: bytes = b"") -> None:
        """`head` is what it begins with."""
        self.path = path
        self.bytes = len(head)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with full_disks_named():
                os.write(self._descriptor, head)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the file; may be done again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    async def append(self, piece: Path) -> None:
        """Adds the file, which is gone then. Raises NoRoom."""
        await asyncio.to_thread(self._append, piece)

    def _append(self, piece: Path) -> None:
        source = os.open(piece, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with full_disks_named():
                # Within the kernel: nothing of it comes by here.
                while sent := os.sendfile(self._descriptor, source, None, _AT_ONCE):
                    self.bytes += sent
        finally:
            os.close(source)
        piece.unlink()
        with full_disks_named():
            os.fdatasync(self._descriptor)

    async def stored(self, storage: Storage, job: ClaimedJob, file_name: str) -> ResultFile:
        """Moves it into the storage as a result of the job."""
        self.close()
        name = result_name(job.id, job.epoch, file_name)
        await storage.put(name, self.path)
        return ResultFile(name, self.bytes, f"{job.id.hex}-{job.epoch}")


class InOrder(Generic[T]):
    """Does things side by side, and hands over what came of each in the order in which they were begun.

    All is done at the end of its block; at an error in the block, or of one of them, the others are cancelled.
    """

    def __init__(self, at_once: int, done: Callable[[T], Awaitable[None]]) -> None:
        """At most `at_once` are under way, or wait for one before them."""
        self._at_once = at_once
        self._done = done
        self._begun: deque[asyncio.Task[T]] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._begun and kind is None:
                await self._next()
        finally:
            await self._cancel()

    async def begin(self, work: Callable[[], Awaitable[T]]) -> None:
        """Begins one more, as soon as there is room for it."""
        while len(self._begun) >= self._at_once:
            await self._next()

        async def run() -> T:
            return await work()

        self._begun.append(asyncio.create_task(run()))

    async def _next(self) -> None:
        await self._done(await self._begun.popleft())

    async def _cancel(self) -> None:
        for task in self._begun:
            task.cancel()
        # What else went wrong besides the first is nobody's concern.
        await asyncio.gather(*self._begun, return_exceptions=True)
