"""The people of an execution: what became of each, and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, cast
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.model import PartnerContent
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.errors import Invalid
from stentor.executions.explaining import Check, Explanation
from stentor.integrations.pulls.model import PullTrace, Revocation
from stentor.report.recipients import RecipientFilter, RecipientRow

recipients = group_noun("recipients", "The people of an execution: what became of each, and why.")

_LONGEST_REASON = max(len(reason.label) for reason in Reason)

SendStateName = Literal["pending", "held", "handed_over", "skipped", "failed", "unknown"]


ReasonName = Annotated[str, Meta(max_length=_LONGEST_REASON, description="Why, as `suppressed` or `no_address`.")]


class RecipientQuery(ListQuery, frozen=True, kw_only=True):
    """Which people are listed."""

    state: SendStateName | None = None
    reason: ReasonName | None = None
    channel: ChannelName | None = None


class Recipient(msgspec.Struct, frozen=True):
    """One person on one channel, and what became of it."""

    external_id: str
    channel: ChannelName
    state: SendStateName
    reason: Annotated[str, Meta(description="Empty for what went out.")]
    tries: int
    doubts: Annotated[int, Meta(description="How many of the tries were perhaps accepted: their reply was lost.")]
    decided_at: datetime
    partner_channel: Annotated[
        int | None, Meta(description="The number of the partner channel whose service sends it; null for what we send.")
    ]


class ProviderAnswer(msgspec.Struct, frozen=True):
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
    held_until: Annotated[datetime | None, Meta(description="When it is tried next, of a held one.")]
    tries: int
    doubts: Annotated[int, Meta(description="How many of the tries were perhaps accepted: their reply was lost.")]
    template: str
    template_version: int
    language: str
    partner: Annotated[
        PartnerContent | None,
        Meta(description="What a partner sends, that pulls whom it is for; null for what goes out from here."),
    ]
    checks: list[Check]
    answers: list[ProviderAnswer]


class Fetch(msgspec.Struct, frozen=True):
    """When a partner fetched one person. Without `asked_at` they are on its list, and nobody has fetched them yet."""

    pull_id: UUID
    channel: Annotated[int, Meta(description="The number of the partner channel.")]
    position: int
    puller: str
    frozen_at: datetime
    asked_at: datetime | None
    handed_over_at: datetime | None


class ToldRevocation(msgspec.Struct, frozen=True):
    """That a service was told that somebody must not be written to any more."""

    channel: Annotated[int, Meta(description="The number of the partner channel.")]
    number: int
    reason: str
    revoked_at: datetime


class RecipientStory(msgspec.Struct, frozen=True):
    """The whole story of one person in one execution; `outside` says why somebody was not in the audience.

    `forgotten`: what is not kept any more of the execution, as the group's retention says; empty while all of it is.
    """

    execution_id: UUID
    external_id: str
    channels: list[ChannelStory]
    outside: str
    forgotten: str
    fetched: Annotated[list[Fetch], Meta(description="By which partners, of what they fetch.")] = []
    revocations: Annotated[
        list[ToldRevocation], Meta(description="What services that had fetched them were told when they said no.")
    ] = []


@recipients.get("/executions/{execution_id:str}/recipients", scope="read")
async def list_recipients(
    request: ApiRequest, caller: Caller, execution_id: UUID, query: RecipientQuery
) -> Listing[Recipient]:
    """List an execution's people, one entry per person and channel."""
    narrowed = narrowed_to(query.state, query.reason, query.channel)
    partners = await request.services.executions.partner_channels(caller.brand_id, execution_id)

    async def fetch(after: tuple[UUID, int] | None, limit: int) -> list[RecipientRow]:
        return await request.services.executions.recipients(
            caller.brand_id, execution_id, narrowed, after=after, limit=limit
        )

    walk = Walk(fetch, lambda row: (row.customer_id, int(row.channel)), tuple[UUID, int])
    return await listing(request, query, walk, lambda row: as_recipient(row, partners))


@recipients.get("/executions/{execution_id:str}/recipients/{external_id:str}", scope="read")
async def explain_recipient(
    request: ApiRequest, caller: Caller, execution_id: UUID, external_id: str
) -> RecipientStory:
    """Explain what happened to one person, and why.

    Each check of the guard is listed in its order, with the one that objected; a `/` in the external id is sent as `%2F`.
    """
    explanation = await request.services.executions.explain(caller.brand_id, execution_id, external_id)
    pulled, customer = request.services.pulls, explanation.customer_id
    traces = await pulled.trace(caller.brand_id, execution_id, customer)
    revoked = await pulled.revoked(caller.brand_id, execution_id, customer) if traces else {}
    return _story(explanation, traces, revoked)


def narrowed_to(state: SendStateName | None, reason: ReasonName | None, channel: ChannelName | None) -> RecipientFilter:
    """What a query narrows an execution's people to. Raises Invalid for a reason that is none."""
    try:
        return RecipientFilter(
            state=None if state is None else SendState[state.upper()],
            reason=None if reason is None else Reason[reason.upper()],
            channel=None if channel is None else ChannelKind.named(channel),
        )
    except KeyError:
        reasons = ", ".join(sorted(reason.label for reason in Reason if reason.label))
        raise Invalid.field(
            "/reason", "unknown-reason", f"There is no reason {reason!r}. There are {reasons}."
        ) from None


def state_name(state: SendState) -> SendStateName:
    """The state's name."""
    return cast("SendStateName", state.label)


def as_recipient(row: RecipientRow, partners: Mapping[tuple[ChannelKind, int], int]) -> Recipient:
    """The row as a list shows it; `partners` are those of its execution."""
    return Recipient(
        row.external_id,
        name_of(row.channel),
        state_name(row.state),
        row.reason.label,
        row.tries,
        row.doubts,
        row.decided_at,
        partners.get((row.channel, row.variant)),
    )


def _story(explanation: Explanation, traces: Sequence[PullTrace], revoked: Mapping[int, Revocation]) -> RecipientStory:
    return RecipientStory(
        explanation.execution_id,
        explanation.external_id,
        [
            ChannelStory(
                channel=name_of(ChannelKind.named(one.channel)),
                state=cast("SendStateName", one.state),
                reason=one.reason,
                decided_at=one.decided_at,
                held_until=one.held_until,
                tries=one.tries,
                doubts=one.doubts,
                template=one.template,
                template_version=one.template_version,
                language=one.language,
                partner=one.partner,
                checks=one.checks,
                answers=[
                    ProviderAnswer(answer.kind, answer.at, answer.sender_id, answer.answer) for answer in one.answers
                ],
            )
            for one in explanation.channels
        ],
        explanation.outside,
        explanation.forgotten,
        [
            Fetch(
                one.pull_id,
                one.channel_number,
                one.position,
                one.puller,
                one.frozen_at,
                one.asked_at,
                one.handed_over_at,
            )
            for one in traces
        ],
        [ToldRevocation(channel, one.number, one.reason.label, one.at) for channel, one in revoked.items()],
    )
