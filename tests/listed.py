"""Opt-out lists with entries in files, as tests want them: written to the catalogue without the way of an upload."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.optouts.hashing import HashName, digest_of
from stentor.optouts.names import index_name
from stentor.optouts.runs.index import Digests, IndexWriter


class Directory(msgspec.Struct, frozen=True):
    """Files of lists in a directory; `asked` is which were, in order."""

    root: Path
    asked: list[str] = msgspec.field(default_factory=list)

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        """The file."""
        self.asked.append(name)
        path = self.root / name
        if not path.exists():
            raise FileNotFoundError(name)
        yield path


class Lists:
    """Lists of brands, with their files in a directory."""

    def __init__(self, db: Database, root: Path) -> None:
        self._db = db
        self.files = Directory(root)
        (root / "runs").mkdir(parents=True)

    async def made(self, brand_id: UUID, name: str, **columns: Any) -> UUID:
        """A new list; `columns` of its row that are not the default."""
        list_id = new_id()
        given = {"id": list_id, "brand_id": brand_id, "name": name, **columns}
        text = sql.SQL("INSERT INTO optout_list ({}, created_at) VALUES ({}, now())").format(
            sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
        )
        async with self._db.transaction() as conn:
            await conn.execute(text, given)
        return list_id

    async def number(self, list_id: UUID) -> int:
        """Its number in traces."""
        async with self._db.read() as conn:
            row = await (await conn.execute("SELECT number FROM optout_list WHERE id = %s", [list_id])).fetchone()
        assert row is not None
        return row[0]

    async def built_in(self, brand_id: UUID) -> UUID:
        """The brand's own."""
        async with self._db.read() as conn:
            row = await (
                await conn.execute("SELECT id FROM optout_list WHERE brand_id = %s AND built_in", [brand_id])
            ).fetchone()
        assert row is not None
        return row[0]

    async def run(
        self,
        list_id: UUID,
        texts: Iterable[str] = (),
        *,
        digests: Iterable[bytes] = (),
        age_days: float = 0,
        replaces: Iterable[UUID] = (),
        generation: int = 0,
    ) -> UUID:
        """An import of these texts and digests, effective when this returns; in the place of other runs, if any are named.

        `generation`: that of the run, where it is not the list's new one.
        """
        run_id = new_id()
        async with self._db.transaction() as conn:
            row = await (
                await conn.execute("SELECT brand_id, hash FROM optout_list WHERE id = %s FOR UPDATE", [list_id])
            ).fetchone()
            assert row is not None
            brand_id, hash_name = row
            latest = await self._next_generation(conn, list_id, brand_id, "import")
            generation = generation or latest
            entries = self._write(run_id, hash_name, generation, [*digests, *(digest_of(t, hash_name) for t in texts)])
            await conn.execute("UPDATE optout_run SET replaced_at = now() WHERE id = ANY (%s)", [list(replaces)])
            await conn.execute(
                "INSERT INTO optout_run (id, list_id, brand_id, generation, entries, bytes, learned_at, created_at)"
                " VALUES (%s, %s, %s, %s, %s, 0, now() - make_interval(secs => %s), now())",
                [run_id, list_id, brand_id, generation, entries, age_days * 86_400],
            )
        return run_id

    async def recent(self, list_id: UUID, text: str, *, cause: str = "api", age_days: float = 0) -> None:
        """A single entry."""
        digest = await self._digest(list_id, text)
        async with self._db.transaction() as conn:
            await conn.execute(
                "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at)"
                " SELECT l.id, %s, l.brand_id, %s, %s, now() - make_interval(secs => %s)"
                " FROM optout_list l WHERE l.id = %s",
                [digest, 1 if "@" in text else 2, cause, age_days * 86_400, list_id],
            )

    async def take_off(self, list_id: UUID, text: str, *, noted: bool = False) -> None:
        """Removes an entry that lies in a run; `noted` also among what was lifted."""
        digest = await self._digest(list_id, text)
        async with self._db.transaction() as conn:
            row = await (await conn.execute("SELECT brand_id FROM optout_list WHERE id = %s", [list_id])).fetchone()
            assert row is not None
            generation = await self._next_generation(conn, list_id, row[0], "removal")
            await conn.execute(
                "INSERT INTO optout_removed VALUES (%s, %s, %s, %s, now())",
                [list_id, digest, row[0], generation],
            )
            if noted:
                await conn.execute(
                    "INSERT INTO optout_lifted (list_id, digest, brand_id, channel, cause, at, source, lifted_at)"
                    " SELECT list_id, %s, brand_id, 1, 'import', at, '', now() FROM optout_generation"
                    " WHERE list_id = %s AND generation = 1",
                    [digest, list_id],
                )

    async def change(self, list_id: UUID, **columns: Any) -> None:
        """Sets columns of its row."""
        sets = [sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column)) for column in columns]
        text = sql.SQL("UPDATE optout_list SET {} WHERE id = %(id)s").format(sql.SQL(", ").join(sets))
        async with self._db.transaction() as conn:
            await conn.execute(text, {**columns, "id": list_id})

    async def grant(self, list_id: UUID, to: UUID) -> None:
        """Lets another brand read it."""
        async with self._db.transaction() as conn:
            await conn.execute(
                "INSERT INTO optout_grant SELECT id, %s, brand_id, now(), '' FROM optout_list WHERE id = %s",
                [to, list_id],
            )

    def lose(self, run_id: UUID) -> None:
        """Its file is gone, and the catalogue does not know."""
        (self.files.root / index_name(run_id)).unlink()

    def _write(self, run_id: UUID, hash_name: HashName, generation: int, digests: list[bytes]) -> int:
        ordered = Digests.of(digests).sorted()
        path = self.files.root / index_name(run_id)
        with IndexWriter(path, hash_name, generation, expected=len(ordered)) as writer:
            writer.add(ordered)
        return len(ordered)

    async def _digest(self, list_id: UUID, text: str) -> bytes:
        async with self._db.read() as conn:
            row = await (await conn.execute("SELECT hash FROM optout_list WHERE id = %s", [list_id])).fetchone()
        assert row is not None
        return digest_of(text, row[0])

    async def _next_generation(self, conn: Connection, list_id: UUID, brand_id: UUID, what: str) -> int:
        row = await (
            await conn.execute(
                "UPDATE optout_list SET generation = generation + 1 WHERE id = %s RETURNING generation", [list_id]
            )
        ).fetchone()
        assert row is not None
        (generation,) = row
        await conn.execute(
            "INSERT INTO optout_generation VALUES (%s, %s, %s, now(), %s)", [list_id, generation, brand_id, what]
        )
        return generation


async def on_builtin(conn: Connection, brand_id: UUID, digests: Iterable[bytes]) -> set[bytes]:
    """Which of the digests are on the brand's built-in list."""
    rows = await conn.execute(
        "SELECT r.digest FROM optout_recent r JOIN optout_list l ON l.id = r.list_id"
        " WHERE l.brand_id = %s AND l.built_in AND r.digest = ANY (%s)",
        [brand_id, list(digests)],
    )
    return {digest for (digest,) in await rows.fetchall()}
