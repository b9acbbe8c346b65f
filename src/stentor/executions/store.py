"""Executions, slices and planned sends in the database."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from stentor.campaigns.model import Publication, PublishedContent
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import place_in
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, Lane, SendState
from stentor.executions import partner_runs
from stentor.executions.gate import pass_alone
from stentor.executions.model import (
    AudienceTable,
    ClaimedSlice,
    ErrorCode,
    Execution,
    ExecutionFilter,
    Origin,
    PlannedRoute,
    QueuedExecution,
    VerdictCount,
)
from stentor.executions.slicing import Slice, chunk_keys
from stentor.guard.holdout import holdout_threshold
from stentor.queue.floors import Floors


class Sql(QuerySet, file="queries.sql", package=__package__):
    next_lanes: Statement
    claim_queued: Statement
    floors: Statement
    claim_slice: Statement
    await_cast: Statement
    anything_uncast: Statement
    claim_uncast: Statement
    cast_alone: Statement
    hold_uncast: Statement
    is_uncast: Statement
    cast_made: Statement
    cast_at: Statement
    insert_slices: Statement
    start_planning: Statement
    slice_planned: Statement
    advance_planning: Statement
    publish_small: Statement
    fail: Statement
    insert_chunks: Statement
    start_due: Statement
    fail_expired: Statement
    wake_expired: Statement
    hasten_expired: Statement
    hasten_over: Statement
    find: Statement
    origin: Statement
    page: Statement
    contexts: Statement
    pause: Statement
    resume: Statement
    cancel: Statement
    hurry: Statement


class PlanSql(QuerySet, file="plan.sql", package=__package__):
    plan_all: Mapping[str, Statement]
    plan_first: Mapping[str, Statement]
    places: Mapping[str, Statement]
    forecast: Mapping[str, Statement]
    forecast_people: Mapping[str, Statement]
    forecast_routes: Mapping[str, Statement]
    forecast_addresses: Mapping[str, Statement]
    sample_people: Mapping[str, Statement]


class WaveSql(QuerySet, file="wave.sql", package=__package__):
    planned_counts: Statement
    planned_people: Statement
    wave: Statement
    revoked: Statement
    revoke: Statement
    has_revoked: Statement


async def raise_floors(conn: Connection, floors: Floors) -> None:
    """Finds out from where on there may be executions to resolve, unless that was done a moment ago."""
    await floors.raised(lambda lanes: Sql.floors.column(conn, **lanes))


async def next_lanes(conn: Connection, floors: Floors) -> tuple[int | None, int | None]:
    """The first lane that has a slice to plan, and the first that has an execution to resolve; None where there is none."""
    ((of_slices, of_queued),) = await Sql.next_lanes.tuples(conn, **floors.up_to(Lane.BULK))
    return of_slices, of_queued


async def claim_queued(conn: Connection, floors: Floors, limit: int) -> list[QueuedExecution]:
    """Executions to resolve, first lane first, locked until the transaction ends."""
    return await Sql.claim_queued.rows(conn, QueuedExecution, limit=limit, **floors.up_to(Lane.BULK))


async def claim_slice(conn: Connection) -> ClaimedSlice | None:
    """The next slice to plan, locked until the transaction ends."""
    return await Sql.claim_slice.first(conn, ClaimedSlice)


async def await_cast(conn: Connection, queued: QueuedExecution) -> None:
    """Leaves the execution to a caster, until its people are fixed."""
    await Sql.await_cast.run(conn, execution_id=queued.id, brand_id=queued.brand_id)


async def anything_uncast(conn: Connection, *, alone: bool) -> bool:
    """Whether an execution waits for its cast, among those that take long (`alone`) or among the others."""
    return bool(await Sql.anything_uncast.value(conn, alone=alone))


async def claim_uncast(conn: Connection, limit: int) -> list[QueuedExecution]:
    """Executions that wait for their casts, first lane first, locked until the transaction ends."""
    return await Sql.claim_uncast.rows(conn, QueuedExecution, limit=limit)


async def cast_alone(conn: Connection, queued: QueuedExecution) -> None:
    """Leaves the execution to a transaction of its own, because its cast takes long."""
    await Sql.cast_alone.run(conn, execution_id=queued.id, brand_id=queued.brand_id)


async def hold_uncast(conn: Connection) -> list[QueuedExecution]:
    """The first of those whose casts take long, kept from other casters, and from nobody else, until the transaction ends."""
    held = await Sql.hold_uncast.rows(conn, QueuedExecution)
    return [each for each in held if await Sql.is_uncast.value(conn, execution_id=each.id, brand_id=each.brand_id)]


async def cast_made(
    conn: Connection, queued: QueuedExecution, topic_id: UUID | None, people: int, *, cast_at: datetime
) -> bool:
    """Lets the execution be planned, with so many people in its cast, all of them made by `cast_at`.

    False where it waits for no cast any more: it was cancelled meanwhile, or failed.
    """
    made = await Sql.cast_made.run(
        conn, execution_id=queued.id, brand_id=queued.brand_id, topic_id=topic_id, people=people, cast_at=cast_at
    )
    return made > 0


async def cast_at(conn: Connection, brand_id: UUID, execution_id: UUID) -> datetime:
    """When the people of an execution with a cast were fixed."""
    return await Sql.cast_at.value(conn, execution_id=execution_id, brand_id=brand_id)


async def start_planning(
    conn: Connection, queued: QueuedExecution, topic_id: UUID | None, slices: Sequence[Slice]
) -> None:
    """Writes the slices of a resolved execution."""
    await Sql.insert_slices.run(
        conn,
        execution_id=queued.id,
        brand_id=queued.brand_id,
        lane=queued.lane,
        numbers=[piece.number for piece in slices],
        parts_from=[piece.part_from for piece in slices],
        parts_to=[piece.part_to for piece in slices],
        chunks=slices[0].chunks,
        chunk_bases=[piece.chunk_base for piece in slices],
    )
    await Sql.start_planning.run(
        conn, execution_id=queued.id, brand_id=queued.brand_id, topic_id=topic_id, slices=len(slices)
    )


async def fail(conn: Connection, brand_id: UUID, execution_id: UUID, error_code: ErrorCode, error_message: str) -> None:
    """Ends an execution that cannot be planned."""
    await Sql.fail.run(
        conn,
        execution_id=execution_id,
        brand_id=brand_id,
        error_code=error_code,
        error_message=error_message,
    )


async def plan_sends(conn: Connection, publication: Publication, routes: Sequence[PlannedRoute]) -> None:
    """Writes one send per person and route (mode `all`) or per person (mode `first`), verdict included."""
    content = publication.content
    # Left free, the planner answered a slice of 20,000 with a hash over a million people: 10 × slower than walking both keys.
    await go_by_keys(conn)
    statements = PlanSql.plan_first if content.mode == "first" else PlanSql.plan_all
    await statements[routes[0].table].run(
        conn,
        brand_id=publication.brand_id,
        campaign_id=content.campaign_id,
        holdout=holdout_threshold(content.policy.holdout),
        heeded=heeded_flags(content),
        audience_ids=[route.audience_id for route in routes],
        masks=[route.mask for route in routes],
        **routes_as_arrays(routes),
        quiets=[None if route.quiet is None else Jsonb(route.quiet.verdicts) for route in routes],
    )


def routes_as_arrays(routes: Sequence[PlannedRoute]) -> dict[str, Any]:
    """Routes as the statements that plan them take them."""
    return {
        "execution_ids": [route.execution_id for route in routes],
        "channels": [route.channel for route in routes],
        "bits": [ChannelKind(route.channel).bit for route in routes],
        "languages": [route.languages for route in routes],
        "variant_bases": [route.variant_base for route in routes],
        "chunk_bases": [route.chunk_base for route in routes],
        "chunks": [route.chunks for route in routes],
        "parts_from": [route.part_from for route in routes],
        "parts_to": [route.part_to for route in routes],
    }


def heeded_flags(content: PublishedContent) -> int:
    """The channel flags that its guard heeds, as a mask: all of them, or none where no consent is needed."""
    return 0 if content.consent_basis == "none" else ALL_CHANNELS_MASK


async def places(
    conn: Connection, brand_id: UUID, table: AudienceTable, slices: Mapping[tuple[UUID, int, int], int]
) -> list[str]:
    """Where people are, each place once: those of (audience, first part, last part) for whom something of that mask is meant."""
    return await PlanSql.places[table].column(
        conn,
        brand_id=brand_id,
        audience_ids=[audience_id for audience_id, _, _ in slices],
        masks=list(slices.values()),
        parts_from=[part_from for _, part_from, _ in slices],
        parts_to=[part_to for _, _, part_to in slices],
    )


async def planned_counts(conn: Connection, brand_id: UUID, routes: Sequence[PlannedRoute]) -> list[VerdictCount]:
    """What `plan_sends` wrote, by chunk and verdict."""
    rows = await WaveSql.planned_counts.tuples(conn, **_written(brand_id, routes))
    return [VerdictCount(*row) for row in rows]


async def planned_people(conn: Connection, brand_id: UUID, routes: Sequence[PlannedRoute]) -> dict[UUID, int]:
    """How many people `plan_sends` meant, by execution."""
    return dict(await WaveSql.planned_people.tuples(conn, **_written(brand_id, routes)))


def _written(brand_id: UUID, routes: Sequence[PlannedRoute]) -> dict[str, object]:
    return {
        "brand_id": brand_id,
        "execution_ids": sorted({route.execution_id for route in routes}),
        "part_from": min(route.part_from for route in routes),
        "part_to": max(route.part_to for route in routes),
    }


async def insert_chunks(
    conn: Connection, brand_id: UUID, routes: Sequence[PlannedRoute], counts: Sequence[VerdictCount]
) -> None:
    """Writes a chunk row for each chunk with sends that are pending, or held until it falls due."""
    pending: Counter[tuple[UUID, int, int]] = Counter()
    for count in counts:
        if count.state in {SendState.PENDING, SendState.HELD}:
            pending[count.execution_id, count.channel, count.chunk] += count.sends
    by_channel: dict[tuple[UUID, int], list[PlannedRoute]] = defaultdict(list)
    for route in routes:
        by_channel[route.execution_id, route.channel].append(route)
    rows = []
    for (execution_id, channel, number), sends in sorted(pending.items()):
        route = next(one for one in by_channel[execution_id, channel] if one.holds_chunk(place_in(number)))
        keys = chunk_keys(route.part_from, route.part_to, route.chunks, place_in(number) - route.chunk_base)
        due_at = None if route.quiet is None else route.quiet.due_at(number, keys[0])
        rows.append((execution_id, number, route.sender_id, channel, route.lane, *keys, sends, due_at, route.pulled))
    if rows:
        columns = list(zip(*rows, strict=True))
        names = (
            "execution_ids",
            "numbers",
            "sender_ids",
            "channels",
            "lanes",
            "keys_from",
            "keys_to",
            "sends",
            "due_at",
            "pulled",
        )
        await Sql.insert_chunks.run(
            conn, brand_id=brand_id, **{name: list(column) for name, column in zip(names, columns, strict=True)}
        )


async def slice_planned(conn: Connection, piece: ClaimedSlice, people: int) -> bool:
    """Marks a slice as planned; with the last one its execution is published, and the answer is True."""
    await Sql.slice_planned.run(conn, execution_id=piece.execution_id, number=piece.number, brand_id=piece.brand_id)
    state = await Sql.advance_planning.value(
        conn, execution_id=piece.execution_id, brand_id=piece.brand_id, people=people
    )
    if state == "cancelled":
        await hurry(conn, piece.brand_id, piece.execution_id)
    # Who takes a slice found its execution being planned: it is sending since just now, or not at all.
    return state == "sending"


async def publish_small(conn: Connection, brand_id: UUID, planned: Sequence[tuple[UUID, UUID | None, int]]) -> None:
    """Publishes executions that were planned whole, given as (execution, topic, people)."""
    await Sql.publish_small.run(
        conn,
        brand_id=brand_id,
        execution_ids=[execution for execution, _, _ in planned],
        topic_ids=[topic for _, topic, _ in planned],
        people=[people for _, _, people in planned],
    )


async def start_due(conn: Connection, grace: timedelta, limit: int) -> int:
    """Queues executions whose time has come, and fails those that are later than `grace`; returns how many."""
    return await Sql.start_due.run(conn, grace=grace, limit=limit)


async def sweep_expired(conn: Connection, limit: int) -> int:
    """Fails executions of which nobody was planned by their deadline, and makes due what others left; returns how many of both."""
    failed = await Sql.fail_expired.run(conn)
    woken = await Sql.wake_expired.run(conn)
    hastened = await Sql.hasten_expired.run(conn, limit=limit) + await Sql.hasten_over.run(conn, limit=limit)
    return failed + woken + hastened


async def find(conn: Connection, brand_id: UUID, execution_id: UUID) -> Execution | None:
    """The execution, if it is this brand's."""
    return await Sql.find.first(conn, Execution, brand_id=brand_id, execution_id=execution_id)


async def origin(conn: Connection, execution_id: UUID) -> Origin | None:
    """Whose execution it is, for the holder of a signed link into it; None when it is not there any more."""
    return await Sql.origin.first(conn, Origin, execution_id=execution_id)


async def pause(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Pauses the execution; False when it is paused already, over, or not there."""
    return await Sql.pause.run(conn, brand_id=brand_id, execution_id=execution_id) == 1


async def resume(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Lets the execution go on; False when it is not paused."""
    return await Sql.resume.run(conn, brand_id=brand_id, execution_id=execution_id) == 1


async def cancel(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Cancels the execution; False when it is over, or not there."""
    if not await Sql.cancel.run(conn, brand_id=brand_id, execution_id=execution_id):
        return False
    await partner_runs.tell_cancelled(conn, brand_id, execution_id)
    await hurry(conn, brand_id, execution_id)
    return True


async def hurry(conn: Connection, brand_id: UUID, execution_id: UUID) -> None:
    """Makes all chunks of the execution due now: what a cancelled one holds or retries later is settled at once.

    What waited to be pulled waits no more: workers skip its people.
    """
    await pass_alone(conn, execution_id)
    await Sql.hurry.run(conn, brand_id=brand_id, execution_id=execution_id)


async def page(
    conn: Connection, brand_id: UUID, before: UUID | None, limit: int, narrowed: ExecutionFilter
) -> list[Execution]:
    """A brand's executions, newest first, from `before` on."""
    return await Sql.page.rows(
        conn,
        Execution,
        brand_id=brand_id,
        before=before,
        limit=limit,
        states=None if narrowed.states is None else list(narrowed.states),
        campaign_id=narrowed.campaign_id,
        triggered_by=narrowed.triggered_by,
    )
