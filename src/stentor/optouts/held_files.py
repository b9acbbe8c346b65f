"""Everything that lists hold, brought to this machine's disk, for children to hold files against it."""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from uuid import UUID

from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Unavailable
from stentor.optouts.asking import AskedStore, asked_stores
from stentor.optouts.crew import Crew
from stentor.optouts.names import index_name
from stentor.optouts.runs.held import HeldList, HeldRun, write_recents
from stentor.optouts.storage import NotStored, Storage

_PAGE = 50_000
_TRIES_MAX = 5
_FIRST = b""


class Sql(QuerySet, file="held_files.sql", package=__package__):
    removals: Statement
    recents: Statement
    behind: Statement


class HeldFiles:
    """Gathers what lists hold, for the length of the block of `stack`."""

    def __init__(self, db: Database, storage: Storage, crew: Crew, directory: Path, stack: AsyncExitStack) -> None:
        """`directory` is for what is made of single entries and removals."""
        self._db = db
        self._clock = Clock(db.shift)
        self._storage = storage
        self._crew = crew
        self._directory = directory
        self._stack = stack

    async def of(self, brand_id: UUID, list_ids: Collection[UUID]) -> Sequence[tuple[AskedStore, HeldList]]:
        """What each of the brand's enabled lists goes by: where its entries lie, and what lies there now.

        Raises Unavailable where a file of a list is not to be had.
        """
        missing: str = ""
        asked_at = self._clock.now()
        for _ in range(_TRIES_MAX):
            removals = {store.store_id: await self._removals(store) for store in await self._stores(brand_id, list_ids)}
            # After the removals: compaction forgets those together with the runs that they were made of.
            stores = await self._stores(brand_id, list_ids)
            if {store.store_id for store in stores} != removals.keys():
                continue
            try:
                runs = await self._runs(stores)
            except NotStored as gone:
                missing = str(gone)
                continue
            # After the runs: whoever opted out again is removed from these for it, and compaction takes them out of them.
            recents = {store.store_id: await self._recents(store, asked_at) for store in stores}
            return [(store, _held(store, runs, recents[store.store_id], removals[store.store_id])) for store in stores]
        raise Unavailable(_NOT_THERE if missing else _CHANGING, reason=missing)

    async def unasked(self, brand_id: UUID, list_ids: Collection[UUID], asked: Iterable[AskedStore]) -> list[str]:
        """The names of those of these lists, and of members of groups, in which entries lie that are not among the asked."""
        there = {(store.list_id, store.store_id) for store in asked}
        async with self._db.read() as conn:
            behind = await Sql.behind.tuples(conn, brand_id=brand_id, list_ids=list(list_ids))
        return sorted({name for list_id, store_id, name in behind if (list_id, store_id) not in there})

    async def _stores(self, brand_id: UUID, list_ids: Collection[UUID]) -> list[AskedStore]:
        async with self._db.read() as conn:
            return await asked_stores(conn, brand_id, channel=None, list_ids=list_ids)

    async def _runs(self, stores: Sequence[AskedStore]) -> dict[UUID, Path]:
        run_ids = {run_id for store in stores for run_id in store.run_ids}
        return {
            run_id: await self._stack.enter_async_context(self._storage.local(index_name(run_id))) for run_id in run_ids
        }

    async def _removals(self, store: AskedStore) -> Path | None:
        path = self._directory / f"{store.store_id}.removals"
        return path if store.has_removed and await self._write_removals(store, path) else None

    async def _recents(self, store: AskedStore, asked_at: datetime) -> Path | None:
        path, raw = (self._directory / f"{store.store_id}.{what}" for what in ("recents", "raw"))
        # Whoever was on none when the list was looked at may be by now.
        if not await self._write_recents(store, raw, asked_at):
            return None
        await self._crew.call(write_recents, raw, path, store.hash)
        return path

    async def _write_removals(self, store: AskedStore, path: Path) -> int:
        written, after = 0, _FIRST
        with path.open("wb") as file:
            while True:
                async with self._db.read() as conn:
                    rows = await Sql.removals.tuples(
                        conn, list_id=store.store_id, brand_id=store.store_brand_id, after=after, limit=_PAGE
                    )
                if not rows:
                    return written
                file.writelines(digest + struct.pack("<Q", generation) for digest, generation in rows)
                written += len(rows)
                after = rows[-1][0]

    async def _write_recents(self, store: AskedStore, path: Path, asked_at: datetime) -> int:
        written, after = 0, _FIRST
        with path.open("wb") as file:
            while True:
                async with self._db.read() as conn:
                    digests = await Sql.recents.column(
                        conn,
                        list_id=store.store_id,
                        brand_id=store.store_brand_id,
                        expiry_days=store.expiry_days,
                        asked_at=asked_at,
                        after=after,
                        limit=_PAGE,
                    )
                if not digests:
                    return written
                file.writelines(digests)
                written += len(digests)
                after = digests[-1]


def _held(store: AskedStore, paths: Mapping[UUID, Path], recents: Path | None, removals: Path | None) -> HeldList:
    runs = zip(store.run_ids, store.run_generations, strict=True)
    return HeldList(
        store.hash, tuple(HeldRun(paths[run_id], generation) for run_id, generation in runs), recents, removals
    )


_NOT_THERE = (
    "A file of an opt-out list is not there. Nothing is taken for unlisted; restore it, or wait for the storage."
)
_CHANGING = "The opt-out lists change faster than they can be read. Try again in a moment."
