"""Schedules that are due in the same minute: how long until the last of them is an execution that a planner has taken."""

import asyncio
from datetime import UTC, datetime, timedelta

from stentor.cli.bench import fixtures
from stentor.cli.bench.club import GENERATOR, Club, add_people, add_topics, found_club
from stentor.cli.bench.result import Measure, seconds
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.db.sql import QuerySet, Statement
from stentor.domain.timetable import Rule
from stentor.triggers.schedules.model import GeneratorTarget, ScheduleDraft

SCHEDULES = 10_000
PEOPLE = 10
_TOPIC = "all"
_UNTIL_DUE, _UNTIL_DUE_OF_EACH = timedelta(seconds=5), timedelta(milliseconds=4)
"""For the worker to start, and for making them."""
_PATIENCE = timedelta(minutes=10)


class Sql(QuerySet, file="schedules.sql", package=__package__):
    copy_schedule: Statement
    taken: Statement


async def schedules_started(premises: Premises, schedules: int = SCHEDULES) -> dict[str, Measure]:
    """`schedules_started_s`: from the time that all of them are due at, with one worker. Of 10 people each, into the sandbox."""
    async with premises.running(workers=0):
        club = await found_club(premises, name="Punctual Rovers")
        await add_people(premises, club, PEOPLE)
        await add_topics(premises, club, [_TOPIC], PEOPLE)
        due_at = (datetime.now(UTC) + _UNTIL_DUE + schedules * _UNTIL_DUE_OF_EACH).replace(microsecond=0)
        await _schedule(premises, club, due_at, schedules)
    async with premises.running(workers=1):
        last = await _last_taken_at(premises, club, due_at, schedules)
    return {"schedules_started_s": seconds((last - due_at).total_seconds())}


async def _schedule(premises: Premises, club: Club, due_at: datetime, schedules: int) -> None:
    draft = ScheduleDraft(
        name="First",
        target=GeneratorTarget(GENERATOR, _TOPIC),
        context=fixtures.CONTEXT,
        rule=Rule(time_zone="UTC", at=f"{due_at:%Y-%m-%dT%H:%M:%SZ}"),
        misfire_grace_s=int(_PATIENCE.total_seconds()),
        enabled=True,
    )
    first = await premises.services.schedules.create(club.brand.id, draft, is_test=False)
    async with premises.core.db.autocommit() as conn:
        await Sql.copy_schedule.run(conn, id=first.id, brand_id=club.brand.id, copies=schedules - 1)


async def _last_taken_at(premises: Premises, club: Club, due_at: datetime, schedules: int) -> datetime:
    while datetime.now(UTC) < due_at + _PATIENCE:
        async with premises.core.db.read() as conn:
            ((taken, last),) = await Sql.taken.tuples(conn, brand_id=club.brand.id)
        if taken >= schedules:
            return last
        await asyncio.sleep(0.5)
    return fail(f"{schedules} schedules were not started within {_PATIENCE}.")
