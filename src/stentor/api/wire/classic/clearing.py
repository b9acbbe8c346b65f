"""Campaigns that are cleared person by person, and whom those were for that were cancelled."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated

from msgspec import Meta

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.customers import customers
from stentor.api.wire.classic.integrations import integrations
from stentor.api.wire.classic.listing import Paged, stable_page
from stentor.api.wire.classic.reading import Answer, Input, Name, Number, text_of
from stentor.integrations.clearance.service import TOLD_MAX
from stentor.integrations.marks import Mark

_CLEARED_BYTES_MAX = 4 * 1024 * 1024


class OfRun(Paged, frozen=True, kw_only=True):
    """Which campaign is meant."""

    campaign_id: Number


class MeantCustomer(Answer, frozen=True, kw_only=True):
    customer_id: str


class Cleared(Input, frozen=True, kw_only=True):
    """Whether one person is cleared."""

    customer_id: Name
    status: bool


class ClearedInput(Input, frozen=True, kw_only=True):
    """Who is cleared for a campaign. When that was decided is not read: what comes last counts."""

    campaign_id: Number
    promos_updated: Annotated[list[Cleared], Meta(max_length=TOLD_MAX)]


@customers.get("GetProcessedCampaignCustomers")
async def get_processed_campaign_customers(call: Call, query: OfRun) -> AsyncGenerator[list[MeantCustomer], None]:
    """Whom a campaign is for that has to be cleared; nobody of any other."""
    return _told(call, "processed", query, call.services.clearances.processed)


@customers.get("GetCanceledCampaignCustomers")
async def get_canceled_campaign_customers(call: Call, query: OfRun) -> AsyncGenerator[list[MeantCustomer], None]:
    """Whom a campaign was for, for two hours after it was cancelled; nobody of any other."""
    return _told(call, "cancelled", query, call.services.clearances.cancelled)


@integrations.post("UpdateCustomerPromotionStatus", body_bytes_max=_CLEARED_BYTES_MAX)
async def update_customer_promotion_status(call: Call, body: ClearedInput) -> None:
    """Clears people for a campaign, or takes that back; of whom nothing is told, is not cleared."""
    cleared = {text_of(one.customer_id): one.status for one in body.promos_updated}
    await call.services.clearances.tell(call.client, body.campaign_id, cleared)


async def _told(
    call: Call, function: str, query: OfRun, people: Callable[..., AsyncGenerator[list[str], None]]
) -> AsyncGenerator[list[MeantCustomer], None]:
    def behind(after: Mark | None) -> AsyncGenerator[list[str], None]:
        return people(call.client, query.campaign_id, after=None if after is None else after.external_id)

    page = stable_page(call, function, query, behind, lambda name: Mark(query.campaign_id, name))
    async with aclosing(page) as pages:
        async for names in pages:
            yield [MeantCustomer(customer_id=external_id) for external_id in names]
