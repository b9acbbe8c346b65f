"""Schedules of a group: calls that are made by the clock, once or again and again."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.auth import allowed
from stentor.api.batches import CampaignChoice
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, counted_listing, listing
from stentor.api.request import ApiRequest, Caller
from stentor.api.wire.groups import NOTHING, Metadata, Ref, WireTime, wire_time
from stentor.campaigns.naming import ID_CHARS_MAX
from stentor.domain.locale import TIME_ZONE_CHARS_MAX
from stentor.domain.policy import PER_HOUR_MAX
from stentor.domain.timetable import AT_CHARS_MAX, CRON_CHARS_MAX, Rule, next_moments
from stentor.errors import Conflict, Invalid, NotFound, Unprocessable
from stentor.executions.audiences import OfSegment, OfTag, audience_of, one_audience
from stentor.executions.model import ErrorCode, ExecutionState
from stentor.executions.pacing import SPREAD_S_MAX
from stentor.executions.service import START_GRACE
from stentor.triggers.batches.model import BatchSchedule
from stentor.triggers.checking import TOPIC_KEY_CHARS_MAX
from stentor.triggers.model import ScheduleStatus
from stentor.triggers.schedules.model import (
    CampaignTarget,
    GeneratorTarget,
    Occurrence,
    Outcome,
    Schedule,
    ScheduleDraft,
    Target,
)
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
    event_generator_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=ID_CHARS_MAX,
                description="Of type `scheduled` or `api_triggered`, published; called for the `topic_key`.",
            ),
        ]
        | None
    ) = None
    topic_key: (
        Annotated[str, Meta(min_length=1, max_length=TOPIC_KEY_CHARS_MAX, description="The key or the id of a topic.")]
        | None
    ) = None
    campaign_id: Annotated[
        UUID | None,
        Meta(
            description="In place of an event generator: a campaign that is published itself, run for a tag or a segment."
        ),
    ] = None
    tag_id: UUID | None = None
    segment_id: UUID | None = None
    in_their_zones: Annotated[
        bool,
        Meta(
            description="Each person is written to when their own clock shows the time; `time_zone` means nothing then. Of a "
            "campaign; of whom no zone is known, the group's counts."
        ),
    ] = False
    spread_s: Annotated[
        int, Meta(ge=0, le=SPREAD_S_MAX, description="Over how many seconds people are spread, evenly. Of a campaign.")
    ] = 0
    per_hour: Annotated[
        Annotated[int, Meta(ge=1, le=PER_HOUR_MAX)] | None,
        Meta(description="How many people may fall due in an hour. Of a campaign."),
    ] = None
    context: Annotated[dict[str, Any], Meta(description="What the templates read as `context.x`; at most 64 KiB.")] = (
        msgspec.field(default_factory=dict)
    )
    time_zone: Annotated[
        str, Meta(max_length=TIME_ZONE_CHARS_MAX, description="The clock that it goes by, as `Europe/Berlin`.")
    ] = "UTC"
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


class BatchRef(msgspec.Struct, frozen=True):
    """A batch, by its id."""

    uuid: UUID


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    metadata: Metadata = NOTHING
    status: Annotated[
        ScheduleStatus,
        Meta(
            description="`cancelled`: it was ended, or is disabled. `running`: nothing more is to come, and what it started last is "
            "under way."
        ),
    ]
    start_at: Annotated[WireTime | None, Meta(description="When it is due next; of one that is over, when it was.")]
    uuid: UUID
    campaign: Annotated[Ref | None, Meta(description="What runs; null where an event generator does.")]
    batch: Annotated[BatchRef | None, Meta(description="Whose schedule it is; null for one made under `/schedules`.")]
    execution_id: Annotated[
        UUID | None,
        Meta(
            description="What runs, or is to run, for a batch: another one after each change. Null while a stream is coming in, and of "
            "all other schedules, whose occurrences name theirs."
        ),
    ] = None
    id: UUID
    name: str
    event_generator_id: str | None
    topic_key: str | None
    campaign_id: UUID | None
    tag_id: UUID | None
    segment_id: UUID | None
    in_their_zones: bool
    spread_s: int
    per_hour: int | None
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
    updated_at: WireTime
    created_at: WireTime


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


class ScheduleChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What changes in a batch's schedule: what is left out stays."""

    start_at: Annotated[str | None, Meta(description="`YYYY-MM-DD HH:MM:SS` in UTC.")] = None
    campaign: CampaignChoice | None = None


def shown(schedule: Schedule) -> ScheduleBody:
    """The schedule as the API answers it."""
    audience = audience_of(schedule.audience)
    coming = next_moments(schedule.rule, schedule.seen, NEXT_SHOWN) if schedule.enabled else []
    return ScheduleBody(
        status=schedule.status,
        start_at=wire_time(schedule.next_at or schedule.seen_at),
        uuid=schedule.id,
        campaign=Ref(schedule.campaign_id, schedule.campaign_name or "") if schedule.campaign_id else None,
        batch=None,
        id=schedule.id,
        name=schedule.name,
        event_generator_id=schedule.generator_id or None,
        topic_key=schedule.topic_key or None,
        campaign_id=schedule.campaign_id,
        tag_id=audience.tag_id if isinstance(audience, OfTag) else None,
        segment_id=audience.segment_id if isinstance(audience, OfSegment) else None,
        in_their_zones=schedule.in_their_zones,
        spread_s=schedule.spread_s,
        per_hour=schedule.per_hour,
        context=schedule.context,
        is_test=schedule.is_test,
        time_zone=schedule.time_zone,
        at=schedule.at,
        cron=schedule.cron,
        misfire_grace_s=schedule.misfire_grace_s,
        enabled=schedule.enabled,
        next_occurrences=[NextOccurrence(moment.at, moment.local) for moment in coming],
        updated_at=wire_time(schedule.updated_at),
        created_at=wire_time(schedule.created_at),
    )


@schedules.get("/schedules", scope="read")
async def list_schedules(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ScheduleBody]:
    """List the group's schedules, those of its batches too."""
    services, brand_id = request.services, caller.brand_id

    async def fetch(after: UUID | None, limit: int) -> list[Schedule | BatchSchedule]:
        own = await services.schedules.page(brand_id, after=after, limit=limit)
        of_batches = await services.batches.schedules(brand_id, after=after, limit=limit)
        return sorted([*own, *of_batches], key=lambda schedule: schedule.id)[:limit]

    async def total() -> int:
        return await services.schedules.count(brand_id) + await services.batches.count_schedules(brand_id)

    return await counted_listing(request, query, Walk(fetch, lambda schedule: schedule.id, UUID), _either, total=total)


@schedules.post("/schedules", scope="write", status=201, problems=[Conflict, Unprocessable], example=_EXAMPLE)
async def create_schedule(request: ApiRequest, caller: Caller, body: ScheduleInput) -> ScheduleBody:
    """Create a schedule. Its first occurrence is the first one that is to come. The key needs the scope `run` too.

    A time that the clock skips is due right after the gap, one that it shows twice is due the first time. A cron rule whose
    minutes or hours begin with `*` goes by the time that passes instead.
    """
    allowed(caller, "run")
    made = await request.services.schedules.create(caller.brand_id, _draft(body), is_test=caller.principal.is_test)
    return shown(made)


@schedules.get("/schedules/{schedule_id:str}", scope="read")
async def get_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> ScheduleBody:
    """Show a schedule with its next occurrences."""
    try:
        return shown(await request.services.schedules.get(caller.brand_id, schedule_id))
    except NotFound:
        return _of_batch(await request.services.batches.schedule(caller.brand_id, schedule_id))


@schedules.patch(
    "/schedules/{schedule_id:str}",
    scope="write",
    problems=[Conflict, Unprocessable],
    reads=ScheduleChanges,
    example={"start_at": "2026-12-01 09:30:00"},
)
async def change_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> ScheduleBody:
    """Change when a batch's campaign runs, or which campaign, as long as it is to come. Any other schedule is replaced by PUT.

    The key needs the scope `run` too.
    """
    allowed(caller, "run")
    try:
        changed = await request.services.batches.change(
            caller.brand_id,
            schedule_id,
            await request.json_value(),
            asked_by=f"key {caller.principal.key_number}",
            is_test=caller.principal.is_test,
        )
    except NotFound:
        await request.services.schedules.get(caller.brand_id, schedule_id)
        raise Conflict("PATCH changes the schedule of a batch. Replace this one as a whole, with PUT.") from None
    return _of_batch(changed)


@schedules.post("/schedules/{schedule_id:str}/cancel", scope="write", problems=[Conflict], idempotent=False)
async def cancel_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> ScheduleBody:
    """Cancel a schedule and what it started last: who was not written to yet is skipped. A test key does so for tests alone."""
    is_test = caller.principal.is_test
    try:
        return shown(await request.services.schedules.cancel(caller.brand_id, schedule_id, is_test=is_test))
    except NotFound:
        return _of_batch(await request.services.batches.cancel(caller.brand_id, schedule_id, is_test=is_test))


@schedules.put(
    "/schedules/{schedule_id:str}",
    scope="write",
    problems=[Conflict, Unprocessable],
    example={**_EXAMPLE, "enabled": False},
)
async def replace_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID, body: ScheduleInput) -> ScheduleBody:
    """Replace a schedule. Another rule or time zone counts from now on; while it is disabled its occurrences are missed.

    The key needs the scope `run` too.
    """
    allowed(caller, "run")
    is_test = caller.principal.is_test
    try:
        replaced = await request.services.schedules.update(caller.brand_id, schedule_id, _draft(body), is_test=is_test)
    except NotFound:
        await request.services.batches.schedule(caller.brand_id, schedule_id)
        raise Conflict("This is the schedule of a batch. Change it with PATCH, or cancel it.") from None
    return shown(replaced)


@schedules.delete("/schedules/{schedule_id:str}", scope="write", status=204)
async def delete_schedule(request: ApiRequest, caller: Caller, schedule_id: UUID) -> None:
    """Delete a schedule with the record of its occurrences; executions that it started go on. One of a batch is cancelled.

    A test key does so for tests alone.
    """
    is_test = caller.principal.is_test
    try:
        await request.services.schedules.delete(caller.brand_id, schedule_id, is_test=is_test)
    except NotFound:
        await request.services.batches.cancel(caller.brand_id, schedule_id, is_test=is_test)


@schedules.get("/schedules/{schedule_id:str}/occurrences", scope="read")
async def list_occurrences(
    request: ApiRequest, caller: Caller, schedule_id: UUID, query: ListQuery
) -> Listing[OccurrenceBody]:
    """List what came of a schedule's occurrences, the latest first; of a batch's schedule there is one at the most."""

    async def fetch(before: datetime | None, limit: int) -> list[Occurrence]:
        try:
            return await request.services.schedules.occurrences(
                caller.brand_id, schedule_id, before=before, limit=limit
            )
        except NotFound:
            return await request.services.batches.occurrences(caller.brand_id, schedule_id, before=before, limit=limit)

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


def _either(schedule: Schedule | BatchSchedule) -> ScheduleBody:
    return shown(schedule) if isinstance(schedule, Schedule) else _of_batch(schedule)


def _of_batch(schedule: BatchSchedule) -> ScheduleBody:
    at = schedule.start_at.astimezone(UTC)
    is_to_come = schedule.status == "scheduled"
    return ScheduleBody(
        status=schedule.status,
        start_at=wire_time(at),
        uuid=schedule.id,
        campaign=Ref(schedule.campaign_id, schedule.campaign_name),
        batch=BatchRef(schedule.batch_id),
        execution_id=schedule.execution_id,
        id=schedule.id,
        name=f"{schedule.campaign_name} - {schedule.batch_id}",
        event_generator_id=None,
        topic_key=None,
        campaign_id=schedule.campaign_id,
        tag_id=schedule.tag_id,
        segment_id=None,
        in_their_zones=False,
        spread_s=0,
        per_hour=None,
        context={},
        is_test=schedule.is_test,
        time_zone="UTC",
        at=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        cron=None,
        misfire_grace_s=int(START_GRACE.total_seconds()),
        enabled=is_to_come,
        next_occurrences=[NextOccurrence(at, at.replace(tzinfo=None))] if is_to_come else [],
        updated_at=wire_time(schedule.updated_at),
        created_at=wire_time(schedule.created_at),
    )


def _draft(body: ScheduleInput) -> ScheduleDraft:
    return ScheduleDraft(
        name=body.name,
        target=_target(body),
        context=body.context,
        rule=Rule(time_zone=body.time_zone, at=body.at, cron=body.cron),
        misfire_grace_s=body.misfire_grace_s,
        enabled=body.enabled,
    )


def _target(body: ScheduleInput) -> Target:
    if body.campaign_id is not None:
        if body.event_generator_id is not None or body.topic_key is not None:
            text = "A schedule starts an event generator for a topic_key, or a campaign: say one of them."
            raise Invalid.field("/campaign_id", "two-targets", text)
        return CampaignTarget(
            campaign_id=body.campaign_id,
            audience=one_audience(body.tag_id, body.segment_id),
            in_their_zones=body.in_their_zones,
            spread_s=body.spread_s,
            per_hour=body.per_hour,
        )
    if body.event_generator_id is None or body.topic_key is None:
        missing = "topic_key" if body.event_generator_id is not None else "event_generator_id"
        text = "Say what the schedule starts: an event_generator_id and a topic_key, or a campaign_id."
        raise Invalid.field(f"/{missing}", "no-target", text)
    paced = ("tag_id", "segment_id", "in_their_zones", "spread_s", "per_hour")
    if (said := next((name for name in paced if getattr(body, name)), None)) is not None:
        text = "Audience and pace are those of a campaign; an event generator is run for its topic at once."
        raise Invalid.field(f"/{said}", "of-a-campaign", text)
    return GeneratorTarget(body.event_generator_id, body.topic_key)
