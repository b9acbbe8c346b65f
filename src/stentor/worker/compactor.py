"""The compactor's role: keeps the files of opt-out lists few, and the storage clear, beside whatever else goes on."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from stentor.clock import boottime_s
from stentor.errors import NoRoom, Unavailable
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.compaction.model import CompactedList
from stentor.optouts.crew import ChildDied
from stentor.queue.leases import Role
from stentor.worker.keeper import Chore, Chores
from stentor.worker.loop import Bell, repeat

if TYPE_CHECKING:
    from uuid import UUID

log = structlog.get_logger(__name__)

_REST_S = 10.0
_HEARTBEAT_S = 5.0
_LIST_RESTS_S = 600.0
"""How soon a list is looked at again: what could not be done now can hardly be done a minute later."""


class CompactorRole:
    """Compacts lists and does the chores of their storage while this process holds the role; after its death another takes over.

    They are no chores of the keeper's: a large list takes minutes, and so may a storage that is far away.
    """

    def __init__(self, role: Role, compactor: Compactor, chores: Sequence[Chore], *, rest_s: float = _REST_S) -> None:
        self._role = role
        self._compactor = compactor
        self._rest_s = rest_s
        self._rested_s: dict[UUID, float] = {}
        self._chores = Chores(chores)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; what is being merged then is thrown away, and another process does it anew."""
        bell = Bell()
        stopping = asyncio.create_task(_ring_at(stop, bell))
        try:
            await repeat("compactor", lambda: self._step(stop), stop=stop, bell=bell, rest_s=self._rest_s)
        finally:
            stopping.cancel()
        await self._role.leave()

    async def _step(self, stop: asyncio.Event) -> bool:
        if not await self._role.take():
            return False
        working = asyncio.create_task(self._round())
        stopped = asyncio.create_task(stop.wait())
        try:
            while not working.done() and not stop.is_set():
                await asyncio.wait({working, stopped}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                if not working.done() and not await self._role.take():
                    log.warning("compactor.role_lost")
                    break
        finally:
            stopped.cancel()
            working.cancel()
            await asyncio.wait({working})
        if not working.cancelled():
            working.result()
        return False

    async def _round(self) -> None:
        for a_list in await self._compactor.lists_in_need():
            if boottime_s() >= self._rested_s.get(a_list.list_id, 0.0):
                await self._compact(a_list)
                self._rested_s[a_list.list_id] = boottime_s() + _LIST_RESTS_S
        now_s = boottime_s()
        self._rested_s = {list_id: until_s for list_id, until_s in self._rested_s.items() if until_s > now_s}
        await self._chores.do_due()

    async def _compact(self, a_list: CompactedList) -> None:
        """An outage ends the round; whatever else is wrong with one list keeps none of the others waiting."""
        try:
            await self._compactor.compact(a_list.brand_id, a_list.list_id)
        except (NoRoom, ChildDied) as trouble:
            log.warning("list.not_compacted", list_id=str(a_list.list_id), why=str(trouble))
        except Unavailable:
            raise
        except Exception:
            log.exception("list.not_compacted", list_id=str(a_list.list_id))


async def _ring_at(stop: asyncio.Event, bell: Bell) -> None:
    await stop.wait()
    bell.ring()
