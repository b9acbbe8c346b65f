"""A compaction that is killed, wherever it is, has changed nothing of what its list says; the next one ends what it began."""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from compaction_life import HITS, LATER, lived
from optout_files import FiledList
from stentor.db.pool import Database
from stentor.optouts.compaction.clearing import delete_replaced, sweep_machine, sweep_strangers
from stentor.optouts.storage import DirectoryStorage

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

MANY = [f"p{number}@example.com" for number in range(40)]
OLD, LAPSED = ["old@example.com", "older@example.com"], "lapsed@example.com"
REMOVED = [MANY[1], OLD[0]]
ERASED = MANY[2]
LEFT = [address for address in (*MANY, *OLD) if address not in REMOVED]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lists"


@pytest.fixture
async def filed(db: Database, root: Path, brand_id: UUID) -> FiledList:
    made = await FiledList.made(db, DirectoryStorage(root), brand_id, expiry_days=3_000)
    await made.add([LAPSED], learned=timedelta(days=3_010))
    await made.add(OLD, learned=timedelta(days=500))
    for number in range(3):
        await made.add(MANY[number::3])
    await made.remove(*REMOVED, ago=timedelta(days=8))
    await made.erase(ERASED, ago=timedelta(days=8))
    return made


def make_old(root: Path) -> None:
    two_days_ago_s = time.time() - 2 * 86_400
    for file in root.rglob("*"):
        os.utime(file, (two_days_ago_s, two_days_ago_s))


async def addresses(filed: FiledList) -> set[str]:
    return {row.address for row in await filed.rows() if row.address is not None}


async def check_is_done(filed: FiledList, root: Path) -> None:
    """Two files of each kind are left and nothing else, neither of what it began nor of what it was made of."""
    storage = DirectoryStorage(root)
    make_old(root)
    async with Database(filed.db.dsn, size=2, shift=LATER, prepared=filed.db.prepared) as later:
        await delete_replaced(later, storage)
        await sweep_strangers(later, storage)
        await sweep_machine(later, storage)
    assert await filed.holds([*MANY, *OLD, LAPSED]) == LEFT
    assert await addresses(filed) == {*LEFT} - {ERASED}
    assert len(await filed.rows()) == len(LEFT)
    assert (len(await filed.live("run")), len(await filed.live("segment"))) == (2, 2)
    assert await filed.stored() == await filed.named()
    assert list(storage.work.iterdir()) == []
    assert await filed.column("SELECT digest FROM optout_removed WHERE list_id = %(list_id)s") == []
    assert await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s") == []


async def test_undisturbed_it_comes_to_each_place_as_often_as_it_is_killed_there(filed: FiledList, root: Path):
    once_more = ",".join(f"{name}=kill@{hits + 1}" for name, hits in HITS.items())

    assert lived(filed.db.dsn, root, filed.brand_id, filed.list_id, once_more) == 0

    await check_is_done(filed, root)


# At the first hit of what matters most here, as two compactions take five seconds; at all of them in `make prove`.
IN_CI = {("compact.stored", 1), ("compact.after_commit", 1), ("replaced.deleted", 1)}
POINTS = [
    pytest.param(f"{name}=kill@{hit}", marks=() if (name, hit) in IN_CI else pytest.mark.prove)
    for name, hits in HITS.items()
    for hit in range(1, hits + 1)
]


@pytest.mark.parametrize("point", POINTS)
async def test_killed_there_it_has_lost_nothing_and_the_next_one_ends_it(filed: FiledList, root: Path, point: str):
    assert lived(filed.db.dsn, root, filed.brand_id, filed.list_id, point) == -signal.SIGKILL

    # Also what has lapsed is left out by its time alone, as long as it is there.
    assert await filed.holds([*MANY, *OLD]) == LEFT
    assert {*LEFT} - {ERASED} <= await addresses(filed)
    assert lived(filed.db.dsn, root, filed.brand_id, filed.list_id) == 0
    await check_is_done(filed, root)
