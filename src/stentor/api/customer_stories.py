"""What happened to a customer, and whether they may be written to now: the person page of the console, for programs."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName, name_of
from stentor.api.customers import customers
from stentor.api.paging import Listing, ListQuery, searched_listing
from stentor.api.recipients import ProviderAnswer, SendStateName, state_name
from stentor.api.request import ApiRequest, Caller
from stentor.api.subscriptions import ConsentBody, consent_shown
from stentor.errors import Unavailable
from stentor.executions.reaching import CapLeft, OptOutFound, Reach
from stentor.executions.timeline import Position, TimelineEntry, TimelineRun


class SendBody(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on one channel of a run, and what was answered, oldest first."""

    channel: ChannelName
    state: SendStateName
    reason: Annotated[str, Meta(description="Why not, or not yet; empty for what went out.")]
    tries: int
    decided_at: datetime
    held_until: Annotated[datetime | None, Meta(description="When it is tried next, of a held one.")]
    answers: list[ProviderAnswer]


class StepDueBody(msgspec.Struct, frozen=True):
    """When the person falls due for a step of the run, or fell due."""

    step: int
    due_at: datetime


class RunOfPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A run that meant the person."""

    execution_id: UUID
    campaign_id: UUID
    campaign: str
    state: str
    is_test: bool
    step: Annotated[int, Meta(description="Which step of its campaign it is, 0 for the first.")]
    event_generator_id: str
    topic_key: str
    sends: list[SendBody]
    steps_due: list[StepDueBody]


class EventOfPerson(msgspec.Struct, frozen=True):
    """What a caller told of the person."""

    name: str
    properties: dict[str, Any]


class TimelineBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: `run`, `consent` or `event`, whichever `kind` says; the other two are null."""

    kind: Literal["run", "consent", "event"]
    at: Annotated[datetime, Meta(description="Of a run, when it was started, whenever it reached the person.")]
    external_id: Annotated[str, Meta(description="Under which it is kept: of somebody merged, the id of then.")]
    run: RunOfPerson | None
    consent: ConsentBody | None
    event: EventOfPerson | None


class ClockBody(msgspec.Struct, frozen=True):
    """What a clock shows where the person may be, without its zone."""

    time_zone: str
    local: str


class ChannelReachBody(msgspec.Struct, frozen=True):
    """Whether the person may be written to on a channel now."""

    channel: ChannelName
    may_be_written_to: bool
    reason: Annotated[str, Meta(description="Why not, or not yet; empty where they may.")]
    until: Annotated[datetime | None, Meta(description="Then it is asked again; null for good.")]


class CapBody(msgspec.Struct, frozen=True, kw_only=True):
    """A cap of the group and how much of it is left; an empty scope stands for all."""

    number: Annotated[int, Meta(description="Its place in the policy, from 1.")]
    at_most: int
    per_s: int
    channels: list[ChannelName]
    topics: list[UUID]
    campaigns: list[UUID]
    tags: list[str]
    used: int
    left: int
    opens_at: Annotated[datetime | None, Meta(description="When another message is allowed, where none is left.")]


class OptOutBody(msgspec.Struct, frozen=True, kw_only=True):
    """By what an address is on an opt-out list."""

    address: str
    list_id: UUID
    list: Annotated[str, Meta(description="Empty for a list of another group.")]
    scope: str
    form: str
    cause: str
    at: Annotated[datetime | None, Meta(description="Null where it came in a file.")]
    source: str


class ReachBody(msgspec.Struct, frozen=True, kw_only=True):
    """How a customer is reached at this moment, as far as the group says; campaigns may add caps and quiet hours of their own."""

    at: datetime
    clocks: Annotated[list[ClockBody], Meta(description="Several where nobody can tell in which zone they are.")]
    zone_from: Annotated[Literal["time_zone", "phone", "group"], Meta(description="By what the zone is known.")]
    channels: list[ChannelReachBody]
    caps: list[CapBody]
    opt_outs: list[OptOutBody]


@customers.get("/customers/{external_id:str}/timeline", scope="read")
async def list_customer_timeline(
    request: ApiRequest, caller: Caller, external_id: str, query: ListQuery
) -> Listing[TimelineBody]:
    """List what happened to a customer, newest first: runs that meant them, what they chose, and what callers told of them.

    Each run says what was sent, what was not, and why; who was merged into them is told along. A page may be short, or empty,
    while `next_cursor` leads on.
    """
    customer = await request.services.customers.get(caller.brand_id, external_id)

    async def find(before: Position | None, limit: int) -> tuple[list[TimelineEntry], Position | None]:
        page = await request.services.timelines.page(caller.brand_id, customer.customer_id, before=before, limit=limit)
        return page.entries, page.before

    return await searched_listing(request, query, find, _entry, kind=Position)


@customers.get("/customers/{external_id:str}/reach", scope="read", problems=[Unavailable])
async def get_customer_reach(request: ApiRequest, caller: Caller, external_id: str) -> ReachBody:
    """Show whether a customer may be written to now: their clock, each channel, what is left of the caps, opt-out lists."""
    customer = await request.services.customers.get(caller.brand_id, external_id)
    return _reach(await request.services.reach.of(caller.brand_id, customer))


def _entry(entry: TimelineEntry) -> TimelineBody:
    return TimelineBody(
        kind=entry.kind,
        at=entry.at,
        external_id=entry.external_id,
        run=None if entry.run is None else _run(entry.id, entry.run),
        consent=None if entry.consent is None else consent_shown(entry.consent),
        event=None if entry.event is None else EventOfPerson(entry.event.name, entry.event.properties),
    )


def _run(execution_id: UUID, run: TimelineRun) -> RunOfPerson:
    return RunOfPerson(
        execution_id=execution_id,
        campaign_id=run.campaign_id,
        campaign=run.campaign,
        state=run.state,
        is_test=run.is_test,
        step=run.step,
        event_generator_id=run.generator_id,
        topic_key=run.topic_key,
        sends=[
            SendBody(
                channel=name_of(send.channel),
                state=state_name(send.state),
                reason=send.reason.label,
                tries=send.tries,
                decided_at=send.decided_at,
                held_until=send.held_until,
                answers=[ProviderAnswer(one.kind, one.at, one.sender_id, one.answer) for one in send.answers],
            )
            for send in run.sends
        ],
        steps_due=[StepDueBody(one.step, one.due_at) for one in run.waits],
    )


def _reach(reach: Reach) -> ReachBody:
    return ReachBody(
        at=reach.at,
        clocks=[ClockBody(one.time_zone, f"{one.local:%Y-%m-%dT%H:%M:%S}") for one in reach.clocks],
        zone_from=reach.zone_from,
        channels=[
            ChannelReachBody(name_of(one.channel), not one.reason.label, one.reason.label, one.until)
            for one in reach.channels
        ],
        caps=[_cap(one) for one in reach.caps],
        opt_outs=[_opt_out(one) for one in reach.opt_outs],
    )


def _cap(cap: CapLeft) -> CapBody:
    return CapBody(
        number=cap.number,
        at_most=cap.at_most,
        per_s=cap.per_s,
        channels=[name_of(one) for one in cap.channels],
        topics=cap.topics,
        campaigns=cap.campaigns,
        tags=cap.tags,
        used=cap.used,
        left=cap.left,
        opens_at=cap.opens_at,
    )


def _opt_out(one: OptOutFound) -> OptOutBody:
    return OptOutBody(
        address=one.address,
        list_id=one.list_id,
        list=one.list_name,
        scope=one.scope,
        form=one.form,
        cause=one.cause,
        at=one.at,
        source=one.source,
    )
