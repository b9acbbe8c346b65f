"""Schedules that run campaigns: for a tag, by everybody's own clock, spread and limited; and many at once."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from night_world import AtTime, at_times, in_zone
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.timetable import Rule
from stentor.errors import Conflict, Invalid
from stentor.executions.audiences import OfTag
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from stentor.triggers.schedules.keeping import ScheduleKeeper
from stentor.triggers.schedules.model import CampaignTarget, Schedule, ScheduleDraft
from trigger_world import checker_of, rows, schedules_of

pytestmark = pytest.mark.anyio

BEFORE = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)
"""Two days before Europe puts its clocks forward."""


@pytest.fixture
def at(database_dsn: str) -> AtTime:
    return at_times(database_dsn)


async def campaign_of(world: World) -> UUID:
    """A campaign that is published itself."""
    publication_id = await world.publication(basis="channel")
    async with world.db.transaction() as conn:
        await conn.execute(
            "UPDATE campaign c SET kind = 'batch', publication_id = p.id FROM publication p"
            " WHERE p.id = %s AND c.id = p.campaign_id",
            [publication_id],
        )
    return (await rows(world.db, "SELECT campaign_id FROM publication WHERE id = %s", publication_id))[0][0]


async def scheduled(world: World, db: Database, at: str, *names: str, **paced: object) -> Schedule:
    target = CampaignTarget(campaign_id=await campaign_of(world), audience=OfTag(await world.tag(names)), **paced)  # type: ignore[arg-type]
    draft = ScheduleDraft(
        name=str(new_id()),
        target=target,
        context={},
        rule=Rule(time_zone="UTC", at=at),
        misfire_grace_s=600,
        enabled=True,
    )
    return await schedules_of(db).create(world.brand_id, draft, is_test=False)


async def status(world: World, db: Database, schedule: Schedule) -> str:
    return (await schedules_of(db).get(world.brand_id, schedule.id)).status


async def test_a_schedule_runs_a_campaign_for_a_tag_once(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        await world.people([Someone("one"), Someone("other")])
        schedule = await scheduled(world, db, "2026-03-27T13:00", "one")
        assert (await status(world, db, schedule), await ScheduleKeeper(db, checker_of(db)).run_due()) == (
            "scheduled",
            0,
        )

    async with at(BEFORE + timedelta(hours=1, seconds=5), world) as db:
        keeper = ScheduleKeeper(db, checker_of(db))
        assert (await keeper.run_due(), await keeper.run_due()) == (1, 0)
        assert await status(world, db, schedule) == "running"
        await Engine(db, ScriptedChannel()).drain()
        assert await status(world, db, schedule) == "finished"
        ((execution_id, schedule_id),) = await rows(db, "SELECT id, schedule_id FROM execution")
        assert (schedule_id, await world.fates(execution_id)) == (schedule.id, {"one": "handed_over"})


async def test_each_person_is_written_to_at_nine_by_their_own_clock(at: AtTime):
    people = {"tokyo": "Asia/Tokyo", "berlin": "Europe/Berlin", "lima": "America/Lima", "unknown": None}
    async with at(BEFORE) as db:
        world = await World.made(db)
        await world.settings(default_time_zone="Europe/London")
        await world.people([in_zone(name, zone) for name, zone in people.items()])
        await scheduled(world, db, "2026-03-29T09:00", *people, in_their_zones=True)

    sent: dict[str, list[str]] = {}
    known: set[str] = set()
    # On the day on which Europe puts its clocks forward: Berlin is at 7:00 UTC, London at 8:00.
    for when in ("28 19:01", "29 00:01", "29 06:59", "29 07:01", "29 08:01", "29 13:59", "29 14:01"):
        day, time = when.split()
        hour, minute = time.split(":")
        async with at(datetime(2026, 3, int(day), int(hour), int(minute), tzinfo=UTC), world) as db:
            await ScheduleKeeper(db, checker_of(db)).run_due()
            await Engine(db, ScriptedChannel()).drain()
            found = await rows(
                db, "SELECT c.external_id FROM send s JOIN customer c USING (customer_id) WHERE s.state = 2"
            )
            sent[when] = sorted({name for (name,) in found} - known)
            known |= {name for (name,) in found}

    assert {when: names for when, names in sent.items() if names} == {
        "29 00:01": ["tokyo"],
        "29 07:01": ["berlin"],
        "29 08:01": ["unknown"],
        "29 14:01": ["lima"],
    }


async def test_people_are_spread_evenly_and_none_falls_due_before_their_time(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        names = [f"p{number}" for number in range(100)]
        await world.people([Someone(name) for name in names])
        await scheduled(world, db, "2026-03-27T12:01", *names, spread_s=3600)

    handed: list[int] = []
    for minutes in (2, 17, 32, 47, 62):
        async with at(BEFORE + timedelta(minutes=minutes), world) as db:
            await ScheduleKeeper(db, checker_of(db)).run_due()
            await Engine(db, ScriptedChannel()).drain()
            handed.append((await rows(db, "SELECT count(*)::integer FROM send WHERE state = 2"))[0][0])

    assert handed[0] <= 5
    assert handed[-1] == 100
    # Whose ids are chance, and so is how many of a hundred have come after a quarter of the time.
    assert all(10 * step <= count <= 40 * step for step, count in enumerate(handed[1:4], 1))


async def test_people_of_a_run_with_a_limit_per_hour_fall_due_as_it_lets_them_leave(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        names = [f"p{number}" for number in range(100)]
        await world.people([Someone(name) for name in names])
        await scheduled(world, db, "2026-03-27T12:01", *names, per_hour=100)

    async with at(BEFORE + timedelta(minutes=2), world) as db:
        await ScheduleKeeper(db, checker_of(db)).run_due()
        await Engine(db, ScriptedChannel()).plan()
        last, sends = (await rows(db, "SELECT max(due_at) - min(due_at), sum(sends)::integer FROM chunk"))[0]

    assert (last, sends) == (pytest.approx(timedelta(hours=1), abs=timedelta(minutes=5)), 100)


async def test_hundreds_that_are_due_together_start_in_one_round_and_a_bad_one_holds_up_nobody(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        await world.people([Someone("one")])
        first = await scheduled(world, db, "2026-03-27T12:01", "one")
        async with db.transaction() as conn:
            await conn.execute(
                "INSERT INTO schedule (id, brand_id, name, generator_id, topic_key, campaign_id, audience, context, is_test,"
                " time_zone, at, misfire_grace_s, enabled, seen_local, seen_at, next_local, next_at, created_at, updated_at)"
                " SELECT gen_random_uuid(), brand_id, 'copy ' || n, '', '', campaign_id, audience, context, is_test,"
                " CASE n WHEN 700 THEN 'Mars/Olympus' ELSE time_zone END, at, misfire_grace_s, enabled, seen_local, seen_at,"
                " next_local, next_at, created_at, updated_at FROM schedule, generate_series(1, 1200) AS n WHERE id = %s",
                [first.id],
            )

    async with at(BEFORE + timedelta(minutes=2), world) as db:
        keeper, dealt_with = ScheduleKeeper(db, checker_of(db)), 0
        while decided := await keeper.run_due():
            dealt_with += decided

        assert dealt_with == 1200
        assert await rows(db, "SELECT count(*) FROM execution WHERE state = 'queued' AND awaits_cast") == [(1200,)]
        assert await rows(db, "SELECT name FROM schedule WHERE next_at IS NOT NULL") == [("copy 700",)]


async def test_who_was_not_written_to_is_skipped_when_what_runs_is_cancelled(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        await world.people([Someone("one"), Someone("other")])
        to_come = await scheduled(world, db, "2026-03-28T12:00", "one")
        runs = await scheduled(world, db, "2026-03-27T12:01", "one", "other")
        ended = await schedules_of(db).cancel(world.brand_id, to_come.id)

        assert (ended.status, ended.enabled) == ("cancelled", False)
        with pytest.raises(Conflict, match="this one is cancelled"):
            await schedules_of(db).cancel(world.brand_id, to_come.id)

    async with at(BEFORE + timedelta(minutes=2), world) as db:
        await ScheduleKeeper(db, checker_of(db)).run_due()
        cancelled = await schedules_of(db).cancel(world.brand_id, runs.id)
        channel = ScriptedChannel()
        await Engine(db, channel).drain()

        assert (cancelled.status, channel.addresses) == ("cancelled", [])
        assert await rows(db, "SELECT state FROM execution") == [("cancelled",)]
        assert await rows(db, "SELECT action FROM audit_entry WHERE action LIKE 'schedule.c%%' ORDER BY number") == [
            ("schedule.created",),
            ("schedule.created",),
            ("schedule.cancelled",),
            ("schedule.cancelled",),
        ]


async def test_what_goes_by_everybodys_clock_is_a_time_of_the_day(at: AtTime):
    async with at(BEFORE) as db:
        world = await World.made(db)
        await world.people([Someone("one")])
        with pytest.raises(Invalid, match="no offset"):
            await scheduled(world, db, "2026-03-29T09:00Z", "one", in_their_zones=True)
