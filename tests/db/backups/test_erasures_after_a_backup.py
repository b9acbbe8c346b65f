"""A restored backup brings nobody back who was erased after it, and nothing is sent before that is so."""

from datetime import timedelta

import pytest

from backup_world import SECRET, Backups
from erasure_world import Erasing
from stentor.backups.erasure_log import ERASURES_FILE, digests_of, log_in, read_log, read_log_again
from stentor.backups.fence import resume
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.replaying import Replayed, is_replayed
from stentor.erasures.service import ErasureService
from stentor.errors import Conflict
from stentor.failpoints import arm
from stentor.optouts.outside_log import LogRefused
from stentor.optouts.storage import DirectoryStorage
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.torture.sweep import failpoints_of_erasures
from stentor.testing.world import Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

NAMES = ["stays", "leaves", "refused", "anew"]


BOUNDARIES = [point for point in failpoints_of_erasures() if not point.startswith("sweep.")]
IN_CI = {"erasure.after_log", "replay.before_commit"}


class Dead(Exception):
    """This process came to its end."""


def die() -> None:
    raise Dead


async def people_of(db: Database) -> set[str]:
    return {name for (name,) in await rows(db, "SELECT external_id FROM customer")}


async def backed_up(backups: Backups) -> tuple[World, ErasureService]:
    """A brand with people of whom some are erased after the backup: and one of them was made anew before it."""
    world = await World.made(backups.db)
    await world.people([Someone(name, refused_mask=ChannelKind.EMAIL.bit * (name == "refused")) for name in NAMES])
    service = ErasureService(backups.db, digests_of(SECRET), log_in(backups.storage, SECRET))
    await service.erase(world.brand_id, "anew", asked_by="key 1")
    await world.people([Someone("anew")])
    await backups.taken()
    for name in ("leaves", "refused"):
        await service.erase(world.brand_id, name, asked_by="key 1")
    return world, service


async def test_whoever_was_erased_after_the_backup_is_erased_again_before_anything_is_planned(backups: Backups):
    world, service = await backed_up(backups)
    records = await service.page(world.brand_id)

    async with backups.restored(read_erasures=False) as copy:
        assert await people_of(copy.db) == set(NAMES)
        with pytest.raises(Conflict, match="log of erasures was not found"):
            await resume(copy.db)
        replayed = await read_log(copy.db, backups.path, SECRET, backups.restored_storage, backups.storage)

        assert replayed == Replayed(found=True, people=3, erased=2)
        assert await people_of(copy.db) == {"stays", "anew"}
        await resume(copy.db)
        there = World(copy.db, world.brand_id, world.topic_id)
        await there.people([Someone("leaves"), Someone("refused")])
        execution_id = await there.execution(await there.publication())
        await Engine(copy.db, ScriptedChannel()).drain()
        again = ErasureService(copy.db, digests_of(SECRET), log_in(backups.restored_storage, SECRET))

        assert await there.fates(execution_id) == {
            "stays": "handed_over",
            "leaves": "handed_over",
            "anew": "handed_over",
            "refused": "skipped suppressed",
        }
        assert {one.digest for one in await again.page(world.brand_id)} == {one.digest for one in records}
        # Its own log is whole from now on: a backup that is restored beside it finds everything in it.
        assert {entry.id async for entry in log_in(backups.restored_storage, SECRET).entries()} == {
            entry.id async for entry in log_in(backups.storage, SECRET).entries()
        }


async def test_a_copy_without_the_log_is_let_go_only_by_who_answers_for_it(backups: Backups):
    world, _ = await backed_up(backups)

    async with backups.restored(read_erasures=False) as copy:
        replayed = await read_log(copy.db, backups.path, SECRET, backups.restored_storage)
        own = ErasureService(copy.db, digests_of(SECRET), log_in(backups.restored_storage, SECRET))
        # What is erased in the copy itself makes no whole log of it.
        await own.erase(world.brand_id, "stays", asked_by="key 1")
        await read_log_again(copy.db, SECRET, backups.restored_storage)

        assert replayed == Replayed(found=False, people=0, erased=0)
        assert len([one async for one in log_in(backups.restored_storage, SECRET).entries()]) == 2
        with pytest.raises(Conflict, match="--without-erasures"):
            await resume(copy.db)
        await resume(copy.db, without_erasures=True)
        assert await is_replayed(copy.db)


async def test_a_log_that_is_put_there_later_is_read_before_the_copy_is_let_go(backups: Backups):
    await backed_up(backups)

    async with backups.restored(read_erasures=False) as copy:
        later = DirectoryStorage(backups.path.parent / "lists")
        await read_log_again(copy.db, SECRET, later)
        await resume(copy.db)

        assert await people_of(copy.db) == {"stays", "anew"}


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in IN_CI else pytest.mark.prove) for point in BOUNDARIES],
)
async def test_a_replay_that_dies_anywhere_is_finished_by_the_next_one(backups: Backups, point: str):
    await backed_up(backups)
    async with backups.restored(read_erasures=False) as copy:
        storage = DirectoryStorage(backups.path.parent / point)
        arm(f"{point}=die@1", {"die": die})
        try:
            with pytest.raises(Dead):
                await read_log(copy.db, backups.path, SECRET, storage, backups.storage)
        finally:
            arm("")
        await read_log(copy.db, backups.path, SECRET, storage, backups.storage)

        assert await people_of(copy.db) == {"stays", "anew"}
        await resume(copy.db)


async def test_the_log_names_nobody_and_is_in_the_backup(backups: Backups):
    world, _ = await backed_up(backups)

    carried = (backups.path / ERASURES_FILE).read_bytes()
    kept = b"".join(file.read_bytes() for file in (backups.storage.work.parent / "erasures").iterdir())
    assert carried.count(b"\n") == 1
    for text in (carried, kept):
        assert not any(name.encode() in text for name in NAMES)
        assert str(Erasing(world, backups.path).id_of("leaves")).encode() not in text


async def test_a_log_of_another_installation_or_a_spoilt_one_is_refused(backups: Backups):
    world, service = await backed_up(backups)
    entry = next(iter([one async for one in log_in(backups.storage, SECRET).entries()]))
    async with backups.restored(read_erasures=False) as copy:
        spoilt, head = f"erasures/{entry.id}.json", "erasures/log.json"
        await backups.storage.delete([spoilt])
        await backups.storage.put_bytes(spoilt, b"{}")
        with pytest.raises(LogRefused, match="no entry of a log"):
            await read_log(copy.db, backups.path, SECRET, backups.restored_storage, backups.storage)
        await backups.storage.delete([head])
        await backups.storage.put_bytes(head, b'{"format":1,"installation":"00"}')
        with pytest.raises(LogRefused, match="another installation"):
            await read_log(copy.db, backups.path, SECRET, backups.restored_storage, backups.storage)
        assert not await is_replayed(copy.db)
    assert (await service.page(world.brand_id))[0].erased_at.utcoffset() == timedelta()
