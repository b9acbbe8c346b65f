"""Schedules: each occurrence once, whoever keeps the time, and none late in silence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from stentor.accounts.model import Brand
from stentor.db.pool import Database
from stentor.domain.timetable import Rule
from stentor.errors import Conflict, Invalid, NotFound, Unprocessable
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.waiting import eventually
from stentor.triggers.schedules.keeping import CATCH_UP_MAX, OCCURRENCES_KEPT_MAX, ScheduleKeeper
from stentor.triggers.schedules.model import GeneratorTarget, Occurrence, Schedule, ScheduleDraft
from trigger_world import SCHEMA, checker_of, make_brand, make_generator, rows, schedules_of

pytestmark = pytest.mark.anyio

GRACE_S = 600
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
DRAFT = ScheduleDraft(
    name="Daily",
    target=GeneratorTarget("fixtures", "team-42"),
    context={"match_id": "m-1"},
    rule=Rule(time_zone="UTC", cron="0 12 * * *"),
    misfire_grace_s=GRACE_S,
    enabled=True,
)


@pytest.fixture
async def brand(db: Database) -> Brand:
    brand = await make_brand(db)
    await make_generator(db, brand, "fixtures", type="scheduled", schema=SCHEMA)
    return brand


class Kept:
    """A schedule of a brand, and keepers that look at it when the test says that it is so late."""

    def __init__(self, db: Database, brand: Brand) -> None:
        self.db = db
        self.brand = brand
        self.service = schedules_of(db)

    async def made(self, **changes: Any) -> Schedule:
        draft = msgspec.structs.replace(DRAFT, **changes)
        return await self.service.create(self.brand.id, draft, is_test=False)

    async def changed(self, schedule: Schedule, **changes: Any) -> Schedule:
        draft = msgspec.structs.replace(DRAFT, **changes)
        return await self.service.update(self.brand.id, schedule.id, draft)

    async def due(self, schedule: Schedule) -> datetime:
        found = await self.service.get(self.brand.id, schedule.id)
        assert found.next_at is not None
        return found.next_at

    async def ran(self, at: datetime) -> int:
        """How many schedules a keeper dealt with that looked at that time."""
        async with keeping(self.db, at) as keeper:
            return await keeper.run_due()

    async def fates(self, schedule: Schedule) -> list[str]:
        return [fate(one) for one in await self.occurrences(schedule)]

    async def occurrences(self, schedule: Schedule) -> list[Occurrence]:
        return await self.service.occurrences(self.brand.id, schedule.id)

    async def executions(self) -> list[tuple[Any, ...]]:
        query = (
            "SELECT id, schedule_id, occurrence_at, generator_id, context, state FROM execution ORDER BY occurrence_at"
        )
        return await rows(self.db, query)


@asynccontextmanager
async def keeping(db: Database, at: datetime) -> AsyncIterator[ScheduleKeeper]:
    async with Database(db.dsn, size=3, shift=at - datetime.now(UTC)) as then:
        yield ScheduleKeeper(then, checker_of(then))


def fate(occurrence: Occurrence) -> str:
    return occurrence.outcome if occurrence.reason is None else f"{occurrence.outcome} {occurrence.reason}"


@pytest.fixture
def kept(db: Database, brand: Brand) -> Kept:
    return Kept(db, brand)


async def test_an_occurrence_is_an_execution_that_says_whose_it_is(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)

    early, on_time, again = await kept.ran(due - MINUTE), await kept.ran(due), await kept.ran(due + MINUTE)

    ((execution_id, *facts),) = await kept.executions()
    assert (early, on_time, again) == (0, 1, 0)
    assert facts == [schedule.id, due, "fixtures", {"match_id": "m-1"}, "queued"]
    (occurrence,) = await kept.occurrences(schedule)
    assert (occurrence.outcome, occurrence.execution_id, occurrence.due_at) == ("started", execution_id, due)
    assert occurrence.execution_state == "queued"
    assert await kept.due(schedule) == due + DAY


async def test_two_keepers_at_once_start_it_once(kept: Kept):
    made = [await kept.made(name=f"Daily {number}") for number in range(5)]
    due = await kept.due(made[0])

    async with keeping(kept.db, due) as one, keeping(kept.db, due) as another:
        dealt_with = await asyncio.gather(one.run_due(), another.run_due(), one.run_due())

    assert sum(dealt_with) == 5
    assert sorted(row[1] for row in await kept.executions()) == sorted(schedule.id for schedule in made)


async def test_a_keeper_passes_over_what_another_one_holds(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)

    async with kept.db.transaction() as conn:
        await conn.execute("SELECT FROM schedule WHERE id = %s FOR UPDATE", [schedule.id])
        async with asyncio.timeout(10):
            held = await kept.ran(due)

    assert (held, await kept.ran(due)) == (0, 1)


async def test_a_keeper_that_acts_on_what_it_saw_before_another_one_decided_starts_nothing(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)
    async with keeping(kept.db, due) as slow:
        seen = await kept.service.get(kept.brand.id, schedule.id)
        await kept.ran(due)

        assert not await slow._run([seen])

    assert len(await kept.executions()) == 1


@pytest.mark.parametrize(
    ("late", "expected"),
    [(timedelta(seconds=GRACE_S - 60), "started"), (timedelta(seconds=GRACE_S + 60), "missed late")],
)
async def test_later_than_its_grace_it_is_missed_and_not_sent(kept: Kept, late: timedelta, expected: str):
    schedule = await kept.made()
    due = await kept.due(schedule)

    await kept.ran(due + late)

    assert await kept.fates(schedule) == [expected]
    assert len(await kept.executions()) == (expected == "started")


async def test_of_several_that_an_outage_left_due_only_the_latest_starts(kept: Kept):
    schedule = await kept.made(rule=Rule(time_zone="UTC", cron="*/5 * * * *"))
    first = await kept.due(schedule)

    await kept.ran(first + timedelta(minutes=20, seconds=30))

    assert await kept.fates(schedule) == [
        "started",
        "missed superseded",
        "missed late",
        "missed late",
        "missed late",
    ]
    assert [row[2] for row in await kept.executions()] == [first + timedelta(minutes=20)]


async def test_a_long_outage_is_caught_up_with_in_steps_and_only_the_latest_are_kept(kept: Kept):
    schedule = await kept.made(rule=Rule(time_zone="UTC", cron="* * * * *"))
    now = await kept.due(schedule) + MINUTE * (CATCH_UP_MAX * 2 + 99)

    steps = [await kept.ran(now) for _ in range(4)]

    fates = [
        row[0]
        for row in await rows(kept.db, "SELECT concat_ws(' ', outcome, reason) FROM occurrence ORDER BY due_at DESC")
    ]
    assert steps == [1, 1, 1, 0]
    assert len(fates) == OCCURRENCES_KEPT_MAX
    assert fates[0] == "started"
    assert fates.count("started") == len(await kept.executions()) == 1


async def test_once_is_once(kept: Kept):
    at = datetime.now(ZoneInfo("Europe/Berlin")) + DAY
    schedule = await kept.made(rule=Rule(time_zone="europe/berlin", at=f"{at:%Y-%m-%dT%H:%M}"))

    await kept.ran(await kept.due(schedule))

    (occurrence,) = await kept.occurrences(schedule)
    assert occurrence.local_at == at.replace(second=0, microsecond=0, tzinfo=None)
    assert occurrence.outcome == "started"
    over = await kept.service.get(kept.brand.id, schedule.id)
    assert (over.next_at, over.time_zone) == (None, "Europe/Berlin")
    assert (await kept.changed(over, name="Renamed", rule=over.rule)).next_at is None


async def test_while_it_is_disabled_its_occurrences_are_missed(kept: Kept):
    schedule = await kept.made(enabled=False)
    due = await kept.due(schedule)
    await kept.ran(due)
    await kept.changed(schedule, enabled=True)

    await kept.ran(due + DAY)

    assert await kept.fates(schedule) == ["started", "missed disabled"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DELETE FROM event_generator", "refused not-found"),
        ("UPDATE event_generator SET type = 'event'", "refused unprocessable"),
        ("UPDATE event_generator SET publication_id = NULL", "refused unprocessable"),
    ],
)
async def test_what_a_run_would_refuse_is_refused_and_told(kept: Kept, change: str, expected: str):
    schedule = await kept.made()
    async with kept.db.autocommit() as conn:
        await conn.execute(change.encode())
    due = await kept.due(schedule)

    await kept.ran(due)

    (occurrence,) = await kept.occurrences(schedule)
    assert fate(occurrence) == expected
    assert occurrence.message
    assert await kept.executions() == []
    assert await kept.due(schedule) == due + DAY


async def test_a_context_that_no_longer_fits_is_refused(kept: Kept):
    schedule = await kept.made()
    async with kept.db.autocommit() as conn:
        await conn.execute("UPDATE schedule SET context = '{}'")

    await kept.ran(await kept.due(schedule))

    assert await kept.fates(schedule) == ["refused invalid-request"]


async def test_a_topic_that_is_unknown_fails_its_execution_and_the_occurrence_says_so(kept: Kept):
    schedule = await kept.made(target=GeneratorTarget("fixtures", "nobody's"))
    await kept.ran(await kept.due(schedule))

    await Engine(kept.db, ScriptedChannel()).plan()

    (occurrence,) = await kept.occurrences(schedule)
    assert (occurrence.outcome, occurrence.execution_state) == ("started", "failed")
    assert occurrence.error_code == "TOPIC_NOT_FOUND"


async def test_a_schedule_that_fails_holds_up_no_other(kept: Kept):
    broken, good = await kept.made(name="Broken"), await kept.made(name="Good")
    due = await kept.due(good)
    async with kept.db.autocommit() as conn:
        await conn.execute("UPDATE schedule SET time_zone = 'Mars/Olympus' WHERE id = %s", [broken.id])

    assert await kept.ran(due) == 1

    assert [row[1] for row in await kept.executions()] == [good.id]


async def test_another_rule_counts_from_now_and_the_same_one_goes_on(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)
    await kept.ran(due)

    renamed = await kept.changed(schedule, name="Renamed")
    # The clock was put back since: what is decided is not decided again.
    moved = await kept.changed(schedule, rule=Rule(time_zone="UTC", cron="0 11 * * *"))

    assert renamed.next_at == due + DAY
    assert moved.next_at == due + timedelta(hours=23)


async def test_a_deleted_schedule_starts_nothing_more_and_its_executions_stay(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)
    await kept.ran(due)

    await kept.service.delete(kept.brand.id, schedule.id)

    assert await kept.ran(due + DAY) == 0
    assert len(await kept.executions()) == 1
    with pytest.raises(NotFound):
        await kept.occurrences(schedule)


@pytest.mark.fault("F13")
async def test_an_alarm_that_a_zones_new_rules_bring_forward_is_set_anew(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)
    await later_alarm(kept, schedule, timedelta(hours=1))

    async with keeping(kept.db, datetime.now(UTC)) as keeper:
        changed = await keeper.reckon(), await keeper.reckon()

    assert changed == (1, 0)
    assert await kept.due(schedule) == due


@pytest.mark.fault("F13")
async def test_an_alarm_that_rings_too_early_by_a_zones_new_rules_starts_nothing(kept: Kept):
    schedule = await kept.made()
    due = await kept.due(schedule)
    await later_alarm(kept, schedule, -timedelta(minutes=1))

    await kept.ran(due - timedelta(seconds=30))

    assert await kept.fates(schedule) == []
    assert await kept.due(schedule) == due


async def test_a_zone_that_this_process_does_not_know_keeps_no_other_alarm_from_being_set(kept: Kept):
    unknown, known = await kept.made(name="Unknown"), await kept.made(name="Known")
    due = await kept.due(known)
    await later_alarm(kept, known, timedelta(hours=1))
    async with kept.db.autocommit() as conn:
        await conn.execute("UPDATE schedule SET time_zone = 'Mars/Olympus' WHERE id = %s", [unknown.id])

    async with keeping(kept.db, datetime.now(UTC)) as keeper:
        assert await keeper.reckon() == 1

    assert await kept.due(known) == due


async def later_alarm(kept: Kept, schedule: Schedule, by: timedelta) -> None:
    async with kept.db.autocommit() as conn:
        await conn.execute("UPDATE schedule SET next_at = next_at + %s WHERE id = %s", [by, schedule.id])


async def test_a_schedule_of_a_test_key_runs_as_a_test(kept: Kept):
    schedule = await kept.service.create(kept.brand.id, DRAFT, is_test=True)

    await kept.ran(await kept.due(schedule))

    assert await rows(kept.db, "SELECT is_test, triggered_by FROM execution") == [(True, "schedule Daily")]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"rule": Rule(time_zone="Mars/Olympus", cron="0 9 * * *")}, "/time_zone", "unknown-time-zone"),
        ({"rule": Rule(time_zone="UTC")}, "/cron", "at-or-cron"),
        ({"rule": Rule(time_zone="UTC", cron="0 9 * * *", at="2030-01-01T09:00")}, "/cron", "at-or-cron"),
        ({"rule": Rule(time_zone="UTC", cron="61 9 * * *")}, "/cron", "invalid-cron"),
        ({"rule": Rule(time_zone="UTC", cron="0 0 9 * * *")}, "/cron", "invalid-cron"),
        ({"rule": Rule(time_zone="UTC", cron="0 0 30 2 *")}, "/cron", "invalid-cron"),
        ({"rule": Rule(time_zone="UTC", cron="0 0 * * 1#2/3")}, "/cron", "invalid-cron"),
        ({"rule": Rule(time_zone="UTC", at="tomorrow")}, "/at", "invalid-time"),
        ({"rule": Rule(time_zone="UTC", at="2030-02-30T09:00")}, "/at", "invalid-time"),
        ({"rule": Rule(time_zone="UTC", at="2020-01-01T09:00")}, "/at", "never"),
        ({"misfire_grace_s": 59}, "/misfire_grace_s", "range"),
        ({"target": GeneratorTarget("nobody's", "team-42")}, "/event_generator_id", "unknown-event-generator"),
        ({"context": {}}, "/context/match_id", "schema"),
        ({"name": " "}, "/name", "length"),
    ],
)
async def test_what_makes_no_schedule_is_refused_with_the_field(kept: Kept, changes: Any, pointer: str, code: str):
    with pytest.raises(Invalid) as refused:
        await kept.made(**changes)

    assert (refused.value.violations[0].pointer, refused.value.violations[0].code) == (pointer, code)


async def test_a_name_that_is_being_given_is_taken(kept: Kept):
    one, other = await kept.made(name="One"), await kept.made(name="Other")

    async with kept.db.transaction() as conn:
        await conn.execute("UPDATE schedule SET name = 'Wanted' WHERE id = %s", [one.id])
        renaming = asyncio.create_task(kept.changed(other, name="Wanted"))
        await eventually(lambda: has_waiter(kept.db))

    with pytest.raises(Conflict, match="Wanted"):
        await renaming


async def has_waiter(db: Database) -> bool:
    return bool(await rows(db, "SELECT 1 FROM pg_locks WHERE NOT granted"))


async def test_a_name_is_of_one_schedule(kept: Kept):
    one, other = await kept.made(), await kept.made(name="Other")

    with pytest.raises(Conflict):
        await kept.made()
    with pytest.raises(Conflict):
        await kept.changed(other, name=one.name)


async def test_an_event_generator_of_another_type_or_unpublished_is_refused(kept: Kept):
    await make_generator(kept.db, kept.brand, "event", type="event")
    await make_generator(kept.db, kept.brand, "draft", published=False)

    for generator_id in ("event", "draft"):
        with pytest.raises(Unprocessable):
            await kept.made(target=GeneratorTarget(generator_id, "team-42"))


async def test_another_brands_schedule_is_none(kept: Kept):
    schedule = await kept.made()
    stranger = (await make_brand(kept.db, "Strangers")).id

    for ask in (
        kept.service.get(stranger, schedule.id),
        kept.service.update(stranger, schedule.id, DRAFT),
        kept.service.delete(stranger, schedule.id),
        kept.service.occurrences(stranger, schedule.id),
    ):
        with pytest.raises((NotFound, Invalid)):
            await ask
    assert await kept.service.page(stranger) == []
