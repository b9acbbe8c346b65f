"""The log of erasures, outside of every database: a backup brings back who was erased after it, and this says who that was.

It lies in the storage of opt-out lists (the data directory, or an object storage), one small file for each transaction that
erased, and beside them a file that says whose log it is. Nothing in it names anybody: people are keyed hashes.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.domain.ids import new_id
from stentor.errors import Problem
from stentor.optouts.storage import NotStored, Storage

FORMAT = 1
HEAD_NAME = "erasures/log.json"
ENTRY_BYTES_MAX = 1 << 16
"""Of one entry of the log; with 100 people one has about 5 kB."""

_AREA = "erasures"


class LogRefused(Problem):
    """What lies where the log of erasures should be is none of this installation."""

    code = "erasure-log-refused"
    title = "The log of erasures cannot be read"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who was erased in one transaction, by keyed hashes, and when: who was made anew later is somebody else."""

    format: int = FORMAT
    id: UUID
    brand_id: UUID
    erased_at: datetime
    asked_by: str
    people: list[bytes]

    @property
    def name(self) -> str:
        """The file that it is kept in."""
        return f"{_AREA}/{self.id}.json"


class _Head(msgspec.Struct, frozen=True):
    format: int
    installation: str


class ErasureLog:
    """The log in that storage, of the installation with that fingerprint."""

    def __init__(self, storage: Storage, fingerprint: bytes) -> None:
        self._storage = storage
        self._head = _Head(FORMAT, fingerprint.hex())

    async def begin(self) -> None:
        """Says that the whole log is kept here, once. Backups do: a restored copy that finds this knows that nothing is missing.

        An entry alone does not say so: it may be the first one of a copy that was restored without the log.
        """
        if await self._storage.size(HEAD_NAME) is None:
            await self._storage.put_bytes(HEAD_NAME, msgspec.json.encode(self._head))

    async def is_kept(self) -> bool:
        """Whether the log is here. Raises LogRefused when it is another installation's."""
        text = await self._read(HEAD_NAME)
        if text is None:
            return False
        try:
            head = msgspec.json.decode(text, type=_Head)
        except msgspec.MsgspecError as error:
            raise LogRefused(f"{HEAD_NAME}, beside the files of opt-out lists, cannot be read: {error}.") from error
        if head != self._head:
            raise LogRefused(
                f"{HEAD_NAME}, beside the files of opt-out lists, is of another installation, or of a newer Stentor. Name the"
                " storage of the installation that was backed up."
            )
        return True

    async def note(self, brand_id: UUID, erased_at: datetime, asked_by: str, people: Sequence[bytes]) -> None:
        """Adds an entry; it is on disk when this returns."""
        await self.keep(
            LogEntry(id=new_id(), brand_id=brand_id, erased_at=erased_at, asked_by=asked_by, people=list(people))
        )

    async def keep(self, entry: LogEntry) -> None:
        """Adds an entry as it is, if it is not there already."""
        if await self._storage.size(entry.name) is None:
            await self._storage.put_bytes(entry.name, msgspec.json.encode(entry))

    async def entries(self) -> AsyncIterator[LogEntry]:
        """All that was noted, in no order. Raises LogRefused for what is no entry."""
        async for found in self._storage.names(_AREA):
            if found.name == HEAD_NAME:
                continue
            text = await self._read(found.name)
            if text is not None:
                yield read_entry(text, found.name)

    async def _read(self, name: str) -> bytes | None:
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in self._storage.stream(name):
                pieces.append(piece)
                size += len(piece)
                if size > ENTRY_BYTES_MAX:
                    raise LogRefused(
                        f"{name}, beside the files of opt-out lists, is too large to be a part of the log."
                    )
        except NotStored:
            return None
        return b"".join(pieces)


def read_entry(text: bytes, name: str) -> LogEntry:
    """The entry that this text is. Raises LogRefused."""
    try:
        entry = msgspec.json.decode(text, type=LogEntry)
    except msgspec.MsgspecError as error:
        raise LogRefused(
            f"{name} is no entry of a log of erasures: {error}. Whoever it named would come back with a backup: put the file"
            " back as it was."
        ) from error
    if entry.format > FORMAT:
        raise LogRefused(f"{name} was written by a newer Stentor (format {entry.format}). Restore with that one.")
    return entry
