"""The indexes that this process has open: mapped once, shared by all who look something up, bounded in number."""

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt
import structlog

from stentor.clock import boottime_s
from stentor.errors import Unavailable
from stentor.files import files_max
from stentor.optouts.names import index_name
from stentor.optouts.runs.index import BadIndex, Digests, Index, NotAtHand

Mask = npt.NDArray[np.bool_]

log = structlog.get_logger(__name__)

INDEXES_OPEN_MAX = 2_000
"""Indexes that one process keeps open while nobody asks them, where it may open as many files and then some."""

UNASKED_S = 900.0
"""How long an index stays open that nobody asks: one that was replaced takes its room on the disk for so long."""

MAPPED_BYTES_MAX = 1 << 32
"""Of indexes that a process keeps mapped; of what lies beyond, at the end of large ones, single pages are read."""

# Of each index two.
_OF_FILES = 32
# So few digests are looked up by reading what they lie on, more in what is mapped, which takes a tenth of that.
_FEW = 64
# Beyond what stays mapped, more than this are asked part by part of the file, of which each is mapped meanwhile.
_READ_MAX = 1_500
# What a disk takes for some reads at once.
_DISK_S = 0.0003
_LOOKS_MAX = 10
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


class Bounds(NamedTuple):
    """How much of open indexes is mapped."""

    kept_bytes: int = MAPPED_BYTES_MAX
    """Of all together, as long as many are asked."""

    part_bytes: int = 256 << 20
    """Beyond that, for a moment."""

    small_bytes: int = 16 << 20
    """An index of that size is not counted."""

    give_back_after_s: float = 2.0
    """So long after many were last asked nothing stays mapped."""


class Indexes:
    """Open indexes by run. One that somebody holds stays mapped, whatever becomes of its file."""

    def __init__(
        self,
        files: IndexFiles,
        *,
        at_most: int | None = None,
        unasked_s: float = UNASKED_S,
        bounds: Bounds = Bounds(),  # noqa: B008  never changes
    ) -> None:
        """`at_most`: how many stay open while nobody asks them; a 32nd of the files that the process may open, unless said.

        `unasked_s`: how long they do.
        """
        self._files = files
        self._unasked_s = unasked_s
        self._bounds = bounds
        self._at_most = at_most or min(INDEXES_OPEN_MAX, files_max() // _OF_FILES)
        self._opened: OrderedDict[UUID, _Opened] = OrderedDict()
        self._asked_s: dict[UUID, float] = {}
        self._opening: dict[UUID, asyncio.Task[Index]] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._giving_back: asyncio.TimerHandle | None = None
        self._asked_many_s = 0.0
        # How much of each, from its beginning, stays mapped: the first ones to be opened come first.
        self._may_map: weakref.WeakKeyDictionary[Index, int] = weakref.WeakKeyDictionary()
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

    async def asked(self, indexes: Sequence[Index], asked: Digests) -> list[Mask]:
        """For each of these indexes, which it has given out, what it `holds`. Nobody else waits while the disk is read."""
        if len(asked) > _FEW:
            self._asked_many_s = boottime_s()
            if self._giving_back is None:
                self._give_back_in(self._bounds.give_back_after_s)
        else:
            # Of all of them what is missing is being read by the time that the first one waits.
            for index in indexes[1:]:
                with suppress(NotAtHand):
                    index.look_up(asked, waits=False)
        return [await self._holds(index, asked) for index in indexes]

    async def _holds(self, index: Index, asked: Digests) -> Mask:
        if index.bytes <= self._bounds.small_bytes:
            return index.holds(asked)
        if len(asked) <= _FEW:
            return await _looked_up(index, asked)
        at_bytes, mapped_bytes = index.at_bytes(asked), self._may_map.get(index, 0)
        is_near = at_bytes < mapped_bytes
        if index.expect(asked):
            await asyncio.to_thread(index.touch, at_bytes[is_near])
        if is_near.all():
            return index.holds(asked)
        found = np.empty(len(asked), dtype=bool)
        found[is_near] = index.holds(_chosen(asked, is_near))
        beyond = np.flatnonzero(~is_near)
        if len(beyond) <= _READ_MAX:
            found[beyond] = await _looked_up(index, _chosen(asked, beyond))
            return found
        at_bytes = at_bytes[beyond]
        for begin in range(mapped_bytes, index.bytes, self._bounds.part_bytes):
            end = begin + self._bounds.part_bytes
            is_here = (at_bytes >= begin) & (at_bytes < end)
            # To map what is not mapped takes as long as all the rest, and need not keep others waiting.
            await asyncio.to_thread(index.touch, at_bytes[is_here])
            found[beyond[is_here]] = index.holds(_chosen(asked, beyond[is_here]))
            index.let_go(begin, end)
        return found

    def _give_back_in(self, delay_s: float) -> None:
        self._giving_back = asyncio.get_running_loop().call_later(delay_s, self._give_back)

    def _give_back(self) -> None:
        """Unmaps all when nobody has asked for many in the meantime, and else looks again when that may be so."""
        left_s = self._asked_many_s + self._bounds.give_back_after_s - boottime_s()
        if left_s > 0:
            self._give_back_in(left_s)
            return
        self._giving_back = None
        for index in list(self._alive.values()):
            index.let_go()

    async def aclose(self) -> None:
        """Lets go of all, and fetches no more; what somebody still asks stays mapped until they have done so."""
        for opening in self._opening.values():
            opening.cancel()
        if under_way := [*self._opening.values(), *self._closing]:
            await asyncio.wait(under_way)
        for timer in (self._looking, self._giving_back):
            if timer is not None:
                timer.cancel()
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
            left_bytes = self._bounds.kept_bytes - sum(self._may_map.values())
            self._may_map[index] = min(index.bytes, left_bytes)
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


async def _looked_up(index: Index, asked: Digests) -> Mask:
    """What it holds, read: at once where all of it is in memory, as nearly always."""
    for _ in range(_LOOKS_MAX):
        try:
            return index.look_up(asked, waits=False)
        except NotAtHand:
            # Not in a thread, which would have to be given its turn after each of many reads.
            await asyncio.sleep(_DISK_S)
    return await asyncio.to_thread(index.look_up, asked, waits=True)


def _chosen(digests: Digests, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Digests:
    return Digests(digests.high[which], digests.low[which])


_UNREADABLE = "A file of an opt-out list cannot be read. Nothing is sent unasked; try again in a moment."
