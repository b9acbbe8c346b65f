"""Compaction makes few files of many, and changes nothing of what a list says."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from optout_files import FiledList, Row
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NoRoom, NotFound
from stentor.optouts.compaction.choosing import RUNS_MAX, SMALL_RUNS_MAX, SMALL_SEGMENTS_MAX
from stentor.optouts.compaction.clearing import delete_replaced
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.compaction.model import Compacted
from stentor.optouts.entry_service import erase_address
from stentor.optouts.hashing import HASH_NAMES, HashName, hash_of
from stentor.optouts.names import index_name
from stentor.optouts.storage import DirectoryStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

LONG_AGO = timedelta(days=8)
MANY = [f"p{number}@example.com" for number in range(200)]
STRANGERS = [f"s{number}@example.com" for number in range(200)]


class Meanwhile(DirectoryStorage):
    """A storage before whose next file something else happens."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.first: Callable[[], Awaitable[object]] | None = None

    async def put(self, name: str, path: Path) -> None:
        first, self.first = self.first, None
        if first is not None:
            await first()
        await super().put(name, path)


@pytest.fixture
def storage(tmp_path: Path) -> Meanwhile:
    return Meanwhile(tmp_path / "lists")


@pytest.fixture
def compactor(db: Database, storage: Meanwhile) -> Compactor:
    return Compactor(db, storage, min_free_bytes=0)


@pytest.fixture
async def filed(db: Database, storage: Meanwhile, brand_id: UUID) -> FiledList:
    return await FiledList.made(db, storage, brand_id)


async def add_in_turns(filed: FiledList, addresses: list[str], files: int) -> None:
    for number in range(files):
        await filed.add(addresses[number::files])


async def test_many_small_files_become_one_of_each_kind(compactor: Compactor, filed: FiledList):
    await add_in_turns(filed, MANY, SMALL_SEGMENTS_MAX + 1)

    (found,) = await compactor.lists_in_need()
    done = await compactor.compact(found.brand_id, found.list_id)

    assert (done.runs_made, done.segments_made) == (1, 1)
    assert (len(await filed.live("run")), len(await filed.live("segment"))) == (1, 1)
    assert await filed.holds([*MANY, *STRANGERS]) == MANY
    assert sorted(row.address or "" for row in await filed.rows()) == sorted(MANY)
    assert await compactor.lists_in_need() == []


async def test_few_files_stay_as_they_are(compactor: Compactor, filed: FiledList):
    await add_in_turns(filed, MANY, SMALL_RUNS_MAX)
    before = await filed.named()

    assert await compactor.lists_in_need() == []
    assert await compactor.compact(filed.brand_id, filed.list_id) == Compacted()
    assert await filed.named() == before == await filed.stored()


async def test_all_of_it_becomes_one_when_somebody_asks_for_that(compactor: Compactor, filed: FiledList):
    await add_in_turns(filed, MANY, 2)

    await compactor.compact(filed.brand_id, filed.list_id, everything=True)

    assert (len(await filed.live("run")), len(await filed.live("segment"))) == (1, 1)
    assert await filed.holds([*MANY, *STRANGERS]) == MANY


async def test_what_was_removed_leaves_the_files_and_what_was_brought_again_stays(
    compactor: Compactor, filed: FiledList
):
    await filed.add(MANY)
    await filed.remove(*MANY[:3], ago=LONG_AGO)
    await filed.add(MANY[:1])
    kept = [MANY[0], *MANY[3:]]
    assert await filed.holds(MANY) == kept

    assert [each.list_id for each in await compactor.lists_in_need()] == [filed.list_id]
    done = await compactor.compact(filed.brand_id, filed.list_id)

    assert (done.runs_made, done.segments_made) == (1, 1)
    assert await filed.holds(MANY) == kept
    assert sorted(row.address or "" for row in await filed.rows()) == sorted(kept)
    assert await filed.column(
        "SELECT sum(entries) FROM optout_run WHERE list_id = %(list_id)s AND replaced_at IS NULL"
    ) == [len(kept)]
    assert await compactor.compact(filed.brand_id, filed.list_id) == Compacted()
    await compactor.compact(filed.brand_id, filed.list_id, everything=True)
    assert await filed.holds(MANY) == kept


async def test_what_was_removed_a_moment_ago_is_left_for_later(compactor: Compactor, filed: FiledList):
    await filed.add(MANY)
    await filed.remove(MANY[0])

    assert await compactor.lists_in_need() == []
    assert await compactor.compact(filed.brand_id, filed.list_id) == Compacted()
    assert await filed.holds(MANY) == MANY[1:]


async def test_who_is_removed_while_files_are_merged_is_removed(
    compactor: Compactor, filed: FiledList, storage: Meanwhile
):
    await add_in_turns(filed, MANY, SMALL_SEGMENTS_MAX + 1)
    storage.first = lambda: filed.remove(MANY[7])

    await compactor.compact(filed.brand_id, filed.list_id)

    assert len(await filed.live("run")) == 1
    assert await filed.holds(MANY) == [*MANY[:7], *MANY[8:]]
    await compactor.compact(filed.brand_id, filed.list_id, everything=True)
    assert await filed.holds(MANY) == [*MANY[:7], *MANY[8:]]
    assert len(await filed.rows()) == len(MANY) - 1


async def test_what_is_removed_and_followed_by_a_load_while_files_are_merged_is_removed(
    compactor: Compactor, filed: FiledList, storage: Meanwhile
):
    # A removal in generation n, a load in n + 1: were that load merged with the rest, the removal would not reach the rest.
    await add_in_turns(filed, MANY, SMALL_SEGMENTS_MAX + 1)

    async def removed_and_loaded() -> None:
        await filed.remove(MANY[7])
        await filed.add(STRANGERS)

    storage.first = removed_and_loaded
    await compactor.compact(filed.brand_id, filed.list_id)
    expected = [*MANY[:7], *MANY[8:], *STRANGERS]

    assert await filed.holds([*MANY, *STRANGERS]) == expected
    async with Database(filed.db.dsn, size=2, shift=timedelta(hours=2), prepared=filed.db.prepared) as later:
        await delete_replaced(later, storage)
    assert await filed.holds([*MANY, *STRANGERS]) == expected
    await compactor.compact(filed.brand_id, filed.list_id, everything=True)
    assert await filed.holds([*MANY, *STRANGERS]) == expected
    assert {row.address for row in await filed.rows()} == set(expected)


async def test_of_more_removals_than_are_taken_out_at_once_none_holds_again(
    db: Database, storage: Meanwhile, filed: FiledList
):
    for number in range(SMALL_RUNS_MAX + 1):
        await filed.add(MANY[number :: SMALL_RUNS_MAX + 1])
    for address in MANY[:5]:
        await filed.remove(address, ago=LONG_AGO)
    await filed.add(STRANGERS[:1])
    compactor = Compactor(db, storage, min_free_bytes=0, removed_at_once=3)

    for hours in (0, 2, 4):
        async with Database(db.dsn, size=2, shift=timedelta(hours=hours), prepared=db.prepared) as later:
            await delete_replaced(later, storage)
            await Compactor(later, storage, min_free_bytes=0, removed_at_once=3).compact(filed.brand_id, filed.list_id)
        assert await filed.holds([*MANY, STRANGERS[0]]) == [*MANY[5:], STRANGERS[0]]
    await compactor.compact(filed.brand_id, filed.list_id, everything=True)

    assert await filed.holds([*MANY, STRANGERS[0]]) == [*MANY[5:], STRANGERS[0]]
    assert len(await filed.live("run")) == 1


async def test_more_removals_of_one_generation_than_are_taken_out_at_once_go_together(
    db: Database, storage: Meanwhile, filed: FiledList
):
    await add_in_turns(filed, MANY, SMALL_RUNS_MAX + 1)
    await filed.remove(*MANY[:5], ago=LONG_AGO)

    for hours in (0, 2):
        async with Database(db.dsn, size=2, shift=timedelta(hours=hours), prepared=db.prepared) as later:
            await delete_replaced(later, storage)
            await Compactor(later, storage, min_free_bytes=0, removed_at_once=3).compact(filed.brand_id, filed.list_id)

    assert await filed.column("SELECT digest FROM optout_removed WHERE list_id = %(list_id)s") == []
    assert len(await filed.live("run")) == 1
    assert await filed.holds(MANY) == MANY[5:]


async def test_who_was_slower_throws_away_what_was_made(
    db: Database, compactor: Compactor, filed: FiledList, storage: Meanwhile, tmp_path: Path
):
    await add_in_turns(filed, MANY, SMALL_RUNS_MAX + 1)
    other = Compactor(db, DirectoryStorage(tmp_path / "lists"), min_free_bytes=0)
    storage.first = lambda: other.compact(filed.brand_id, filed.list_id)

    done = await compactor.compact(filed.brand_id, filed.list_id)

    assert done == Compacted()
    (run,) = await filed.live("run")
    assert await filed.holds([*MANY, *STRANGERS]) == MANY
    replaced = await filed.column("SELECT id FROM optout_run WHERE list_id = %(list_id)s AND replaced_at IS NOT NULL")
    assert {each for each in await filed.stored() if each.startswith("runs")} == {
        index_name(each) for each in [run, *replaced]
    }


@pytest.mark.parametrize("hash_name", HASH_NAMES)
async def test_who_is_erased_is_suppressed_and_named_nowhere(
    db: Database, storage: Meanwhile, brand_id: UUID, compactor: Compactor, hash_name: HashName
):
    filed = await FiledList.made(db, storage, brand_id, hash_name=hash_name)
    await filed.add(MANY)
    await filed.add(STRANGERS, hashed=True)
    await filed.erase(MANY[5], STRANGERS[5], ago=LONG_AGO)
    await filed.remove(MANY[6], STRANGERS[6], ago=LONG_AGO)

    assert [each.list_id for each in await compactor.lists_in_need()] == [filed.list_id]
    await compactor.compact(filed.brand_id, filed.list_id)

    rows = await filed.rows()
    assert Row(None, hash_of(MANY[5], hash_name), "", "", 1) in rows
    assert Row(MANY[4], None, "summer", "192.0.2.1", 1) in rows
    assert Row(None, hash_of(STRANGERS[5], hash_name), "", "", 2) in rows
    assert Row(None, hash_of(STRANGERS[4], hash_name), "summer", "192.0.2.1", 2) in rows
    assert len(rows) == len(MANY) + len(STRANGERS) - 2
    assert MANY[5] not in {row.address for row in rows}
    assert await filed.holds([*MANY, *STRANGERS]) == [*MANY[:6], *MANY[7:], *STRANGERS[:6], *STRANGERS[7:]]
    assert await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s") == []
    assert await compactor.compact(filed.brand_id, filed.list_id) == Compacted()


async def test_a_segment_that_came_while_somebody_was_erased_is_searched_too(
    compactor: Compactor, filed: FiledList, storage: Meanwhile
):
    await filed.add(MANY)
    await filed.erase(MANY[5], ago=LONG_AGO)
    storage.first = lambda: filed.add([MANY[5]])

    await compactor.compact(filed.brand_id, filed.list_id)
    assert MANY[5] in {row.address for row in await filed.rows()}
    assert len(await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s")) == 1

    await compactor.compact(filed.brand_id, filed.list_id)
    assert MANY[5] not in {row.address for row in await filed.rows()}
    assert await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s") == []


async def test_who_was_erased_in_a_file_that_could_not_take_its_place_is_not_forgotten(
    db: Database, compactor: Compactor, filed: FiledList, storage: Meanwhile
):
    await filed.add(MANY[:3])
    await filed.erase(MANY[1], ago=LONG_AGO)
    asleep = Compactor(db, storage, min_free_bytes=0, swapped_within_s=0)

    assert await asleep.compact(filed.brand_id, filed.list_id) == Compacted()

    assert len(await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s")) == 1
    await compactor.compact(filed.brand_id, filed.list_id)
    assert {row.address for row in await filed.rows()} == {None, MANY[0], MANY[2]}
    assert await filed.column("SELECT digest FROM optout_erasure WHERE list_id = %(list_id)s") == []


@pytest.mark.parametrize("state", ["uploading", "queued", "running"])
async def test_who_is_erased_while_a_file_is_on_its_way_is_not_named_by_it(
    db: Database, compactor: Compactor, filed: FiledList, state: str
):
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO optout_job (id, brand_id, list_id, kind, state, created_at) VALUES (%s, %s, %s, 'import', %s, now())",
            [new_id(), filed.brand_id, filed.list_id, state],
        )
        await erase_address(conn, filed.brand_id, MANY[5], ChannelKind.EMAIL)
        await conn.execute("UPDATE optout_erasure SET asked_at = asked_at - interval '8 days'")
        await conn.execute("UPDATE optout_job SET created_at = created_at - interval '9 days'")

    # As long as it is on its way, the erasure is not done with.
    await compactor.compact(filed.brand_id, filed.list_id)
    await filed.add(MANY)
    await compactor.compact(filed.brand_id, filed.list_id)

    assert {row.address for row in await filed.rows()} == {None, *MANY} - {MANY[5]}
    assert await filed.holds(MANY) == MANY


async def test_who_is_erased_again_while_a_later_file_is_on_its_way_is_not_named_by_it(
    db: Database, compactor: Compactor, filed: FiledList
):
    await filed.add(MANY[:3])
    await filed.erase(MANY[1], ago=LONG_AGO)
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO optout_job (id, brand_id, list_id, kind, state, created_at)"
            " VALUES (%s, %s, %s, 'import', 'running', now() - interval '1 day')",
            [new_id(), filed.brand_id, filed.list_id],
        )
        await erase_address(conn, filed.brand_id, MANY[1], ChannelKind.EMAIL)

    await compactor.compact(filed.brand_id, filed.list_id)
    assert {row.address for row in await filed.rows()} == {None, MANY[0], MANY[2]}
    await filed.add(MANY[:3])
    await compactor.compact(filed.brand_id, filed.list_id)

    assert {row.address for row in await filed.rows()} == {None, MANY[0], MANY[2]}


async def test_of_a_list_of_hashes_nothing_but_the_hash_of_who_is_erased_is_left(
    db: Database, storage: Meanwhile, brand_id: UUID, compactor: Compactor
):
    filed = await FiledList.made(db, storage, brand_id, hash_name="sha256")
    await filed.add(MANY[:3], hashed=True)
    async with db.transaction() as conn:
        await conn.execute("UPDATE optout_list SET kind = 'sha256' WHERE id = %s", [filed.list_id])
        await erase_address(conn, brand_id, MANY[1], ChannelKind.EMAIL)
        await conn.execute("UPDATE optout_erasure SET asked_at = asked_at - interval '8 days'")

    (found,) = await compactor.lists_in_need()
    await compactor.compact(found.brand_id, found.list_id)

    told = {row.hash: (row.campaign, row.ip) for row in await filed.rows()}
    assert told == {
        hash_of(MANY[0], "sha256"): ("summer", "192.0.2.1"),
        hash_of(MANY[1], "sha256"): ("", ""),
        hash_of(MANY[2], "sha256"): ("summer", "192.0.2.1"),
    }


async def test_runs_of_an_expiring_list_are_merged_as_far_as_they_lapse_together(
    db: Database, storage: Meanwhile, brand_id: UUID, compactor: Compactor
):
    filed = await FiledList.made(db, storage, brand_id, expiry_days=30)
    for number, address in enumerate(MANY[:12]):
        await filed.add([address], learned=timedelta(days=10 if number % 2 else 20))

    await compactor.compact(filed.brand_id, filed.list_id)

    days = "SELECT (now()::date - learned_at::date) FROM optout_run WHERE list_id = %(list_id)s AND replaced_at IS NULL ORDER BY 1"
    assert await filed.column(days) == [10, 20]
    assert await filed.holds(MANY) == MANY[:12]


async def test_what_has_lapsed_is_dropped_a_week_later(
    db: Database, storage: Meanwhile, brand_id: UUID, compactor: Compactor
):
    filed = await FiledList.made(db, storage, brand_id, expiry_days=30)
    await filed.add(MANY[:3], learned=timedelta(days=38))
    await filed.add(MANY[3:6], learned=timedelta(days=36))

    assert [each.list_id for each in await compactor.lists_in_need()] == [filed.list_id]
    done = await compactor.compact(filed.brand_id, filed.list_id)

    assert done == Compacted(expired=2)
    assert await filed.holds(MANY) == MANY[3:6]
    assert {row.address for row in await filed.rows()} == set(MANY[3:6])


async def test_a_list_whose_entries_were_all_removed_has_no_file_left(compactor: Compactor, filed: FiledList):
    await filed.add(MANY[:2])
    await filed.remove(*MANY[:2], ago=LONG_AGO)

    await compactor.compact(filed.brand_id, filed.list_id)

    assert await filed.named() == set()
    assert len(await filed.stored()) == 2


async def test_each_change_of_the_files_is_a_generation(compactor: Compactor, filed: FiledList):
    await add_in_turns(filed, MANY, SMALL_SEGMENTS_MAX + 1)

    await compactor.compact(filed.brand_id, filed.list_id)

    last = SMALL_SEGMENTS_MAX + 3
    assert await filed.column("SELECT generation FROM optout_list WHERE id = %(list_id)s") == [last]
    assert await filed.column(
        "SELECT generation FROM optout_generation WHERE list_id = %(list_id)s AND what = 'compaction' ORDER BY 1"
    ) == [last - 1, last]


async def test_without_room_nothing_is_merged(db: Database, storage: Meanwhile, filed: FiledList):
    await add_in_turns(filed, MANY, SMALL_RUNS_MAX + 1)
    before = await filed.named()
    compactor = Compactor(db, storage, min_free_bytes=1_000_000, free_bytes=lambda _: 1_000_001)

    with pytest.raises(NoRoom, match="Make room"):
        await compactor.compact(filed.brand_id, filed.list_id)

    assert await filed.named() == before == await filed.stored()


async def test_another_brands_list_is_not_compacted(compactor: Compactor, filed: FiledList, other_brand_id: UUID):
    with pytest.raises(NotFound):
        await compactor.compact(other_brand_id, filed.list_id)


async def test_nothing_is_left_to_work_on(compactor: Compactor, filed: FiledList, storage: Meanwhile):
    await add_in_turns(filed, MANY, RUNS_MAX + 1)

    await compactor.compact(filed.brand_id, filed.list_id)

    assert list(storage.work.iterdir()) == []
