"""Everything that lists hold, brought to this machine's disk, for children to hold files against it."""

import struct
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

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


class HeldFiles:
    """Gathers what lists hold, for the length of the block of `stack`."""

    def __init__(self, db: Database, storage: Storage, crew: Crew, directory: Path, stack: AsyncExitStack) -> None:
        """`directory` is for what is made of single entries and removals."""
        self._db = db
        self._storage = storage
        self._crew = crew
        self._directory = directory
        self._stack = stack

    async def of(self, brand_id: UUID, list_ids: Collection[UUID]) -> Sequence[tuple[AskedStore, HeldList]]:
        """What each of the brand's enabled lists goes by: where its entries lie, and what lies there now.

        Raises Unavailable where a file of a list is not to be had.
        """
        missing: str = ""
        for _ in range(_TRIES_MAX):
            stores = await self._stores(brand_id, list_ids)
            single = {store.store_id: await self._single(store) for store in stores}
            # After the removals: compaction forgets those together with the runs that they were made of.
            again = await self._stores(brand_id, list_ids)
            try:
                runs = await self._runs(again)
            except NotStored as gone:
                missing = str(gone)
                continue
            if {store.store_id for store in again} == single.keys():
                return [(store, _held(store, runs, *single[store.store_id])) for store in again]
        raise Unavailable(_NOT_THERE if missing else _CHANGING, reason=missing)

    async def _stores(self, brand_id: UUID, list_ids: Collection[UUID]) -> list[AskedStore]:
        async with self._db.read() as conn:
            return await asked_stores(conn, brand_id, channel=None, list_ids=list_ids)

    async def _runs(self, stores: Sequence[AskedStore]) -> dict[UUID, Path]:
        run_ids = {run_id for store in stores for run_id in store.run_ids}
        return {
            run_id: await self._stack.enter_async_context(self._storage.local(index_name(run_id))) for run_id in run_ids
        }

    async def _single(self, store: AskedStore) -> tuple[Path | None, Path | None]:
        removals = self._directory / f"{store.store_id}.removals"
        recents = self._directory / f"{store.store_id}.recents"
        raw = self._directory / f"{store.store_id}.raw"
        has_removals = store.has_removed and await self._write_removals(store, removals)
        # Whoever was on none when the list was looked at may be by now, as who opted out again and was removed from runs for it.
        has_recents = await self._write_recents(store, raw)
        if has_recents:
            await self._crew.call(write_recents, raw, recents, store.hash)
        return recents if has_recents else None, removals if has_removals else None

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

    async def _write_recents(self, store: AskedStore, path: Path) -> int:
        written, after = 0, _FIRST
        with path.open("wb") as file:
            while True:
                async with self._db.read() as conn:
                    digests = await Sql.recents.column(
                        conn,
                        list_id=store.store_id,
                        brand_id=store.store_brand_id,
                        expiry_days=store.expiry_days,
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
