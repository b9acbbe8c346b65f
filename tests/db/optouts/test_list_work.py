"""Who works on which job of a list, for how long, and how it ends."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from stentor.db.locks import held_alone
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import NoRoom, Unavailable, Unprocessable
from stentor.optouts.crew import ChildDied
from stentor.optouts.jobs import working
from stentor.optouts.jobs.model import JobKind, ResultFile
from stentor.optouts.jobs.working import ClaimedJob, Counts, JobFailed, Lost, Workplace
from stentor.testing.waiting import eventually
from stentor.testing.world import World
from stentor.worker.keeper import Chore
from stentor.worker.lister import ListerRole

pytestmark = pytest.mark.anyio


async def queue(db: Database, brand_id: UUID, kind: JobKind = "export", list_id: UUID | None = None) -> UUID:
    job_id = new_id()
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO optout_job (id, brand_id, list_id, kind, state, created_at, spec)"
            " VALUES (%s, %s, %s, %s, 'queued', now(), '{\"a\": 1}')",
            [job_id, brand_id, list_id, kind],
        )
    return job_id


async def job_now(db: Database, job_id: UUID) -> dict[str, Any]:
    async with db.read() as conn:
        cursor = await conn.execute("SELECT to_jsonb(j) FROM optout_job j WHERE id = %s", [job_id])
        return (await cursor.fetchall())[0][0]


async def lose(db: Database, job_id: UUID) -> None:
    """As if its worker had been silent for 20 s."""
    async with db.autocommit() as conn:
        await conn.execute("UPDATE optout_job SET claimed_until = now() - interval '1 s' WHERE id = %s", [job_id])


def left_in(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


async def claimed(db: Database, worker: str = "w") -> ClaimedJob:
    job = await working.claim_next(db, worker)
    assert job is not None
    return job


async def test_a_job_is_had_by_one_worker_and_kept_by_beats(db: Database):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    job = await claimed(db)

    assert (job.id, job.brand_id, job.kind, job.spec, job.epoch) == (job_id, world.brand_id, "export", {"a": 1}, 1)
    assert await working.claim_next(db, "other") is None
    assert not await working.anything_to_do(db)
    assert await working.beat(db, job, {"lines": 7})
    assert (await job_now(db, job_id))["progress"] == {"lines": 7}


async def test_a_lost_job_is_taken_again_and_its_first_worker_can_do_nothing_more_with_it(db: Database):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    first = await claimed(db, "first")
    await lose(db, job_id)

    second = await claimed(db, "second")

    assert (second.id, second.epoch) == (job_id, 2)
    assert not await working.beat(db, first, {})
    assert not await working.fail(db, first, "No.")
    await working.release(db, first)
    await working.leave_behind(db, first)
    async with db.transaction() as conn:
        files = {"a.csv": ResultFile("results/x/2-a.csv", 3, "e")}
        assert await working.finish(conn, second, "success", counts=Counts(3, 1, 1, 1), results=files)
    job = await job_now(db, job_id)
    assert (job["state"], job["worker"], job["claimed_until"], job["deaths"]) == ("success", "", None, 1)
    assert (job["submitted"], job["added"], job["duplicate"], job["malformed"]) == (3, 1, 1, 1)
    assert job["results"] == {"a.csv": {"name": "results/x/2-a.csv", "bytes": 3, "etag": "e"}}


async def test_a_job_that_workers_die_of_is_given_up_with_a_sentence(db: Database):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    for _ in range(working.DEATHS_MAX + 1):
        await claimed(db)
        await lose(db, job_id)

    assert await working.claim_next(db, "w") is None
    job = await job_now(db, job_id)
    assert (job["state"], job["message"], job["kept_until"] is None) == ("failed", working.GIVEN_UP, False)


async def test_a_job_that_was_released_costs_no_death(db: Database):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    for _ in range(working.DEATHS_MAX + 2):
        await working.release(db, await claimed(db))

    assert (await job_now(db, job_id))["deaths"] == 0


async def test_a_lists_imports_run_one_after_the_other_also_when_all_are_claimed_at_once(db: Database):
    world = await World.made(db)
    one, other = new_id(), new_id()
    first = await queue(db, world.brand_id, "import", one)
    await queue(db, world.brand_id, "import", one)
    third = await queue(db, world.brand_id, "import", other)

    jobs = await asyncio.gather(*(working.claim_next(db, str(number)) for number in range(4)))

    assert {job.id for job in jobs if job} == {first, third}


async def test_a_worker_without_its_machines_turn_takes_only_what_another_one_lost(db: Database, tmp_path: Path):
    world = await World.made(db)
    lost = await queue(db, world.brand_id, "import", new_id())
    await claimed(db, "first")
    other_brand = await World.made(db, "Other")
    waiting = await queue(db, other_brand.brand_id)
    async with db.autocommit() as conn:
        await conn.execute("UPDATE optout_job SET created_at = created_at - interval '1 h' WHERE id = %s", [waiting])
    await lose(db, lost)
    done: list[UUID] = []

    async def act(job: ClaimedJob, _: Workplace) -> None:
        done.append(job.id)
        async with db.transaction() as conn:
            assert await working.finish(conn, job, "success")

    runners: dict[JobKind, Running] = {"export": Running(act), "import": Running(act)}
    stop = asyncio.Event()
    with held_alone(tmp_path / "lister.lock"), held_alone(tmp_path / "lister.small.lock"):
        role = asyncio.create_task(ListerRole(db, "w", runners, tmp_path).run(stop))
        await eventually(lambda: lost in done)
        stop.set()
        await role

    assert (done, (await job_now(db, waiting))["state"]) == ([lost], "queued")


async def test_brands_take_turns(db: Database):
    world, other = await World.made(db), await World.made(db, "Other")
    for _ in range(3):
        await queue(db, world.brand_id)
    late = await queue(db, other.brand_id)

    first, second = await claimed(db), await claimed(db)

    assert (first.brand_id, second.id) == (world.brand_id, late)


async def taken_over(db: Database, job: ClaimedJob) -> ClaimedJob:
    """The job in another worker's hands, although the first one may be beating for it right now."""
    while True:
        await lose(db, job.id)
        if again := await working.claim_next(db, "other"):
            return again


class Running:
    """A runner that does what a test wants."""

    kind: JobKind = "export"

    def __init__(self, act: Callable[[ClaimedJob, Workplace], Awaitable[None]]) -> None:
        self._act = act

    async def run(self, job: ClaimedJob, workplace: Workplace) -> None:
        await self._act(job, workplace)


async def work(
    db: Database,
    place: Path,
    act: Callable[[ClaimedJob, Workplace], Awaitable[None]],
    stop: asyncio.Event | None = None,
    job: ClaimedJob | None = None,
    beat_s: float = 0.01,
) -> None:
    role = ListerRole(db, "w", {"export": Running(act)}, place, beat_s=beat_s)
    await role.work_on(job or await claimed(db), stop or asyncio.Event())


def raising(error: Exception) -> Callable[[ClaimedJob, Workplace], Awaitable[None]]:
    async def act(_: ClaimedJob, __: Workplace) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (JobFailed("The file is torn."), "The file is torn."),
        (Unprocessable("The list is a link."), "The list is a link."),
        (NoRoom("Make room.", retry_after_s=1), "Make room."),
        (
            OSError(errno.ENOSPC, "no"),
            "The disk on which files of lists are made is full. Make room, and send it again.",
        ),
    ],
)
async def test_what_cannot_be_done_ends_with_a_sentence(db: Database, tmp_path: Path, error: Exception, sentence: str):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    await work(db, tmp_path, raising(error))

    job = await job_now(db, job_id)
    assert (job["state"], job["message"]) == ("failed", sentence)
    assert left_in(tmp_path) == []


async def test_a_fault_of_ours_is_told_without_its_inside(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    await work(db, tmp_path, raising(KeyError("secret")))

    job = await job_now(db, job_id)
    assert job["state"] == "failed"
    assert "secret" not in job["message"]


async def test_a_child_that_died_counts_as_a_death_and_the_job_goes_on_where_it_was(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    await work(db, tmp_path, raising(ChildDied("Gone.")))

    again = await claimed(db)
    assert (again.id, again.epoch, (await job_now(db, job_id))["deaths"]) == (job_id, 2, 1)
    assert left_in(tmp_path) == [str(job_id)]


@pytest.mark.fault("F17")
async def test_a_child_that_died_where_no_room_was_left_is_not_sent_back_to_die_again(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    role = ListerRole(
        db, "w", {"export": Running(raising(ChildDied("Gone.")))}, tmp_path, beat_s=0.01, free_bytes=lambda _: 4096
    )

    await role.work_on(await claimed(db), asyncio.Event())

    job = await job_now(db, job_id)
    assert (job["state"], "is full" in job["message"], left_in(tmp_path)) == ("failed", True, [])


async def test_an_outage_gives_the_job_back(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    with pytest.raises(Unavailable):
        await work(db, tmp_path, raising(Unavailable("Away.")))

    job = await job_now(db, job_id)
    assert (job["state"], job["deaths"]) == ("queued", 0)


async def test_a_job_stopped_half_way_is_given_back_with_its_workplace(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    stop = asyncio.Event()

    async def act(_: ClaimedJob, workplace: Workplace) -> None:
        (workplace.directory / "half").touch()
        stop.set()
        await asyncio.Event().wait()

    await work(db, tmp_path, act, stop)

    job = await job_now(db, job_id)
    assert (job["state"], job["deaths"]) == ("queued", 0)
    assert (tmp_path / str(job_id) / "half").exists()


async def test_a_job_that_is_taken_away_ends_here_and_leaves_nothing(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    seen: list[bool] = []

    async def act(job: ClaimedJob, workplace: Workplace) -> None:
        # Whoever watches over the job may see it before this connection is given back.
        try:
            async with db.autocommit() as conn:
                await conn.execute("UPDATE optout_job SET state = 'removed' WHERE id = %s", [job.id])
            await asyncio.Event().wait()
        finally:
            seen.append(workplace.is_over)

    await work(db, tmp_path, act)

    assert ((await job_now(db, job_id))["state"], seen, left_in(tmp_path)) == ("removed", [True], [])


async def test_whoever_has_finished_a_job_clears_up_in_peace(db: Database, tmp_path: Path):
    world = await World.made(db)
    await queue(db, world.brand_id)
    cleared: list[UUID] = []

    async def act(job: ClaimedJob, workplace: Workplace) -> None:
        workplace.is_ending = True
        async with db.transaction() as conn:
            await working.finish(conn, job, "success")
        async with db.read() as conn:
            await conn.execute("SELECT pg_sleep(0.1)")
        cleared.append(job.id)

    job = await claimed(db)
    await work(db, tmp_path, act, job=job)

    assert cleared == [job.id]


async def test_who_finishes_a_job_that_is_lost_leaves_it_to_its_new_worker(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)

    async def act(job: ClaimedJob, _: Workplace) -> None:
        await taken_over(db, job)
        async with db.transaction() as conn:
            if not await working.finish(conn, job, "success"):
                raise Lost

    await work(db, tmp_path, act)

    job = await job_now(db, job_id)
    assert (job["state"], job["worker"]) == ("running", "other")


async def test_whoever_comes_back_from_a_long_sleep_does_not_write_where_his_successor_works(
    db: Database, tmp_path: Path
):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    places: list[Path] = []
    successors: list[asyncio.Task[None]] = []

    async def first(job: ClaimedJob, workplace: Workplace) -> None:
        places.append(workplace.directory)
        again = await taken_over(db, job)
        successors.append(asyncio.create_task(work(db, tmp_path, second, job=again)))
        await asyncio.shield(successors[0])

    async def second(job: ClaimedJob, workplace: Workplace) -> None:
        places.append(workplace.directory)
        async with db.transaction() as conn:
            await working.finish(conn, job, "success")

    await work(db, tmp_path, first, beat_s=60)
    await successors[0]

    assert places == [tmp_path / str(job_id), tmp_path / f"{job_id}-2"]
    assert (await job_now(db, job_id))["state"] == "success"


async def test_a_small_file_waits_for_no_large_one(db: Database, tmp_path: Path):
    world, stop = await World.made(db), asyncio.Event()
    large, small, later = [await queue(db, world.brand_id, "import", new_id()) for _ in range(3)]
    async with db.autocommit() as conn:
        await conn.execute("UPDATE optout_job SET received_bytes = 10000001 WHERE id = %s", [large])
    export = await queue(db, world.brand_id)
    done: list[UUID] = []
    others_done = asyncio.Event()

    async def act(job: ClaimedJob, _: Workplace) -> None:
        if job.id == large:
            await others_done.wait()
        async with db.transaction() as conn:
            await working.finish(conn, job, "success")
        done.append(job.id)
        if {small, later} <= set(done):
            others_done.set()
        if len(done) == 4:
            stop.set()

    runners: dict[JobKind, Running] = {"import": Running(act), "export": Running(act)}
    await asyncio.gather(*(ListerRole(db, worker, runners, tmp_path).run(stop) for worker in ("one", "other")))

    assert done == [small, later, large, export]


async def test_the_role_works_off_what_is_queued_and_clears_up_what_others_left(db: Database, tmp_path: Path):
    world = await World.made(db)
    jobs = {await queue(db, world.brand_id) for _ in range(3)}
    left = tmp_path / str(new_id())
    left.mkdir()
    stop = asyncio.Event()
    done: list[UUID] = []

    async def act(job: ClaimedJob, _: Workplace) -> None:
        async with db.transaction() as conn:
            await working.finish(conn, job, "success")
        done.append(job.id)
        if len(done) == len(jobs):
            stop.set()

    await ListerRole(db, "w", {"export": Running(act)}, tmp_path).run(stop)

    assert set(done) == jobs
    assert left_in(tmp_path) == ["lister.lock"]


async def test_a_workplace_with_somebody_in_it_is_not_cleared_up(db: Database, tmp_path: Path):
    left, taken, successors = tmp_path / str(new_id()), tmp_path / str(new_id()), tmp_path / f"{new_id()}-2"
    for place in (left, taken, successors):
        place.mkdir()
    stop = asyncio.Event()

    async def swept() -> int:
        stop.set()
        return 1

    with held_alone(taken / "lock"), held_alone(successors / "lock"):
        await ListerRole(db, "w", {}, tmp_path, chores=[Chore("sweep", 3_600.0, swept)]).run(stop)
        assert sorted(left_in(tmp_path)) == sorted(["lister.lock", taken.name, successors.name])


async def test_who_works_beside_one_that_stands_still_is_in_a_place_of_his_own(db: Database, tmp_path: Path):
    world = await World.made(db)
    job_id = await queue(db, world.brand_id)
    place = tmp_path / str(job_id)
    place.mkdir()
    seen: list[tuple[Path, bool]] = []

    async def act(job: ClaimedJob, workplace: Workplace) -> None:
        with held_alone(workplace.directory / "lock") as is_free:
            seen.append((workplace.directory, is_free))

    with held_alone(place / "lock"):
        await work(db, tmp_path, act)

    assert seen == [(tmp_path / f"{job_id}-1", False)]


async def test_what_others_left_on_the_machine_is_cleared_up_while_there_is_nothing_to_do(db: Database, tmp_path: Path):
    left = tmp_path / str(new_id())
    left.mkdir()
    stop, swept = asyncio.Event(), 0

    async def sweep() -> int:
        nonlocal swept
        swept += 1
        stop.set()
        return 1

    await ListerRole(db, "w", {}, tmp_path, chores=[Chore("sweep", 3_600.0, sweep)]).run(stop)

    assert swept == 1
    assert left_in(tmp_path) == ["lister.lock"]
