"""The lists of whom a client is to write to, as this family's clients page through them.

A list is frozen when `$skip` is 0 or left out, and read from there on; a page is handed over once its last byte was written.
"""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC
from uuid import UUID, uuid5

from stentor.api.spool import Spooled
from stentor.api.wire.classic.actions import action_of
from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.customers import customers
from stentor.api.wire.classic.listing import PAGE_ROWS, Paged, WithAttributes, columns_of, delimiter_of
from stentor.api.wire.classic.reading import Answer, Number
from stentor.integrations.pulls.model import Puller, Shape, Wording
from stentor.integrations.pulls.paging import Asked
from stentor.integrations.runs import RunQuery


class SendDetailsQuery(WithAttributes, frozen=True, kw_only=True):
    """Which rows of a campaign's list, and what each says of its person."""

    campaign_id: Number
    channel_id: Number


class ExecutionDetailsQuery(WithAttributes, frozen=True, kw_only=True):
    """The same; without a channel of all that the client executes."""

    campaign_id: Number
    channel_id: Number = 0


class CampaignDetailsQuery(Paged, frozen=True, kw_only=True):
    """Which rows, of all channels that the client executes, and whether each says its template."""

    campaign_id: Number
    include_template_ids: str = ""


class RevocationsQuery(Paged, frozen=True, kw_only=True):
    """Whose list is meant, and which revocations: `$skip` is the number of the last one that is known."""

    campaign_id: Number
    channel_id: Number


class RevokedBody(Answer, frozen=True, kw_only=True):
    """Somebody who must not be written to any more. Who was erased has no CustomerID; `ProfileID` is made of it and of `GroupID`."""

    number: int
    customer_id: str
    profile_id: UUID
    group_id: UUID
    reason: str
    revoked_at: str


@customers.get("GetRevokedCustomers")
async def get_revoked_customers(call: Call, query: RevocationsQuery) -> list[RevokedBody]:
    """Who of a campaign's list has said no since, by numbers from 1 on. A function of Stentor's own, which no other hub has."""
    if not call.client.executes(query.channel_id):
        return []
    found = await call.services.pulls.revocations_of_run(
        call.brand.id,
        query.campaign_id,
        query.channel_id,
        after=query.skip,
        limit=min(query.top, PAGE_ROWS),
    )
    return [
        RevokedBody(
            number=one.number,
            customer_id=one.external_id or "",
            profile_id=one.customer_id,
            group_id=call.brand.id,
            reason=one.reason.label,
            revoked_at=f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        )
        for one in found
    ]


@customers.get("GetCustomerSendDetailsByChannel")
async def get_customer_send_details_by_channel(call: Call, query: SendDetailsQuery) -> Spooled:
    """Who gets what by a channel, and when."""
    return await _page(call, query, query.campaign_id, [query.channel_id], "send_details")


@customers.get("GetCustomerExecutionDetailsByCampaign")
async def get_customer_execution_details_by_campaign(call: Call, query: ExecutionDetailsQuery) -> Spooled:
    """The same with the names of templates, of one channel or of all."""
    channels = [query.channel_id] if query.channel_id else sorted(call.client.channels)
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(number=query.campaign_id))
    action = action_of(runs[0], numbers) if runs else 0
    return await _page(call, query, query.campaign_id, channels, "execution_details", action=action)


@customers.get("GetCustomerSendDetailsByCampaign")
async def get_customer_send_details_by_campaign(call: Call, query: CampaignDetailsQuery) -> Spooled:
    """The same of all channels, without attributes."""
    with_templates = query.include_template_ids.casefold() in {"true", "1"}
    wording = Wording("campaign_details", with_templates=with_templates)
    asked = Asked(sorted(call.client.channels), query.campaign_id, query.top, query.skip, wording)
    return await _written(call, asked)


async def _page(
    call: Call, query: WithAttributes, campaign: int, channels: Sequence[int], shape: Shape, *, action: int = 0
) -> Spooled:
    # Of a channel that is not the client's own nothing is said, not even what may be pulled there.
    own = [number for number in channels if call.client.executes(number)]
    delimiter = delimiter_of(query)
    names: tuple[str, ...] = ()
    for number in own:
        names = columns_of(query, call.client.channels[number], is_older=call.is_older).names
    wording = Wording(shape, names or None, delimiter if call.is_older else None, action_number=action)
    return await _written(call, Asked(own, campaign, query.top, query.skip, wording))


async def _written(call: Call, asked: Asked) -> Spooled:
    page = await call.services.pulls.page(call.brand.id, _puller(call, asked.wording.shape), asked)
    spool = call.spool()
    await spool.write(b"[")
    is_first = True
    async with aclosing(page.pieces) as pieces:
        async for piece in pieces:
            if piece:
                await spool.write(piece if is_first else b"," + piece)
                is_first = False
    await spool.write(b"]")
    if not await page.stands():
        # Nothing has left yet of what was written here.
        spool = call.spool()
        await spool.write(b"[]")
        return Spooled(spool)
    return Spooled(spool, page.on_sent, page.on_sending)


def _puller(call: Call, shape: Shape) -> Puller:
    """Whose list it is. Each function has its own: who asks one of them anew shifts no page of what another one is reading."""
    client_id = call.client.client_id
    return Puller(client_id if shape == "send_details" else uuid5(client_id, shape), call.client.label)
