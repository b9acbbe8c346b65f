"""What happens while a file is loaded: crashes, deletions, and people who speak for themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from loading_world import Loading, counts, digests, done_chunks, file
from stentor.db.pool import Database
from stentor.optouts.compaction.clearing import delete_replaced
from stentor.optouts.compaction.compacting import Compactor
from stentor.optouts.entry_service import EntryService
from stentor.optouts.hashing import digest_of
from stentor.optouts.jobs.working import Workplace
from stentor.optouts.loading.runner import ImportRunner
from stentor.optouts.look_up import LookUp
from stentor.optouts.runs.holders import Indexes
from stentor.optouts.storage import DirectoryStorage

pytestmark = pytest.mark.anyio


@pytest.mark.fault("F17")
async def test_nothing_is_seen_of_a_file_until_all_of_it_is_on_the_list(loading: Loading):
    list_id = await loading.new_list()
    await loading.load(list_id, file("ann@example.com"))
    claimed = await loading.claimed(list_id, file(*(f"p{number}@example.com" for number in range(5000))))

    _, task = await loading.at_work(claimed)
    seen = {len(await loading.digests(list_id))}
    while not task.done():
        seen.add(len(await loading.digests(list_id)))
    await task

    assert len(await loading.digests(list_id)) == 5001
    assert 1 in seen
    assert seen <= {1, 5001}


@pytest.mark.fault("F17")
async def test_whoever_goes_on_after_a_crash_begins_behind_what_is_done(loading: Loading):
    list_id = await loading.new_list()
    texts = [f"person{number % 8000}@example.com" for number in range(9000)]
    claimed = await loading.claimed(list_id, file(*texts, "rubbish"))
    place, task = await loading.at_work(claimed)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    done = {path: path.read_bytes() for path in done_chunks(place.directory)}

    await loading.runner.run(claimed, place)

    job = await loading.jobs.get(loading.brand_id, claimed.id)
    assert counts(job) == (9001, 8000, 1000, 1)
    assert await loading.rejects(job) == [
        ["9001", "This is no entry of a list; write an email address, +14155550123, @example.com or a hash."]
    ]
    assert await loading.addresses(list_id) == texts[:8000]
    assert await loading.digests(list_id) == digests(*texts)
    assert {path: path.read_bytes() for path in done} == done
    assert 0 < len(done) < len(done_chunks(place.directory))


async def test_whoever_opted_out_by_themselves_meanwhile_is_on_the_list_once_and_by_their_own_entry(loading: Loading):
    list_id = await loading.new_list()
    claimed = await loading.claimed(list_id, file(*(f"p{number}@example.com" for number in range(3000))))
    _, task = await loading.at_work(claimed)
    digest = digest_of("p2999@example.com", "md5")
    async with loading.db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_recent (list_id, digest, brand_id, channel, cause, at) VALUES (%s, %s, %s, 1, 'collect', now())",
            [list_id, digest, loading.brand_id],
        )
    await task

    async with loading.db.read() as conn:
        cursor = await conn.execute(
            "SELECT d.digest, d.generation > r.generation FROM optout_removed d JOIN optout_run r ON r.list_id = d.list_id"
        )
        assert await cursor.fetchall() == [(digest, True)]


class Gated(DirectoryStorage):
    """A storage that gives files once somebody lets it, and takes some once it is open."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.gives, self.opened = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def local(self, name: str) -> AsyncIterator[Path]:
        if name.startswith("uploads/"):
            self.asked.set()
            await self.gives.wait()
        async with super().local(name) as path:
            yield path

    async def put(self, name: str, path: Path) -> None:
        await self.opened.wait()
        await super().put(name, path)


class Opening(DirectoryStorage):
    """A storage that waits for a load, when the first file comes, before it takes that."""

    def __init__(self, root: Path, gate: asyncio.Event, load: asyncio.Task[None]) -> None:
        super().__init__(root)
        self._gate, self._load = gate, load

    async def put(self, name: str, path: Path) -> None:
        self._gate.set()
        await self._load
        await super().put(name, path)


async def test_who_opted_out_while_a_file_was_loaded_and_others_merged_stays_taken_off_the_file(
    loading: Loading, tmp_path: Path
):
    list_id = await loading.new_list()
    for text in ("ann@example.com", "ben@example.com"):
        await loading.load(list_id, file(text))
    storage = Gated(tmp_path / "lists")
    loading.runner = ImportRunner(loading.db, storage)
    claimed = await loading.claimed(list_id, file(*(f"p{number}@example.com" for number in range(3000))))
    place = Workplace(storage.work / str(claimed.id))
    place.directory.mkdir(parents=True)
    load = asyncio.create_task(loading.runner.run(claimed, place))
    await storage.asked.wait()
    indexes = Indexes(storage)
    entries = EntryService(loading.db, LookUp(indexes))
    await entries.collect(loading.brand_id, str(list_id), "p2999@example.com")
    # In a generation behind that of the load.
    await entries.remove(loading.brand_id, str(list_id), "ann@example.com", reason="a mistake")
    await indexes.aclose()
    storage.gives.set()

    merging = Opening(tmp_path / "lists", storage.opened, load)
    await Compactor(loading.db, merging, min_free_bytes=0).compact(loading.brand_id, list_id, everything=True)
    async with Database(loading.db.dsn, size=2, shift=timedelta(hours=2), prepared=loading.db.prepared) as later:
        await delete_replaced(later, loading.storage)

    async with loading.db.read() as conn:
        rows = await conn.execute(
            "SELECT d.digest, d.generation > max(r.cleared) FROM optout_removed d JOIN optout_run r ON r.list_id = d.list_id"
            " WHERE r.replaced_at IS NULL GROUP BY d.digest, d.generation"
        )
        assert await rows.fetchall() == [(digest_of("p2999@example.com", "md5"), True)]


async def test_a_list_that_is_deleted_meanwhile_gets_nothing(loading: Loading):
    list_id = await loading.new_list()
    job_id = await loading.queued(list_id, file("ann@example.com"))
    await loading.lists.delete(loading.brand_id, str(list_id))

    await loading.work()

    job = await loading.jobs.get(loading.brand_id, job_id)
    assert (job.state, "was deleted" in job.message) == ("failed", True)


async def test_a_job_that_was_removed_adds_nothing_and_leaves_no_files(loading: Loading):
    list_id = await loading.new_list()
    claimed = await loading.claimed(list_id, file("ann@example.com", "rubbish"))
    await loading.jobs.remove(loading.brand_id, claimed.id)

    await loading.lister.work_on(claimed, asyncio.Event())

    assert await loading.digests(list_id) == set()
    assert not any(name.startswith(("runs", "segments")) for name in await loading.files())


async def test_what_another_version_left_is_cleared_whatever_it_is(loading: Loading):
    list_id = await loading.new_list()
    claimed = await loading.claimed(list_id, file("ann@example.com"))
    place = Workplace(loading.storage.work / str(claimed.id))
    (place.directory / "spilled").mkdir(parents=True)
    (place.directory / "spilled" / "block").touch()
    (place.directory / "plan.json").write_text("{}")

    await loading.runner.run(claimed, place)

    assert await loading.addresses(list_id) == ["ann@example.com"]
    assert not (place.directory / "spilled").exists()
