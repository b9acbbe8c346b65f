"""Logs outside of every database: what a backup would bring back, and what says that it must not.

They lie in the storage of opt-out lists (the data directory, or an object storage), a small file for each entry, and beside them
one that says whose log it is and that it is whole.
"""

from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import msgspec

from stentor.errors import Problem
from stentor.optouts.storage import NotStored, Storage

FORMAT = 1
ENTRY_BYTES_MAX = 1 << 16
"""Of one entry; an erasure of 100 people has about 5 kB, 500 revoked keys have about 22."""


class LogRefused(Problem):
    """What lies where the log should be is none of this installation."""

    code = "log-refused"
    title = "A log outside of the database cannot be read"


class Entry(Protocol):
    """What a log is made of."""

    @property
    def id(self) -> UUID: ...

    @property
    def format(self) -> int: ...


E = TypeVar("E", bound=Entry)


class _Head(msgspec.Struct, frozen=True):
    format: int
    installation: str


class OutsideLog(Generic[E]):
    """A log in that storage, of the installation with that fingerprint. `area` is its folder there, and what it is a log of."""

    def __init__(self, storage: Storage, fingerprint: bytes, *, area: str, kind: type[E]) -> None:
        self._storage = storage
        self._area = area
        self._kind = kind
        self._head = _Head(FORMAT, fingerprint.hex())

    @property
    def head_name(self) -> str:
        """The file that says whose log it is."""
        return f"{self._area}/log.json"

    async def begin(self) -> None:
        """Says that the whole log is kept here, once: a restored copy that finds this knows that nothing is missing.

        An entry alone does not say so: it may be the first one of a copy that was restored without the log.
        """
        if await self._storage.size(self.head_name) is None:
            await self._storage.put_bytes(self.head_name, msgspec.json.encode(self._head))

    async def is_kept(self) -> bool:
        """Whether the log is here. Raises LogRefused when it is another installation's."""
        text = await self._read(self.head_name)
        if text is None:
            return False
        try:
            head = msgspec.json.decode(text, type=_Head)
        except msgspec.MsgspecError as error:
            raise LogRefused(
                f"{self.head_name}, beside the files of opt-out lists, cannot be read: {error}."
            ) from error
        if head != self._head:
            raise LogRefused(
                f"{self.head_name}, beside the files of opt-out lists, is of another installation, or of a newer Stentor. Name"
                " the storage of the installation that was backed up."
            )
        return True

    async def keep(self, entry: E) -> None:
        """Adds an entry as it is, if it is not there already; it is on disk when this returns."""
        name = f"{self._area}/{entry.id}.json"
        if await self._storage.size(name) is None:
            await self._storage.put_bytes(name, msgspec.json.encode(entry))

    async def entries(self) -> AsyncIterator[E]:
        """All that was noted, in no order. Raises LogRefused for what is no entry."""
        async for found in self._storage.names(self._area):
            if found.name == self.head_name:
                continue
            text = await self._read(found.name)
            if text is not None:
                yield self.read_entry(text, found.name)

    def read_entry(self, text: bytes, name: str) -> E:
        """The entry that this text is, which was found under that name. Raises LogRefused."""
        try:
            entry = msgspec.json.decode(text, type=self._kind)
        except msgspec.MsgspecError as error:
            raise LogRefused(
                f"{name} is no entry of a log of {self._area}: {error}. What it named would come back with a backup: put the"
                " file back as it was."
            ) from error
        if entry.format > FORMAT:
            raise LogRefused(f"{name} was written by a newer Stentor (format {entry.format}). Restore with that one.")
        return entry

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
