"""Files of an opt-out list, put into the catalogue as a load does, and what the list says by them."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import duckdb

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.optouts.hashing import HashName, digest_of, hash_of
from stentor.optouts.names import index_name, segment_name
from stentor.optouts.runs.columns import SEGMENT_COLUMNS, entries_sql
from stentor.optouts.runs.index import Digests, Index, IndexWriter
from stentor.optouts.storage import Storage, make_private


class Row(NamedTuple):
    address: str | None
    hash: bytes | None
    campaign: str
    ip: str
    generation: int


class FiledList:
    """A list whose entries lie in files."""

    def __init__(self, db: Database, storage: Storage, brand_id: UUID, list_id: UUID, hash_name: HashName) -> None:
        self.db = db
        self.storage = storage
        self.brand_id = brand_id
        self.list_id = list_id
        self.hash: HashName = hash_name
        self._keys = {"list_id": list_id, "brand_id": brand_id}

    @classmethod
    async def made(
        cls,
        db: Database,
        storage: Storage,
        brand_id: UUID,
        *,
        hash_name: HashName = "md5",
        expiry_days: int | None = None,
    ) -> "FiledList":
        made = cls(db, storage, brand_id, new_id(), hash_name)
        async with db.autocommit() as conn:
            await conn.execute(
                "INSERT INTO optout_list (id, brand_id, name, hash, expiry_days, created_at)"
                " VALUES (%s, %s, %s, %s, %s, now())",
                [made.list_id, brand_id, str(made.list_id), hash_name, expiry_days],
            )
        return made

    async def add(
        self, addresses: Iterable[str], *, hashed: bool = False, learned: timedelta = timedelta(), segment: bool = True
    ) -> int:
        """Adds them as one run and one segment, learned so long ago; returns the generation in which they came."""
        texts = list(addresses)
        run_id, segment_id = new_id(), new_id()
        make_private(self.storage.work)
        index, rows = self.storage.work / str(run_id), self.storage.work / str(segment_id)
        async with self.db.transaction() as conn:
            at = datetime.now(UTC) + self.db.shift - learned
            generation = await self._next_generation(conn, "import")
            digests = Digests.of(digest_of(text, self.hash) for text in texts).sorted()
            with IndexWriter(index, self.hash, generation, expected=len(texts)) as writer:
                writer.add(digests)
            await self._insert(conn, "run", run_id, generation, len(texts), index.stat().st_size, at)
            await self.storage.put(index_name(run_id), index)
            if segment:
                _write_segment(rows, texts, self.hash, generation, at.replace(tzinfo=None), hashed=hashed)
                await self._insert(conn, "segment", segment_id, generation, len(texts), rows.stat().st_size, at)
                await self.storage.put(segment_name(segment_id), rows)
        return generation

    async def _next_generation(self, conn: Connection, what: str) -> int:
        found = await conn.execute(
            "UPDATE optout_list SET generation = generation + 1 WHERE id = %s RETURNING generation", [self.list_id]
        )
        ((generation,),) = await found.fetchall()
        await conn.execute(
            "INSERT INTO optout_generation (list_id, generation, brand_id, at, what)"
            " VALUES (%s, %s, %s, statement_timestamp() + %s, %s)",
            [self.list_id, generation, self.brand_id, self.db.shift, what],
        )
        return generation

    async def _insert(
        self, conn: Connection, kind: str, file_id: UUID, generation: int, entries: int, size: int, at: datetime
    ) -> None:
        await conn.execute(
            (
                f"INSERT INTO optout_{kind} (id, list_id, brand_id, generation, entries, bytes, learned_at, created_at)"  # noqa: S608
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            ).encode(),
            [file_id, self.list_id, self.brand_id, generation, entries, size, at, at],
        )

    async def remove(self, *addresses: str, ago: timedelta = timedelta()) -> None:
        """Takes entries of runs off the list, as its service does."""
        async with self.db.transaction() as conn:
            found = await conn.execute("SELECT generation FROM optout_list WHERE id = %s FOR UPDATE", [self.list_id])
            ((generation,),) = await found.fetchall()
            for address in addresses:
                await conn.execute(
                    "INSERT INTO optout_removed (list_id, digest, brand_id, generation, at)"
                    " VALUES (%s, %s, %s, %s, statement_timestamp() + %s)"
                    " ON CONFLICT (list_id, digest) DO UPDATE SET generation = excluded.generation",
                    [
                        self.list_id,
                        digest_of(address, self.hash),
                        self.brand_id,
                        generation,
                        self.db.shift - ago,
                    ],
                )
            await self._next_generation(conn, "removal")

    async def erase(self, *addresses: str, ago: timedelta = timedelta()) -> None:
        """Asks that their addresses go."""
        async with self.db.transaction() as conn:
            for address in addresses:
                await conn.execute(
                    "INSERT INTO optout_erasure (list_id, digest, brand_id, asked_at)"
                    " VALUES (%s, %s, %s, statement_timestamp() + %s) ON CONFLICT DO NOTHING",
                    [self.list_id, digest_of(address, self.hash), self.brand_id, self.db.shift - ago],
                )

    async def live(self, kind: str) -> list[UUID]:
        """The files that hold."""
        return await self.column(
            f"SELECT id FROM optout_{kind} WHERE list_id = %(list_id)s AND replaced_at IS NULL ORDER BY id"  # noqa: S608
        )

    async def column(self, sql: str) -> list[Any]:
        """The first column of a query about this list."""
        async with self.db.read() as conn:
            rows = await conn.execute(sql.encode(), self._keys)
            return [row[0] for row in await rows.fetchall()]

    async def holds(self, addresses: Sequence[str]) -> list[str]:
        """Those of the addresses that are on the list by its runs, minus what was removed."""
        digests = [digest_of(address, self.hash) for address in addresses]
        async with self.db.read() as conn:
            rows = await conn.execute(
                "SELECT id, generation FROM optout_run WHERE list_id = %s AND replaced_at IS NULL", [self.list_id]
            )
            runs = await rows.fetchall()
            rows = await conn.execute(
                "SELECT digest, generation FROM optout_removed WHERE list_id = %s", [self.list_id]
            )
            removed = dict(await rows.fetchall())
        held: set[str] = set()
        for run_id, generation in runs:
            async with self.storage.local(index_name(run_id)) as path:
                with closing(Index(path)) as index:
                    assert index.generation == generation
                    found = index.holds(Digests.of(digests))
            for address, digest, is_there in zip(addresses, digests, found, strict=True):
                if is_there and removed.get(digest, -1) < generation:
                    held.add(address)
        return [address for address in addresses if address in held]

    async def rows(self) -> list[Row]:
        """All rows of the segments that hold, whoever was removed among them."""
        found: list[Row] = []
        for segment_id in await self.live("segment"):
            async with self.storage.local(segment_name(segment_id)) as path:
                with duckdb.connect() as database:
                    entries = entries_sql(database, path)
                    read = database.execute(
                        f"SELECT address, hash, campaign, ip, generation FROM {entries}",  # noqa: S608
                        [str(path)],
                    ).fetchall()
                    columns = database.execute("DESCRIBE FROM read_parquet(?)", [str(path)]).fetchall()
            assert {column[0]: column[1] for column in columns}.items() <= SEGMENT_COLUMNS.items()
            found += [Row(*row) for row in read]
        return found

    async def entries(self) -> list[bytes]:
        """Digests of the rows of its segments, minus what was removed: what an export has."""
        async with self.db.read() as conn:
            found = await conn.execute(
                "SELECT digest, generation FROM optout_removed WHERE list_id = %s", [self.list_id]
            )
            removed = dict(await found.fetchall())
        rows = [
            (row.hash[:16] if row.hash is not None else digest_of(row.address or "", self.hash), row.generation)
            for row in await self.rows()
        ]
        return [digest for digest, generation in rows if removed.get(digest, -1) < generation]

    async def stored(self) -> set[str]:
        """Names of all files in the storage's catalogue areas."""
        return {each.name for area in ("runs", "segments") async for each in self.storage.names(area)}

    async def named(self) -> set[str]:
        """Names of all live files."""
        return {index_name(each) for each in await self.live("run")} | {
            segment_name(each) for each in await self.live("segment")
        }


def _write_segment(
    path: Path, texts: Sequence[str], hash_name: HashName, generation: int, at: datetime, *, hashed: bool
) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in SEGMENT_COLUMNS.items())
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE entry ({columns})")
        database.executemany(
            "INSERT INTO entry VALUES (?, ?, false, ?, 'summer', 'aff', 'sub', '192.0.2.1', ?)",
            [
                (None, hash_of(text, hash_name), at, generation) if hashed else (text, None, at, generation)
                for text in texts
            ],
        )
        database.execute("COPY entry TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
