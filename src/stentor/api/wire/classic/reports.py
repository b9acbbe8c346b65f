"""What partners report of what they carried out, and what they ask of it afterwards."""

from collections.abc import AsyncGenerator
from datetime import date

import msgspec

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.customers import customers
from stentor.api.wire.classic.integrations import integrations
from stentor.api.wire.classic.listing import Paged, stable_page
from stentor.api.wire.classic.reading import Answer, Input, Name, Number, Query, text_of
from stentor.domain.ids import customer_id
from stentor.errors import Invalid
from stentor.integrations.marks import Mark
from stentor.integrations.metrics.model import NO_TEMPLATE, TOTALS_MAX, FactKind, Interaction, Total
from stentor.integrations.runs import Run, RunQuery

_INTERACTIONS_BYTES_MAX = 8 * 1024 * 1024
_FIRST_GROUP = 1


class MetricInput(Input, frozen=True, kw_only=True):
    """How many of something there were."""

    channel_id: Number
    campaign_id: Number
    template_id: Number
    metric_id: Number
    metric_value: int


class InteractionInput(Input, frozen=True, kw_only=True):
    """Who did something on a day. An app is read and not kept: the template says by which it went."""

    campaign_id: Number
    channel_id: Number
    interaction_date: str
    event_id: Number
    customer_ids: list[Name]
    template_id: Number | None = None
    recipient_group_id: Number | None = None
    app_id: Name | None = None


class OfInteraction(Paged, frozen=True, kw_only=True):
    """Who is meant: of one campaign, or of those that went out on a day."""

    event_id: Number
    campaign_id: Number | None = None
    day: date | None = msgspec.field(name="Date", default=None)
    channel_id: Number = 0
    template_id: Number | None = None


class OfPerson(Query, frozen=True, kw_only=True):
    """Whose interactions are meant, and between which days, both included."""

    customer_id: str
    start_date: date
    end_date: date
    channel_id: Number = 0


class PersonBody(Answer, frozen=True, kw_only=True):
    customer_id: str
    campaign_id: int
    template_id: int


class InteractionBody(Answer, frozen=True, kw_only=True):
    date: str
    campaign_id: int
    recipient_group_id: int
    action_id: int
    channel_id: int
    template_id: int
    event_id: int


@integrations.post("UpdateCampaignMetrics", items_max=TOTALS_MAX)
async def update_campaign_metrics(call: Call, body: list[MetricInput]) -> None:
    """Takes totals in, all of them or none; each stands in the place of the one before, or is added, as the brand has it."""
    totals = [
        Total(
            campaign=one.campaign_id,
            channel=one.channel_id,
            template=one.template_id,
            metric=one.metric_id,
            value=one.metric_value,
        )
        for one in body
    ]
    await call.services.totals.report(call.brand, totals, channels=call.client.channels)


@integrations.post("UpdateCampaignInteractions", body_bytes_max=_INTERACTIONS_BYTES_MAX)
async def update_campaign_interactions(call: Call, body: InteractionInput) -> None:
    """Takes in who did something on a day. People whom nothing was sent to are counted and passed over."""
    said = Interaction(
        campaign=body.campaign_id,
        channel=body.channel_id,
        template=body.template_id or NO_TEMPLATE,
        event=body.event_id,
        day=_day(body.interaction_date),
        customers=[text_of(one) for one in body.customer_ids],
        group=_FIRST_GROUP if body.recipient_group_id is None else body.recipient_group_id,
    )
    await call.services.interactions.report(call.brand.id, said, actor=call.client.label, channels=call.client.channels)


@customers.get("GetCampaignInteractionCustomers")
async def get_campaign_interaction_customers(
    call: Call, query: OfInteraction
) -> AsyncGenerator[list[PersonBody], None]:
    """Who did something, each once for a campaign: of one campaign, or of those that went out on a day."""
    if query.campaign_id is None and query.day is None:
        raise Invalid.field(
            "/CampaignID", "missing", "Say which CampaignID is meant, or the Date that campaigns went out on."
        )
    try:
        kind = FactKind.of_number(query.event_id)
    except ValueError:
        raise Invalid.field(
            "/EventID", "unknown-event", f"There is no EventID {query.event_id}; there are 0 to 9."
        ) from None
    runs = await call.services.partner_runs.runs(call.client, RunQuery(number=query.campaign_id, day=query.day))

    def behind(after: Mark | None) -> AsyncGenerator[list[PersonBody], None]:
        return _people(call, query, kind, runs, after)

    return stable_page(call, "interactions", query, behind, lambda one: Mark(one.campaign_id, one.customer_id))


@customers.get("GetCustomerChannelInteractions")
async def get_customer_channel_interactions(call: Call, query: OfPerson) -> list[InteractionBody]:
    """What somebody did between two days, on one channel or on all of the client's."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    told = await call.services.reported.of_person(
        call.brand.id, query.customer_id, query.start_date, query.end_date, channels=_channels(call, query.channel_id)
    )
    return [
        InteractionBody(
            date=one.day.isoformat(),
            campaign_id=one.campaign,
            recipient_group_id=one.group,
            action_id=0 if one.campaign_id is None else numbers.get(one.campaign_id, 0),
            channel_id=one.channel,
            template_id=one.template,
            event_id=one.event,
        )
        for one in told
    ]


async def _people(
    call: Call, query: OfInteraction, kind: FactKind, runs: list[Run], mark: Mark | None
) -> AsyncGenerator[list[PersonBody], None]:
    channels = _channels(call, query.channel_id)
    for run in runs:
        if mark is not None and run.number < mark.run_number:
            continue
        is_begun = mark is not None and run.number == mark.run_number
        after = customer_id(call.brand.id, mark.external_id) if mark is not None and is_begun else None
        while page := await call.services.reported.people(
            call.brand.id, run.execution_id, kind, channels=channels, template=query.template_id, after=after
        ):
            yield [
                PersonBody(customer_id=one.external_id, campaign_id=run.number, template_id=one.template)
                for one in page
            ]
            after = page[-1].customer_id


def _channels(call: Call, channel: int) -> list[int]:
    """That channel, where it is the client's own, or for 0 all of them."""
    return [number for number in call.client.channels if channel in {0, number}]


def _day(text: str) -> date:
    """The day of a date that may have a time behind it."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise Invalid.field(
            "/InteractionDate", "date", f"{text[:40]!r} is no InteractionDate; send one like 2026-11-20."
        ) from None
