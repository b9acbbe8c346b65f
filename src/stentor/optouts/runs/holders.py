"""The indexes that this process has open: mapped once, shared by all who look something up, bounded in number."""

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

import structlog

from stentor.errors import Unavailable
from stentor.files import files_max
from stentor.optouts.names import index_name
from stentor.optouts.runs.index import BadIndex, Index

log = structlog.get_logger(__name__)

INDEXES_OPEN_MAX = 2_000
"""Indexes that one process keeps open while nobody asks them, where it may open as many files and then some."""

_OF_FILES = 32


class IndexFiles(Protocol):
    """Where indexes come from; the storage is one."""

    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The object as a file on this machine, which stays there inside the block. Raises FileNotFoundError."""
        ...


class IndexesNeeded(Exception):
    """Some runs are not open here. To open them may mean to fetch gigabytes: end the transaction, `fetch`, and ask again."""

    def __init__(self, run_ids: Sequence[UUID], at_hand: Collection[Index]) -> None:
        """`at_hand`: those that were asked for too and are open, to be held until all are."""
        super().__init__(f"{len(run_ids)} indexes are not open here.")
        self.run_ids = run_ids
        self.at_hand = at_hand


class _Opened(NamedTuple):
    index: Index
    pin: AsyncExitStack


class Indexes:
    """Open indexes by run. One that somebody holds stays mapped, whatever becomes of its file."""

    def __init__(self, files: IndexFiles, *, at_most: int | None = None) -> None:
        """`at_most`: how many stay open while nobody asks them; a 32nd of the files that the process may open, unless said."""
        self._files = files
        self._at_most = at_most or min(INDEXES_OPEN_MAX, files_max() // _OF_FILES)
        self._opened: OrderedDict[UUID, _Opened] = OrderedDict()
        # Whoever fetched many holds them until it has asked them, also those that had to make room.
        self._alive: weakref.WeakValueDictionary[UUID, Index] = weakref.WeakValueDictionary()

    def at_hand(self, run_ids: Iterable[UUID]) -> Mapping[UUID, Index]:
        """The indexes of these runs, without waiting. Raises IndexesNeeded for all that are not open."""
        found: dict[UUID, Index] = {}
        missing: list[UUID] = []
        for run_id in run_ids:
            index = self._alive.get(run_id)
            if index is None:
                missing.append(run_id)
                continue
            found[run_id] = index
            if run_id in self._opened:
                self._opened.move_to_end(run_id)
        if missing:
            raise IndexesNeeded(missing, found.values())
        return found

    async def fetch(self, run_ids: Iterable[UUID]) -> tuple[list[Index], list[UUID]]:
        """Opens these runs, to be held until they were asked; and says which have no file, being replaced by now or lost.

        Raises Unavailable where the storage does not answer, or holds something else under that name.
        """
        held: list[Index] = []
        missing: list[UUID] = []
        for run_id in run_ids:
            try:
                held.append(await self._open(run_id))
            except FileNotFoundError:
                missing.append(run_id)
            except (BadIndex, ValueError, OSError) as error:
                log.exception("index.unreadable", run_id=str(run_id))
                raise Unavailable(_UNREADABLE, reason=f"{index_name(run_id)}: {error}") from error
        await self._make_room()
        return held, missing

    async def aclose(self) -> None:
        """Lets go of all; what somebody still asks stays mapped until they have done so."""
        while self._opened:
            _, opened = self._opened.popitem()
            await opened.pin.aclose()

    async def _open(self, run_id: UUID) -> Index:
        if (index := self._alive.get(run_id)) is not None:
            return index
        async with AsyncExitStack() as stack:
            path = await stack.enter_async_context(self._files.local(index_name(run_id)))
            index = await asyncio.to_thread(Index, path)
            if (other := self._alive.get(run_id)) is not None:
                return other
            self._alive[run_id] = index
            self._opened[run_id] = _Opened(index, stack.pop_all())
        return index

    async def _make_room(self) -> None:
        while len(self._opened) > self._at_most:
            _, opened = self._opened.popitem(last=False)
            await opened.pin.aclose()


_UNREADABLE = "A file of an opt-out list cannot be read. Nothing is sent unasked; try again in a moment."
