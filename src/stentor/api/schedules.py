"""Schedules of a group: calls that are made by the clock, once or again and again."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.naming import ID_CHARS_MAX
from stentor.domain.locale import TIME_ZONE_CHARS_MAX
from stentor.domain.timetable import AT_CHARS_MAX, CRON_CHARS_MAX, Rule, next_moments
from stentor.errors import Conflict, Unprocessable
from stentor.executions.model import ErrorCode, ExecutionState
from stentor.triggers.checking import TOPIC_KEY_CHARS_MAX
from stentor.triggers.schedules.model import Occurrence, Outcome, Schedule, ScheduleDraft
from stentor.triggers.schedules.service import MISFIRE_GRACE_S_MAX, MISFIRE_GRACE_S_MIN, NAME_CHARS_MAX

NEXT_SHOWN = 5

schedules = group_noun(
    "schedules",
    "Calls that are made by the clock of a place, once or again and again. Each occurrence starts once, whatever dies and "
    "whatever is done to the clock; one that could not be started in time is written down as missed, not sent late.",
)


class ScheduleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a schedule that can be edited."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    event_generator_id: Annotated[
        str,
        Meta(min_length=1, max_length=ID_CHARS_MAX, description="Of type `scheduled` or `api_triggered`, published."),
    ]
    topic_key: Annotated[
        str, Meta(min_length=1, max_length=TOPIC_KEY_CHARS_MAX, description="The key or the id of a topic.")
    ]
    context: Annotated[dict[str, Any], Meta(description="What the templates read as `context.x`; at most 64 KiB.")]
    time_zone: Annotated[
        str, Meta(max_length=TIME_ZONE_CHARS_MAX, description="The clock that it goes by, as `Europe/Berlin`.")
    ]
    at: (
        Annotated[
            str,
            Meta(
                max_length=AT_CHARS_MAX,
                description="Once: `2026-12-24T18:00` on that clock, or an instant as `2026-12-24T17:00Z`.",
            ),
        ]
        | None
    ) = None
    cron: (
        Annotated[
            str,
            Meta(
                max_length=CRON_CHARS_MAX,
                description="Again and again: minute, hour, day of month, month, day of week, as `0 9 * * mon`.",
            ),
        ]
        | None
    ) = None
    misfire_grace_s: Annotated[
        int,
        Meta(
            ge=MISFIRE_GRACE_S_MIN,
            le=MISFIRE_GRACE_S_MAX,
            description="How many seconds late an occurrence may still start.",
        ),
    ] = 600
    enabled: bool = True


class NextOccurrence(msgspec.Struct, frozen=True):
    """A time that is to come."""

    due_at: datetime
    local_at: Annotated[datetime, Meta(tz=False, description="On the clock of the schedule's time zone.")]


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    id: UUID
    name: str
    event_generator_id: str
    topic_key: str
    context: dict[str, Any]
    is_test: bool
    time_zone: str
    at: str | None
    cron: str | None
    misfire_grace_s: int
    enabled: bool
    next_occurrences: Annotated[
        list[NextOccurrence], Meta(description=f"The next {NEXT_SHOWN}; none of one that is disabled or over.")
    ]
    created_at: datetime
    updated_at: datetime


class OccurrenceBody(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which a schedule was due, and what came of it."""

    due_at: datetime
    local_at: Annotated[datetime, Meta(tz=False, description="On the clock of the schedule's time zone.")]
    outcome: Outcome
    reason: Annotated[
        str | None,
        Meta(
            description="Why it did not start. Missed: `late`, `superseded` by a later one, `disabled`, `restored`. Refused: the code of "
            "the problem that a run would have met."
        ),
    ]
    message: str | None
    execution_id: UUID | None
    execution_state: ExecutionState | None
    error_code: Annotated[ErrorCode | None, Meta(description="Why its execution failed, as a topic that was disabled.")]
    decided_at: datetime


_EXAMPLE = {
    "name": "Every Monday",
    "event_generator_id": "match-starts",
    "topic_key": "team-42",
    "context": {"match_name": "Reds vs Blues"},
    "time_zone": "Europe/Berlin",
    "cron": "0 9 * * mon",
    "misfire_grace_s": 1800,
}


def shown(schedule: Schedule) -> ScheduleBody:
    """The schedule as the API answers it."""
    coming = next_moments(schedule.rule, schedule.seen, NEXT_SHOWN) if schedule.enabled else []
    return ScheduleBody(
        id=schedule.id,
        name=schedule.name,
        event_generator_id=schedule.generator_id,
        topic_key=schedule.topic_key,
        context=schedule.context,
        is_test=schedule.is_test,
        time_zone=schedule.time_zone,
        at=schedule.at,
        cron=schedule.cron,
        misfire_grace_s=schedule.misfire_grace_s,
        enabled=schedule.enabled,
        next_occurrences=[NextOccurrence(moment.at, moment.local) for moment in coming],
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )


@schedules.get("/schedules", scope="read")
async def list_schedules(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ScheduleBody]:
    """List the group's schedules."""

    async def fetch(after: UUID | None, limit: int) -> list[Schedule]:
        return await request.services.schedules.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda schedule: schedule.id, UUID), shown)


@schedules.post("/schedules", scope="write", status=201, problems=[Conflict, Unprocessable], example=_EXAMPLE)
async def create_schedule(request: ApiRequest, caller: Caller, body: ScheduleInput) -> ScheduleBody:
    """Create a schedule. Its first occurrence is the first one that is to come.

    A time that the clock skips is due right after the gap, one that it shows twice is due the first time. A cron rule whose
    minutes or hours begin with `*` goes by the time that passes instead.
    """
    made = await request.services.schedules.create(caller.brand_id, _draft(body), is_test=caller.principal.is_test)
    return shown(made)


@schedules.get("/schedules/{schedule_id:str}", scope="read")
async def get_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> ScheduleBody:
    """Show a schedule with its next occurrences."""
    return shown(await request.services.schedules.get(caller.brand_id, schedule_id))


@schedules.put(
    "/schedules/{schedule_id:str}",
    scope="write",
    problems=[Conflict, Unprocessable],
    example={**_EXAMPLE, "enabled": False},
)
async def replace_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID, body: ScheduleInput) -> ScheduleBody:
    """Replace a schedule. Another rule or time zone counts from now on; while it is disabled its occurrences are missed."""
    is_test = caller.principal.is_test
    return shown(await request.services.schedules.update(caller.brand_id, schedule_id, _draft(body), is_test=is_test))


@schedules.delete("/schedules/{schedule_id:str}", scope="write", status=204)
async def delete_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> None:
    """Delete a schedule with the record of its occurrences; executions that it started go on."""
    await request.services.schedules.delete(caller.brand_id, schedule_id)


@schedules.get("/schedules/{schedule_id:str}/occurrences", scope="read")
async def list_occurrences(
    request: ApiRequest, caller: Caller, schedule_id: UUID, query: ListQuery
) -> Listing[OccurrenceBody]:
    """List what came of a schedule's occurrences, the latest first."""

    async def fetch(before: datetime | None, limit: int) -> list[Occurrence]:
        return await request.services.schedules.occurrences(caller.brand_id, schedule_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda occurrence: occurrence.due_at, datetime), _shown)


def _shown(occurrence: Occurrence) -> OccurrenceBody:
    return OccurrenceBody(
        due_at=occurrence.due_at,
        local_at=occurrence.local_at,
        outcome=occurrence.outcome,
        reason=occurrence.reason,
        message=occurrence.message,
        execution_id=occurrence.execution_id,
        execution_state=occurrence.execution_state,
        error_code=occurrence.error_code,
        decided_at=occurrence.decided_at,
    )


def _draft(body: ScheduleInput) -> ScheduleDraft:
    return ScheduleDraft(
        name=body.name,
        generator_id=body.event_generator_id,
        topic_key=body.topic_key,
        context=body.context,
        rule=Rule(time_zone=body.time_zone, at=body.at, cron=body.cron),
        misfire_grace_s=body.misfire_grace_s,
        enabled=body.enabled,
    )
