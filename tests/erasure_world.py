"""Erasing people of a world, and searching everything that is kept for what was said of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from stentor.accounts.installation import InstallationSecret
from stentor.audience.customers import CustomerService
from stentor.audience.model import CustomerPatch
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.erasures.log import ErasureLog
from stentor.erasures.model import Digests, Erased
from stentor.erasures.service import ErasureService
from stentor.erasures.sweeping import REST, sweep_all
from stentor.optouts.storage import DirectoryStorage
from stentor.testing.world import World

SECRET = InstallationSecret(b"the secret of an installation that forgets people")
LATER = REST + timedelta(seconds=30)


class Erasing:
    """A world, and who erases its people."""

    def __init__(self, world: World, lists: Path) -> None:
        self.world = world
        self.db = world.db
        self.brand_id = world.brand_id
        self.lists = lists
        self.customers = CustomerService(world.db)
        self.digests = Digests(SECRET.derive("erasures"))
        self.log = ErasureLog(DirectoryStorage(lists), SECRET.derive("fingerprint"))
        self.service = ErasureService(world.db, self.digests, self.log)

    @classmethod
    async def made(cls, db: Database, lists: Path) -> "Erasing":
        """In that database, with its log there."""
        return cls(await World.made(db), lists)

    def id_of(self, name: str) -> UUID:
        """The id of that person."""
        return customer_id(self.brand_id, name)

    async def add(self, name: str, **fields: Any) -> UUID:
        """Makes that person, with these fields."""
        await self.customers.upsert(self.brand_id, CustomerPatch(external_id=name, **fields))
        return self.id_of(name)

    async def erase(self, name: str) -> Erased:
        """Erases that person, without a sweep."""
        return await self.service.erase(self.brand_id, name, asked_by="key 7")

    async def complete(self) -> None:
        """Sweeps until every erasure is complete."""
        await sweep_all(self.db)
        async with Database(self.db.dsn, size=2, shift=LATER) as later:
            await sweep_all(later)


async def tables(db: Database) -> list[str]:
    """All tables but the partitions."""
    return [
        name
        for (name,) in await _rows(
            db,
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace ORDER BY 1",
        )
    ]


async def found_in(db: Database, *said: str) -> dict[str, int]:
    """In how many rows of which tables any of these texts is, as text or as bytes; tables without it are left out."""
    found: dict[str, int] = {}
    needles = [*said, *(text.encode().hex() for text in said)]
    for table in await tables(db):
        query = f'SELECT count(*) FROM "{table}" t WHERE EXISTS (SELECT FROM unnest(%s::text[]) n WHERE strpos(t::text, n) > 0)'  # noqa: S608
        ((rows,),) = await _rows(db, query, [needles])
        if rows:
            found[table] = rows
    return found


async def _rows(db: Database, query: str, values: Any = ()) -> list[tuple[Any, ...]]:
    async with db.read() as conn:
        return await (await conn.execute(query.encode(), values)).fetchall()
