"""Files that wait to be imported, or are: in a directory, each with what it is, until they are done with."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import UUID

import msgspec

from stentor.audience.model import FileKind, ImportFormat
from stentor.db.reserve import NOTHING_RESERVED, DiskReserve
from stentor.domain.ids import new_id
from stentor.errors import NotFound, TooLarge

HELD_BYTES_MAX = 1_000_000_000
"""Of one file. Larger ones come by the API, or by `stentor import`, which read them where they are."""
HELD_DAYS_MAX = 7
"""Days after which a file that nobody went on with is gone."""
NAME_CHARS_MAX = 200

SAMPLE_BYTES = 256 * 1024
_PIECE = 1 << 20
_DAY_S = 86_400


class HeldFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file and what it is. `id` is the import's once that has begun."""

    id: UUID
    brand_id: UUID
    name: str
    kind: FileKind
    format: ImportFormat
    bytes: int


class HeldFiles:
    """The files of one installation, readable by its own user alone."""

    def __init__(self, directory: Path, reserve: DiskReserve = NOTHING_RESERVED) -> None:
        self._directory = directory
        self._reserve = reserve

    async def keep(
        self,
        brand_id: UUID,
        name: str,
        kind: FileKind,
        file_format: ImportFormat,
        read: Callable[[int], Awaitable[bytes]],
    ) -> HeldFile:
        """Writes what `read` gives, a piece at a time, to a file. Raises TooLarge, and NoRoom where the disk has none."""
        await asyncio.to_thread(self._forget_old, brand_id)
        file_id, size = new_id(), 0
        content = self._content(brand_id, file_id)
        await asyncio.to_thread(lambda: content.parent.mkdir(parents=True, exist_ok=True, mode=0o700))
        try:
            with await asyncio.to_thread(_opened, content) as file:
                while piece := await read(_PIECE):
                    size += len(piece)
                    self._check_room(size, len(piece))
                    await asyncio.to_thread(file.write, piece)
        except BaseException:
            content.unlink(missing_ok=True)
            raise
        held = HeldFile(
            id=file_id, brand_id=brand_id, name=name[:NAME_CHARS_MAX], kind=kind, format=file_format, bytes=size
        )
        await asyncio.to_thread(self._describe, held)
        return held

    async def find(self, brand_id: UUID, file_id: UUID) -> HeldFile:
        """The file. Raises NotFound where it is done with, was thrown away, or lies on another machine."""
        try:
            told = await asyncio.to_thread(self._described(brand_id, file_id).read_bytes)
        except FileNotFoundError:
            raise NotFound("This file is not here any more. Send it again.") from None
        return msgspec.json.decode(told, type=HeldFile)

    async def sample(self, held: HeldFile) -> bytes:
        """How it begins: up to 256 KiB."""
        return await asyncio.to_thread(self._read, held, 0, SAMPLE_BYTES)

    async def chunks(self, held: HeldFile, offset: int) -> AsyncIterator[bytes]:
        """The file from that byte on."""
        while piece := await asyncio.to_thread(self._read, held, offset, _PIECE):
            offset += len(piece)
            yield piece

    async def adopt(self, held: HeldFile, job_id: UUID) -> HeldFile:
        """The file under the id of its import."""
        renamed = msgspec.structs.replace(held, id=job_id)

        def rename() -> None:
            self._describe(renamed)
            self._content(held.brand_id, held.id).rename(self._content(held.brand_id, job_id))
            self._described(held.brand_id, held.id).unlink(missing_ok=True)

        await asyncio.to_thread(rename)
        return renamed

    async def drop(self, brand_id: UUID, file_id: UUID) -> None:
        """Throws the file away; one that is gone is no error."""
        await asyncio.to_thread(self._drop, brand_id, file_id)

    def _check_room(self, size: int, more: int) -> None:
        if size > HELD_BYTES_MAX:
            text = f"The file is larger than {HELD_BYTES_MAX:,} bytes. Send it by the API, or with `stentor import`."
            raise TooLarge(text)
        self._reserve.check(more)

    def _read(self, held: HeldFile, offset: int, count: int) -> bytes:
        with self._content(held.brand_id, held.id).open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def _describe(self, held: HeldFile) -> None:
        with _opened(self._described(held.brand_id, held.id)) as file:
            file.write(msgspec.json.encode(held))

    def _drop(self, brand_id: UUID, file_id: UUID) -> None:
        for path in (self._described(brand_id, file_id), self._content(brand_id, file_id)):
            path.unlink(missing_ok=True)

    def _forget_old(self, brand_id: UUID) -> None:
        """Whoever brings a file clears away what others left."""
        before = time.time() - HELD_DAYS_MAX * _DAY_S
        with suppress(FileNotFoundError):
            for path in (self._directory / str(brand_id)).iterdir():
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()

    def _content(self, brand_id: UUID, file_id: UUID) -> Path:
        return self._directory / str(brand_id) / f"{file_id}.data"

    def _described(self, brand_id: UUID, file_id: UUID) -> Path:
        return self._directory / str(brand_id) / f"{file_id}.json"


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
