"""Large answers, written to a file before their first byte is sent: so their length is known, and memory stays small."""

import asyncio
import errno
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, TypeAlias
from uuid import UUID

import msgspec
import structlog

from stentor.api.edge import AnswerCutOff, Exchange
from stentor.errors import NoRoom, Unavailable

log = structlog.get_logger(__name__)

SPOOL_MEMORY_BYTES = 256 * 1024
"""Of an answer, until it goes into a file; the pieces of a file are as large."""
_SHARES = 4
"""One owner's answers take this part of the room at most, so that others find some however slowly one fetches."""

Sent: TypeAlias = Callable[[], Awaitable[None]]
"""Called once, when the last byte of an answer was given to the network. What it raises ends the connection."""


class Spools:
    """The room of one process for answers in files. `bytes_max`: what all of them may take together; one owner's, a quarter of it.

    The files have no names, so that nothing is left of them whatever ends the process.
    """

    def __init__(self, directory: Path | None, *, bytes_max: int) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._bytes = 0
        self._bytes_of: Counter[UUID] = Counter()

    def spool(self, owner: UUID) -> "Spool":
        """A new one of that owner's, empty. Whoever asked closes it."""
        return Spool(self, owner)

    def take(self, owner: UUID, count: int) -> None:
        """Raises Unavailable where that is more than there is room for."""
        if self._bytes_of[owner] + count > self._bytes_max // _SHARES:
            raise Unavailable(
                "Your other large answers are still being fetched, or this one is too large. Read them to their end first, or ask "
                "for less at once with `$top`.",
                retry_after_s=10,
            )
        if self._bytes + count > self._bytes_max:
            raise Unavailable(
                "Other large answers are being fetched, and there is no room for this one. Ask again in a moment, or ask for "
                "less at once with `$top`.",
                retry_after_s=10,
            )
        self._bytes += count
        self._bytes_of[owner] += count

    def give_back(self, owner: UUID, count: int) -> None:
        self._bytes -= count
        self._bytes_of[owner] -= count
        if not self._bytes_of[owner]:
            del self._bytes_of[owner]

    def file(self) -> IO[bytes]:
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryFile(dir=self._directory, buffering=0)


class Spool:
    """One answer as it is written: in memory while it is small, then in a file."""

    def __init__(self, spools: Spools, owner: UUID) -> None:
        self._spools = spools
        self._owner = owner
        self._pending = bytearray()
        self._file: IO[bytes] | None = None
        self._in_file = 0

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._in_file + len(self._pending)

    async def write(self, piece: bytes) -> None:
        """Appends. Raises Unavailable where there is no room, NoRoom where the disk has none."""
        self._pending += piece
        if len(self._pending) >= SPOOL_MEMORY_BYTES:
            pending, self._pending = self._pending, bytearray()
            self._spools.take(self._owner, len(pending))
            self._in_file += len(pending)
            await asyncio.to_thread(self._append, pending)

    async def pieces(self) -> AsyncIterator[bytes]:
        """What was written, from its beginning; nothing is written after."""
        if self._file is not None:
            for start in range(0, self._in_file, SPOOL_MEMORY_BYTES):
                yield await asyncio.to_thread(self._read, start, min(SPOOL_MEMORY_BYTES, self._in_file - start))
        if self._pending:
            yield bytes(self._pending)

    def close(self) -> None:
        """Throws it away; a second time does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._spools.give_back(self._owner, self._in_file)
        self._in_file = 0
        self._pending = bytearray()

    def _append(self, piece: bytearray) -> None:
        try:
            if self._file is None:
                self._file = self._spools.file()
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise NoRoom("The disk has no room for this answer. Ask for less at once with `$top`.") from None
            raise

    def _read(self, start: int, count: int) -> bytes:
        if self._file is None:
            raise ValueError("this spool was closed")
        self._file.seek(start)
        read = bytearray()
        while len(read) < count:
            if not (piece := self._file.read(count - len(read))):
                raise OSError(errno.EIO, "a spooled answer is shorter than it was written")
            read += piece
        return bytes(read)


class Spooled(msgspec.Struct, frozen=True):
    """A whole answer in a spool, JSON unless said otherwise, and who is told when its last byte was sent.

    `on_sent` is not called where the reader hung up before that, or asked by HEAD. It is awaited before the connection takes its
    next request: who asks for the next page on the same one finds what it did. Another connection may be faster. `on_sending`
    is awaited before the first byte of a body: what it writes down outlives a process that is killed before `on_sent`.
    """

    spool: Spool
    on_sent: Sent | None = None
    on_sending: Sent | None = None
    media_type: str = "application/json"


async def send_spooled(exchange: Exchange, answer: Spooled) -> None:
    """Sends the answer with its length, in pieces. What goes wrong ends the connection, because its head said 200."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", b"%d" % answer.spool.length),
    ]
    if answer.on_sending is not None and exchange.has_body:
        await answer.on_sending()
    await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for piece in answer.spool.pieces():
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})
        if answer.on_sent is not None and await exchange.flushed():
            await answer.on_sent()
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})
    except AnswerCutOff:
        await exchange.break_off()
    except Exception:
        log.exception("answer.broken", bytes=answer.spool.length)
        await exchange.break_off()
