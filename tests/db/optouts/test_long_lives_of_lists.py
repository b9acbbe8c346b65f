"""Whatever happens to a list in whatever order, its runs and its segments say what a set of addresses would."""

import random
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from optout_files import FiledList
from stentor.db.pool import Database
from stentor.optouts.compaction.clearing import delete_replaced
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.hashing import digest_of
from stentor.optouts.storage import DirectoryStorage

pytestmark = pytest.mark.anyio

EVERYBODY = [f"p{number}@example.com" for number in range(12)]
STEPS = 40
LONG_AGO = timedelta(days=8)


class Meanwhile(DirectoryStorage):
    """A storage before whose next file something else happens to the list."""

    life: "Life | None" = None

    async def put(self, name: str, path: Path) -> None:
        life, self.life = self.life, None
        if life is not None:
            await life.happen()
        await super().put(name, path)


class Life:
    """A list, and who is on it."""

    def __init__(self, filed: FiledList, storage: Meanwhile, chance: random.Random) -> None:
        self.filed = filed
        self.storage = storage
        self.chance = chance
        self.held: set[str] = set()

    async def happen(self) -> None:
        """Somebody does something to the list, as its services would: a load brings only who is not on it."""
        some = {address for address in EVERYBODY if self.chance.random() < 0.3}
        match self.chance.choice(["load", "load", "remove", "erase"]):
            case "load":
                if new := some - self.held:
                    await self.filed.add(sorted(new))
                    self.held |= new
            case "remove":
                if gone := some & self.held:
                    await self.filed.remove(*sorted(gone), ago=LONG_AGO * self.chance.randint(0, 1))
                    self.held -= gone
            case _:
                await self.filed.erase(*sorted(some)[:2], ago=LONG_AGO)

    async def compact(self) -> None:
        if self.chance.random() < 0.5:
            self.storage.life = self
        compactor = Compactor(self.filed.db, self.storage, min_free_bytes=0)
        await compactor.compact(self.filed.brand_id, self.filed.list_id, everything=self.chance.random() < 0.5)
        self.storage.life = None

    async def clear(self) -> None:
        db = self.filed.db
        async with Database(db.dsn, size=2, shift=timedelta(hours=2), prepared=db.prepared) as later:
            await delete_replaced(later, self.storage)

    async def check(self) -> None:
        assert await self.filed.holds(EVERYBODY) == [each for each in EVERYBODY if each in self.held]
        assert sorted(await self.filed.entries()) == sorted(digest_of(each, "md5") for each in self.held)
        assert await self.filed.named() <= await self.filed.stored()


@pytest.mark.parametrize("seed", range(4))
async def test_a_list_says_at_any_time_what_a_set_would(db: Database, brand_id: UUID, tmp_path: Path, seed: int):
    storage = Meanwhile(tmp_path / "lists")
    life = Life(await FiledList.made(db, storage, brand_id), storage, random.Random(seed))

    for _ in range(STEPS):
        await life.chance.choice([life.happen, life.happen, life.happen, life.compact, life.clear])()
        await life.check()

    compactor = Compactor(db, storage, min_free_bytes=0)
    await compactor.compact(life.filed.brand_id, life.filed.list_id, everything=True)
    await life.clear()
    await life.check()
    assert await life.filed.column("SELECT digest FROM optout_removed WHERE list_id = %(list_id)s") == []
    assert await life.filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s") == []
    assert (len(await life.filed.live("run")), len(await life.filed.live("segment"))) == (1, 1)
