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

from stentor.clock import boottime_s
from stentor.errors import Unavailable
from stentor.files import files_max
from stentor.optouts.names import index_name
from stentor.optouts.runs.index import BadIndex, Index

log = structlog.get_logger(__name__)

INDEXES_OPEN_MAX = 2_000
"""Indexes that one process keeps open while nobody asks them, where it may open as many files and then some."""

UNASKED_S = 900.0
"""How long an index stays open that nobody asks: one that was replaced takes its room on the disk for so long."""

_OF_FILES = 32
_LOOK_AGAIN_S = 0.05


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

    def __init__(self, files: IndexFiles, *, at_most: int | None = None, unasked_s: float = UNASKED_S) -> None:
        """`at_most`: how many stay open while nobody asks them; a 32nd of the files that the process may open, unless said.

        `unasked_s`: how long they do.
        """
        self._files = files
        self._unasked_s = unasked_s
        self._at_most = at_most or min(INDEXES_OPEN_MAX, files_max() // _OF_FILES)
        self._opened: OrderedDict[UUID, _Opened] = OrderedDict()
        self._asked_s: dict[UUID, float] = {}
        self._opening: dict[UUID, asyncio.Task[Index]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        # Whoever fetched many holds them until it has asked them, also those that had to make room.
        self._alive: weakref.WeakValueDictionary[UUID, Index] = weakref.WeakValueDictionary()

    def at_hand(self, run_ids: Iterable[UUID]) -> Mapping[UUID, Index]:
        """The indexes of these runs, without waiting. Raises IndexesNeeded for all that are not open."""
        found: dict[UUID, Index] = {}
        missing: list[UUID] = []
        now_s = boottime_s()
        for run_id in run_ids:
            index = self._alive.get(run_id)
            if index is None:
                missing.append(run_id)
                continue
            found[run_id] = index
            if run_id in self._opened:
                self._opened.move_to_end(run_id)
                self._asked_s[run_id] = now_s
        if missing:
            raise IndexesNeeded(missing, found.values())
        return found

    async def fetch(self, run_ids: Iterable[UUID]) -> tuple[list[Index], list[UUID]]:
        """Opens these runs, to be held until they were asked; and says which have no file, being replaced by now or lost.

        Who waits no longer does not end what was begun: the next one finds it further, or open. Raises Unavailable where the storage does not answer, or holds something else under that name.
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
        return held, missing

    async def aclose(self) -> None:
        """Lets go of all, and fetches no more; what somebody still asks stays mapped until they have done so."""
        for opening in self._opening.values():
            opening.cancel()
        if under_way := [*self._opening.values(), *self._closing]:
            await asyncio.wait(under_way)
        if self._looking is not None:
            self._looking.cancel()
        self._asked_s.clear()
        while self._opened:
            _, opened = self._opened.popitem()
            await opened.pin.aclose()

    async def _open(self, run_id: UUID) -> Index:
        if (index := self._alive.get(run_id)) is not None:
            return index
        opening = self._opening.get(run_id)
        if opening is None:
            opening = asyncio.create_task(self._opened_anew(run_id))
            self._opening[run_id] = opening
            opening.add_done_callback(lambda done: self._note_opened(run_id, done))
        return await asyncio.shield(opening)

    async def _opened_anew(self, run_id: UUID) -> Index:
        async with AsyncExitStack() as stack:
            path = await stack.enter_async_context(self._files.local(index_name(run_id)))
            index = await asyncio.to_thread(Index, path)
            self._alive[run_id] = index
            self._opened[run_id] = _Opened(index, stack.pop_all())
            self._asked_s[run_id] = boottime_s()
        await self._make_room()
        return index

    def _note_opened(self, run_id: UUID, opening: asyncio.Task[Index]) -> None:
        del self._opening[run_id]
        if not opening.cancelled():
            # Perhaps nobody waits any more who would be told.
            opening.exception()

    async def _make_room(self) -> None:
        """Lets go of those that are too many or were not asked for too long, and looks again when the next one may be."""
        while len(self._opened) > self._at_most or (self._opened and self._due_in_s() < 0):
            run_id, opened = self._opened.popitem(last=False)
            self._asked_s.pop(run_id, None)
            await opened.pin.aclose()
        if self._looking is not None:
            self._looking.cancel()
        if self._opened:
            delay_s = max(self._due_in_s(), _LOOK_AGAIN_S)
            self._looking = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        closing = asyncio.create_task(self._make_room())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _due_in_s(self) -> float:
        """When the one that was not asked for longest will not have been for too long."""
        return self._asked_s[next(iter(self._opened))] + self._unasked_s - boottime_s()


_UNREADABLE = "A file of an opt-out list cannot be read. Nothing is sent unasked; try again in a moment."
