"""Executions of a group: what ran, how far it is, and what became of each person."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
from litestar.response import ServerSentEvent, ServerSentEventMessage
from msgspec import Meta

from stentor.api.auth import group_access
from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Conflict, Problem, Unavailable
from stentor.executions.explaining import Check, Explanation
from stentor.executions.service import Progress
from stentor.report.funnel import ChannelFunnel
from stentor.report.recipients import RecipientFilter, RecipientRow

executions = group_noun(
    "executions",
    "One run of a campaign each, from the call to the last settled message. For each channel, at all times: "
    "`audience = pending + held + handed_over + skipped + failed + unknown`.",
)

State = Literal["scheduled", "queued", "planning", "sending", "ended", "cancelled", "failed"]
SendStateName = Literal["pending", "held", "handed_over", "skipped", "failed", "unknown"]

LANES = ("transactional", "alert", "bulk")
OVER = frozenset({"ended", "cancelled", "failed"})

# How often a stream looks; what changed is sent at once, so this is the most that a page lags behind.
LOOK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0
STREAMS_MAX = 200


class ExecutionBody(msgspec.Struct, frozen=True, kw_only=True):
    """An execution and where its people stand."""

    id: UUID
    state: State
    event_generator_id: str
    topic_key: str
    context: dict[str, Any]
    lane: str
    is_test: bool
    triggered_by: str
    audience_size: Annotated[int, Meta(description="People subscribed on at least one channel, before the guard.")]
    error_code: str | None
    error_message: str | None
    created_at: datetime
    published_at: Annotated[datetime | None, Meta(description="When everybody was planned.")]
    paused_at: datetime | None
    cancelled_at: datetime | None
    ended_at: datetime | None
    channels: list[ChannelFunnel]


class RecipientQuery(ListQuery, frozen=True, kw_only=True):
    """Which people are listed."""

    state: SendStateName | None = None
    reason: Annotated[str, Meta(max_length=50, description="Why, as `suppressed` or `no_address`.")] | None = None
    channel: ChannelName | None = None


class Recipient(msgspec.Struct, frozen=True):
    """One person on one channel, and what became of it."""

    external_id: str
    channel: ChannelName
    state: SendStateName
    reason: Annotated[str, Meta(description="Empty for what went out.")]
    tries: int
    decided_at: datetime


class Answer(msgspec.Struct, frozen=True):
    """What a provider said, in its own words."""

    kind: str
    at: datetime
    sender_id: UUID | None
    answer: str


class ChannelStory(msgspec.Struct, frozen=True):
    """What became of one person on one channel, check by check."""

    channel: ChannelName
    state: SendStateName
    reason: str
    decided_at: datetime
    tries: int
    template: str
    template_version: int
    language: str
    checks: list[Check]
    answers: list[Answer]


class RecipientStory(msgspec.Struct, frozen=True):
    """The whole story of one person in one execution; `outside` says why somebody was not in the audience."""

    execution_id: UUID
    external_id: str
    channels: list[ChannelStory]
    outside: str


def shown(progress: Progress) -> ExecutionBody:
    """The execution as the API answers it."""
    execution = progress.execution
    return ExecutionBody(
        id=execution.id,
        state=cast("State", execution.state),
        event_generator_id=execution.generator_id,
        topic_key=execution.topic_key,
        context=execution.context,
        lane=LANES[execution.lane],
        is_test=execution.is_test,
        triggered_by=execution.triggered_by,
        audience_size=execution.audience_size,
        error_code=execution.error_code,
        error_message=execution.error_message,
        created_at=execution.created_at,
        published_at=execution.published_at,
        paused_at=execution.paused_at,
        cancelled_at=execution.cancelled_at,
        ended_at=execution.ended_at,
        channels=progress.channels,
    )


@executions.get("/executions", scope="read")
async def list_executions(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[ExecutionBody]:
    """List the group's executions, newest first."""

    async def fetch(before: UUID | None, limit: int) -> list[Progress]:
        return await request.services.executions.page(caller.brand_id, before=before, limit=limit)

    return await listing(request, query, Walk(fetch, lambda progress: progress.execution.id, UUID), shown)


@executions.get("/executions/{execution_id:str}", scope="read")
async def get_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Show an execution with its counts."""
    return shown(await request.services.executions.progress(caller.brand_id, execution_id))


@executions.get("/executions/{execution_id:str}/events", scope="read", media="text/event-stream")
async def watch_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ServerSentEvent:
    """Watch an execution as server-sent events.

    An event `progress` with the execution as its data comes at once and, while something changes, at most half a second after
    it did. The stream ends with the execution.
    """
    first = await request.services.executions.progress(caller.brand_id, execution_id)
    if len(request.app.state.streams) >= STREAMS_MAX:
        raise Unavailable(f"{STREAMS_MAX} streams are open already. Ask for the execution itself instead.")
    return ServerSentEvent(_watched(request, caller, first))


@executions.post("/executions/{execution_id:str}/pause", scope="write", problems=[Conflict])
async def pause_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Pause an execution: nothing more is planned or claimed within a second."""
    return shown(await request.services.executions.pause(caller.brand_id, execution_id))


@executions.post("/executions/{execution_id:str}/resume", scope="write", problems=[Conflict])
async def resume_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Let a paused execution go on."""
    return shown(await request.services.executions.resume(caller.brand_id, execution_id))


@executions.post("/executions/{execution_id:str}/cancel", scope="write", problems=[Conflict])
async def cancel_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Cancel an execution for good: who is not handed over yet is skipped as `execution_cancelled`."""
    return shown(await request.services.executions.cancel(caller.brand_id, execution_id))


@executions.get("/executions/{execution_id:str}/recipients", scope="read")
async def list_recipients(
    request: ApiRequest, caller: Caller, execution_id: UUID, query: RecipientQuery
) -> Listing[Recipient]:
    """List an execution's people, one entry per person and channel."""
    try:
        narrowed = RecipientFilter(
            state=None if query.state is None else SendState[query.state.upper()],
            reason=None if query.reason is None else Reason[query.reason.upper()],
            channel=None if query.channel is None else ChannelKind.named(query.channel),
        )
    except KeyError:
        return Listing([])

    async def fetch(after: tuple[UUID, int] | None, limit: int) -> list[RecipientRow]:
        return await request.services.executions.recipients(
            caller.brand_id, execution_id, narrowed, after=after, limit=limit
        )

    walk = Walk(fetch, lambda row: (row.customer_id, int(row.channel)), tuple[UUID, int])
    return await listing(request, query, walk, _recipient)


@executions.get("/executions/{execution_id:str}/recipients/{external_id:str}", scope="read")
async def explain_recipient(
    request: ApiRequest, caller: Caller, execution_id: UUID, external_id: str
) -> RecipientStory:
    """Explain what happened to one person, and why.

    Each check of the guard is listed in its order, with the one that objected; a `/` in the external id is sent as `%2F`.
    """
    return _story(await request.services.executions.explain(caller.brand_id, execution_id, external_id))


async def _watched(
    request: ApiRequest, caller: Caller, progress: Progress
) -> AsyncGenerator[ServerSentEventMessage, None]:
    streams: set[object] = request.app.state.streams
    own = object()
    streams.add(own)
    sent, quiet_s = None, 0.0
    try:
        while True:
            if progress != sent:
                yield ServerSentEventMessage(data=msgspec.json.encode(shown(progress)).decode(), event="progress")
                sent, quiet_s = progress, 0.0
            elif quiet_s >= KEEP_ALIVE_S:
                yield ServerSentEventMessage(comment="still here")
                quiet_s = 0.0
            if progress.execution.state in OVER or await _stops_within(request, LOOK_EVERY_S):
                return
            quiet_s += LOOK_EVERY_S
            # A stream must not outlive its key.
            await group_access(request, "read")
            progress = await request.services.executions.progress(caller.brand_id, progress.execution.id)
    except Problem as problem:
        yield ServerSentEventMessage(data=problem.detail, event="problem")
    finally:
        streams.discard(own)


async def _stops_within(request: ApiRequest, seconds: float) -> bool:
    """Waits that long, or until the server is told to stop; whether it was."""
    stopping: asyncio.Event = request.app.state.stopping
    try:
        async with asyncio.timeout(seconds):
            return await stopping.wait()
    except TimeoutError:
        return False


def _state_name(label: str) -> SendStateName:
    return cast("SendStateName", label)


def _recipient(row: RecipientRow) -> Recipient:
    return Recipient(
        row.external_id, name_of(row.channel), _state_name(row.state.label), row.reason.label, row.tries, row.decided_at
    )


def _story(explanation: Explanation) -> RecipientStory:
    return RecipientStory(
        explanation.execution_id,
        explanation.external_id,
        [
            ChannelStory(
                channel=name_of(ChannelKind.named(one.channel)),
                state=_state_name(one.state),
                reason=one.reason,
                decided_at=one.decided_at,
                tries=one.tries,
                template=one.template,
                template_version=one.template_version,
                language=one.language,
                checks=one.checks,
                answers=[Answer(answer.kind, answer.at, answer.sender_id, answer.answer) for answer in one.answers],
            )
            for one in explanation.channels
        ],
        explanation.outside,
    )
