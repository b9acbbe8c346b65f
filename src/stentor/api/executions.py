"""Executions of a group: what ran, and how far it is."""

from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.model import LaneName
from stentor.domain.vocabulary import Lane
from stentor.errors import Conflict, Unavailable
from stentor.executions.model import TRIGGER_CHARS_MAX, ErrorCode, ExecutionFilter, ExecutionState
from stentor.executions.remedies import Action, Remedy
from stentor.executions.service import Overview, Progress
from stentor.executions.steps.model import Steps
from stentor.report.funnel import ChannelFunnel
from stentor.report.reactions import ChannelReactions
from stentor.report.reconciliations import Reconciliation

executions = group_noun(
    "executions",
    "One run of a campaign each, from the call to the last settled message. For each channel, at all times: "
    "`audience = pending + held + handed_over + skipped + failed + unknown`.",
)


class ExecutionBody(msgspec.Struct, frozen=True, kw_only=True):
    """An execution and where its people stand."""

    id: UUID
    state: ExecutionState
    event_generator_id: str
    topic_key: str
    context: dict[str, Any]
    lane: LaneName
    is_test: bool
    recipients: Annotated[
        int | None, Meta(description="How many people the call named; null where a topic's subscribers are meant.")
    ]
    campaign_id: Annotated[
        UUID | None, Meta(description="The campaign, where it was run itself and not by an event generator.")
    ]
    audience: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Whom it means: `kind` and the id of a tag or a segment, or the execution whose rest it is, or which step of "
            "which run; null for a topic and for named people."
        ),
    ]
    parent_id: Annotated[
        UUID | None,
        Meta(
            description="The execution that it goes on from, as the winner of an experiment runs for the rest; of a step its run."
        ),
    ]
    step: Annotated[int, Meta(description="Which step of its campaign it is; 0 for the campaign's own routes.")]
    triggered_by: str
    request_id: Annotated[
        str, Meta(description="The `X-Request-Id` of the call that started it; empty where none did.")
    ]
    audience_size: Annotated[int, Meta(description="People who are meant on at least one channel, before the guard.")]
    error_code: ErrorCode | None
    error_message: str | None
    created_at: datetime
    start_at: Annotated[datetime | None, Meta(description="When it was to start, where that was not at once.")]
    schedule_id: Annotated[UUID | None, Meta(description="The schedule that it is an occurrence of.")]
    occurrence_at: Annotated[
        datetime | None, Meta(description="Which of its occurrences: the time that it was due at.")
    ]
    published_at: Annotated[datetime | None, Meta(description="When everybody was planned.")]
    paused_at: datetime | None
    restored_at: Annotated[
        datetime | None,
        Meta(
            description="When a backup that caught it under way was restored. It was paused then, or if it had ended, its "
            "steps were, and somebody has to choose its experiment's winner: how far it came after the backup is not known here."
        ),
    ]
    cancelled_at: datetime | None
    ended_at: datetime | None
    channels: list[ChannelFunnel]


class RemedyBody(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was ordered for the sends that had failed, or were in doubt, when it was asked for."""

    number: int
    action: Action
    channel: Annotated[ChannelName | None, Meta(description="Null: every channel.")]
    asked_by: str
    asked_at: datetime
    sends: Annotated[int, Meta(description="How many were treated until now.")]
    done_at: Annotated[datetime | None, Meta(description="Null while it is being carried out.")]


class PausedSenderBody(msgspec.Struct, frozen=True, kw_only=True):
    """A sender that lets nothing go until it is resumed."""

    name: str
    channel: ChannelName
    paused_at: datetime


class ExecutionDetail(ExecutionBody, frozen=True, kw_only=True):
    """An execution with what was ordered for it and the books of its last end."""

    to_decide: Annotated[
        int,
        Meta(description="Sends that are `unknown` because their sender's `in_doubt` is `ask`: somebody has to say."),
    ]
    remedies: Annotated[list[RemedyBody], Meta(description="Newest first; at most 100.")]
    paused_senders: Annotated[
        list[PausedSenderBody], Meta(description="Senders that somebody of it waits for, because they are paused.")
    ]
    reactions: Annotated[
        list[ChannelReactions],
        Meta(
            description="By channel, of how many people providers or partners told what; each person once. Opens are estimates: "
            "mail programs load pictures unasked."
        ),
    ]
    reconciliation: Annotated[
        Reconciliation | None, Meta(description="The books of its last end, counted from rows; null before the first.")
    ]
    run_number: Annotated[
        int | None,
        Meta(description="The CampaignID by which partners know it; null where none executes it, or not yet."),
    ]
    partner_channels: Annotated[list[int], Meta(description="The numbers of the partner channels that it goes out by.")]


def detailed(overview: Overview) -> ExecutionDetail:
    """The execution as it is answered alone."""
    body = shown(Progress(overview.execution, overview.channels))
    return ExecutionDetail(
        **msgspec.structs.asdict(body),
        to_decide=overview.to_decide,
        remedies=[_remedy(one) for one in overview.remedies],
        paused_senders=[
            PausedSenderBody(name=one.name, channel=name_of(one.channel), paused_at=one.paused_at)
            for one in overview.paused_senders
        ],
        reactions=overview.reactions,
        reconciliation=overview.reconciliation,
        run_number=None if overview.partner_run is None else overview.partner_run.number,
        partner_channels=[] if overview.partner_run is None else overview.partner_run.channels,
    )


def _remedy(remedy: Remedy) -> RemedyBody:
    return RemedyBody(
        number=remedy.number,
        action=remedy.action,
        channel=None if remedy.channel is None else name_of(remedy.channel),
        asked_by=remedy.asked_by,
        asked_at=remedy.asked_at,
        sends=remedy.sends,
        done_at=remedy.done_at,
    )


def shown(progress: Progress) -> ExecutionBody:
    """The execution as the API answers it."""
    execution = progress.execution
    return ExecutionBody(
        id=execution.id,
        state=execution.state,
        event_generator_id=execution.generator_id,
        topic_key=execution.topic_key,
        context=execution.context,
        lane=cast("LaneName", Lane(execution.lane).label),
        is_test=execution.is_test,
        recipients=execution.recipients or None,
        campaign_id=execution.campaign_id,
        audience=execution.audience,
        parent_id=execution.parent_id,
        step=execution.step,
        triggered_by=execution.triggered_by,
        request_id=execution.request_id,
        audience_size=execution.audience_size,
        error_code=execution.error_code,
        error_message=execution.error_message,
        created_at=execution.created_at,
        start_at=execution.start_at,
        schedule_id=execution.schedule_id,
        occurrence_at=execution.occurrence_at,
        published_at=execution.published_at,
        paused_at=execution.paused_at,
        restored_at=execution.restored_at,
        cancelled_at=execution.cancelled_at,
        ended_at=execution.ended_at,
        channels=progress.channels,
    )


class ExecutionQuery(ListQuery, frozen=True, kw_only=True):
    """Which executions are listed."""

    state: ExecutionState | None = None
    campaign_id: Annotated[
        UUID | None, Meta(description="Of that campaign: run itself, by its event generators, or as its steps.")
    ] = None
    triggered_by: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=TRIGGER_CHARS_MAX,
                description="A part of what `triggered_by` says, as `key 12`.",
            ),
        ]
        | None
    ) = None


@executions.get("/executions", scope="read", problems=[Unavailable])
async def list_executions(request: ApiRequest, caller: Caller, query: ExecutionQuery) -> Listing[ExecutionBody]:
    """List the group's executions, newest first.

    A list that is narrowed to few among very many is given up after 5 seconds.
    """
    narrowed = ExecutionFilter(None if query.state is None else (query.state,), query.campaign_id, query.triggered_by)

    async def fetch(before: UUID | None, limit: int) -> list[Progress]:
        return await request.services.executions.page(caller.brand_id, before=before, limit=limit, narrowed=narrowed)

    return await listing(request, query, Walk(fetch, lambda progress: progress.execution.id, UUID), shown)


@executions.get("/executions/{execution_id:str}", scope="read")
async def get_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionDetail:
    """Show an execution with its counts, what was ordered for it, and the books of its last end."""
    return detailed(await request.services.executions.overview(caller.brand_id, execution_id))


@executions.get("/executions/{execution_id:str}/steps", scope="read")
async def list_steps(request: ApiRequest, caller: Caller, execution_id: UUID) -> Steps:
    """Show the steps that follow a run: who waits for which, when somebody falls due next, who went on, and who left.

    For each step, at all times: `handed_over = waiting + went_on` and those of `exits`. Who was handed over is counted within a
    minute. A run that has ended can be paused, resumed and cancelled as long as somebody waits.
    """
    return await request.services.executions.steps(caller.brand_id, execution_id)


@executions.post("/executions/{execution_id:str}/pause", scope="write", problems=[Conflict])
async def pause_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Pause an execution: nothing more is planned or claimed within a second, and none of its steps starts.

    A test key does so for tests alone.
    """
    is_test = caller.principal.is_test
    return shown(await request.services.executions.pause(caller.brand_id, execution_id, is_test=is_test))


@executions.post("/executions/{execution_id:str}/resume", scope="write", problems=[Conflict])
async def resume_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Let a paused execution and its steps go on. A test key does so for tests alone."""
    is_test = caller.principal.is_test
    return shown(await request.services.executions.resume(caller.brand_id, execution_id, is_test=is_test))


@executions.post("/executions/{execution_id:str}/cancel", scope="write", problems=[Conflict])
async def cancel_execution(request: ApiRequest, caller: Caller, execution_id: UUID) -> ExecutionBody:
    """Cancel an execution for good: who is not handed over yet is skipped as `execution_cancelled`, and who waits for a step left.

    A test key does so for tests alone.
    """
    is_test = caller.principal.is_test
    return shown(await request.services.executions.cancel(caller.brand_id, execution_id, is_test=is_test))
