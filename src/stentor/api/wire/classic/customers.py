"""Who was reached by what, and what is known of people."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import date
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from stentor.api.wire.classic.actions import (
    ONE_DAY,
    TEST_GROUP,
    action_of,
    group_of,
    last_day_of,
    runs_of_group,
)
from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.listing import Columns, Paged, WithAttributes, columns_of, stable_page, values_of
from stentor.api.wire.classic.reading import Answer, Input, Name, Number, Query, text_of
from stentor.api.wire.classic.registry import Category
from stentor.api.wire.classic.segments import OfChange
from stentor.errors import NotFound
from stentor.integrations.attributes import UPDATED_MAX, VALUES_MAX, Update
from stentor.integrations.marks import Mark
from stentor.integrations.runs import Reached, Run, RunQuery

customers = Category("customers")

Row: TypeAlias = dict[str, Any]

_UPDATES_BYTES_MAX = 8 * 1024 * 1024


class PeopleOfAction(WithAttributes, frozen=True, kw_only=True):
    recipient_group_id: Number = TEST_GROUP
    action_id: Number
    date: date


class PeopleOfGroup(WithAttributes, frozen=True, kw_only=True):
    target_group_id: int
    date: date
    channel_id: Number = 0
    include_recipient_group_id: bool = False


class PeopleOfDay(WithAttributes, frozen=True, kw_only=True):
    date: date


class PeopleOfCampaign(WithAttributes, frozen=True, kw_only=True):
    campaign_id: Number
    channel_id: Number = 0


class OfAttribute(WithAttributes, frozen=True, kw_only=True):
    changed_customer_attribute: str
    start_date: date | None = None
    end_date: date | None = None


class OfValue(Paged, frozen=True, kw_only=True):
    lifecycle_stage_id: Number | None = None
    customer_attribute: str = ""
    customer_attribute_value: str = ""


class OfCustomer(Query, frozen=True, kw_only=True):
    customer_id: str


class LastAction(Answer, frozen=True, kw_only=True):
    action_id: int
    date: str
    duration: int
    target_group_id: int


class ValueInput(Input, frozen=True, kw_only=True):
    """What one attribute becomes; null takes it away."""

    real_field_name: str
    value: Any = None


class UpdateInput(Input, frozen=True, kw_only=True):
    customer_id: Name
    attributes: Annotated[list[ValueInput], Meta(max_length=VALUES_MAX)]


class UpdatesInput(Input, frozen=True, kw_only=True):
    """Whose attributes become what, and who is told how that went."""

    customer_new_attributes_values_list: Annotated[list[UpdateInput], Meta(max_length=UPDATED_MAX)]
    callback_url: str | None = None


@customers.get("GetCustomersByAction")
async def get_customers_by_action(call: Call, query: PeopleOfAction) -> AsyncGenerator[list[Row], None]:
    """Who got an action on a day. All are in the test group, 1."""
    named = await call.services.hub_numbers.all(call.brand.id, "campaign")
    campaign = next((each.id for each in named if each.number == query.action_id), None)
    runs: list[Run] = []
    if campaign is not None and query.recipient_group_id == TEST_GROUP:
        runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date, campaign_id=campaign))
    return _rows(call, "GetCustomersByAction", query, runs, lambda one: {"CustomerID": one.external_id})


@customers.get("GetCustomerActionsByTargetGroup")
async def get_customer_actions_by_target_group(call: Call, query: PeopleOfGroup) -> AsyncGenerator[list[Row], None]:
    """Who of a target group got what on a day."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    runs = await runs_of_group(call, query.target_group_id, query.date)

    def row(one: Reached) -> Row:
        told = {"CustomerID": one.external_id, "ActionID": action_of(one.run, numbers), "ChannelID": one.channel}
        return {**told, "RecipientGroupID": TEST_GROUP} if query.include_recipient_group_id else told

    return _rows(call, "GetCustomerActionsByTargetGroup", query, runs, row, channel=query.channel_id or None)


@customers.get("GetCustomerOneTimeActionsByDate")
async def get_customer_one_time_actions_by_date(call: Call, query: PeopleOfDay) -> AsyncGenerator[list[Row], None]:
    """Who got what on a day by campaigns that are for no target group and do not recur."""
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date))
    return _rows(
        call, "GetCustomerOneTimeActionsByDate", query, list(filter(_is_one_time, runs)), await _one_time(call)
    )


@customers.get("GetCustomerOneTimeActionsByCampaign")
async def get_customer_one_time_actions_by_campaign(
    call: Call, query: PeopleOfCampaign
) -> AsyncGenerator[list[Row], None]:
    """Who got what by such a campaign."""
    runs = await call.services.partner_runs.runs(call.client, RunQuery(number=query.campaign_id))
    return _rows(
        call,
        "GetCustomerOneTimeActionsByCampaign",
        query,
        list(filter(_is_one_time, runs)),
        await _one_time(call),
        channel=query.channel_id or None,
    )


@customers.get("GetCustomerActionDetailsByDate")
async def get_customer_action_details_by_date(call: Call, query: PeopleOfDay) -> AsyncGenerator[list[Row], None]:
    """Who got what on a day."""
    runs = await call.services.partner_runs.runs(call.client, RunQuery(day=query.date))
    return _rows(call, "GetCustomerActionDetailsByDate", query, runs, await _one_time(call))


@customers.get("GetCustomersActionEndedByDate")
async def get_customers_action_ended_by_date(call: Call, query: PeopleOfDay) -> AsyncGenerator[list[Row], None]:
    """Who got what of that which was over on a day."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    groups = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(over_on=query.date))
    return _rows(
        call,
        "GetCustomersActionEndedByDate",
        query,
        runs,
        lambda one: {
            "CustomerID": one.external_id,
            "ActionID": action_of(one.run, numbers),
            "ChannelID": one.channel,
            "Date": one.run.started_at.date().isoformat(),
            "Duration": ONE_DAY,
            "TargetGroupID": group_of(one.run, groups),
        },
    )


@customers.get("GetCurrentlyTargetedCustomers")
async def get_currently_targeted_customers(call: Call, query: WithAttributes) -> AsyncGenerator[list[Row], None]:
    """Whom campaigns are for that are still going on."""
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    runs = await call.services.partner_runs.runs(call.client, RunQuery(is_going_on=True))
    return _rows(
        call,
        "GetCurrentlyTargetedCustomers",
        query,
        runs,
        lambda one: {
            "CustomerID": one.external_id,
            "CampaignID": one.run.number,
            "ActionID": action_of(one.run, numbers),
            "StartDate": one.run.started_at.date().isoformat(),
            "EndDate": last_day_of(one.run).isoformat(),
        },
        waiting=True,
    )


@customers.get("GetCustomerLastActionExecuted")
async def get_customer_last_action_executed(call: Call, query: OfCustomer) -> LastAction:
    """What somebody got last."""
    run = await call.services.partner_runs.last_of(call.client, query.customer_id)
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    groups = await call.services.hub_numbers.numbers(call.brand.id, "segment")
    return LastAction(
        action_id=action_of(run, numbers),
        date=run.started_at.date().isoformat(),
        duration=ONE_DAY,
        target_group_id=group_of(run, groups),
    )


# Segments are asked anew each time, nothing is kept of what attributes were, and nobody's worth is reckoned.
customers.empty("GetTargetGroupChangers", OfChange)
customers.empty("GetCustomerAttributeChangers", OfAttribute)
customers.empty("GetCustomerFutureValues", OfValue)


@customers.get("Attributes", of_one=True)
async def get_attributes(call: Call, id: str) -> Row:  # noqa: A002  the registry's name for what stands in the path
    """What the client may pull of one person whom it was handed, on the channels by which."""
    reached = await call.services.partner_runs.channels_of(call.client, id)
    if not reached:
        raise NotFound("Nothing reached this person.")
    one = await call.services.customers.get(call.brand.id, id)
    fields = {
        "Email": one.email,
        "Phone": one.phone,
        "PushTokens": ",".join(one.push_tokens),
        "Locale": one.locale,
        "TimeZone": one.time_zone,
    }
    names = list(dict.fromkeys(name for number in sorted(reached) for name in call.granted(number)))
    values = values_of(names, fields, one.attributes)
    return {
        "CustomerID": one.external_id,
        "Attributes": [{"RealFieldName": name, "Value": value} for name, value in zip(names, values, strict=True)],
    }


@customers.post("UpdateCustomerAttributes", body_bytes_max=_UPDATES_BYTES_MAX)
async def update_customer_attributes(call: Call, body: UpdatesInput) -> Row:
    """Writes what can be written; a callback is told what could not, and why."""
    updates = [
        Update(text_of(each.customer_id), {one.real_field_name: one.value for one in each.attributes})
        for each in body.customer_new_attributes_values_list
    ]
    request_id = await call.services.partner_attributes.update(call.client, updates, callback_url=body.callback_url)
    return {"requestId": str(request_id)}


def _rows(
    call: Call,
    function: str,
    query: WithAttributes,
    runs: Sequence[Run],
    row: Callable[[Reached], Row],
    *,
    channel: int | None = None,
    waiting: bool = False,
) -> AsyncGenerator[list[Row], None]:
    """The page of rows about whom these runs reached. Raises Invalid for attributes that may not be pulled."""
    columns = columns_of(query, call.granted(channel), is_older=call.is_older)

    def behind(after: Mark | None) -> AsyncGenerator[list[Reached], None]:
        return call.services.partner_runs.people(
            call.client, runs, channel=channel, with_attributes=bool(columns.names), waiting=waiting, after=after
        )

    async def told() -> AsyncGenerator[list[Row], None]:
        page = stable_page(call, function, query, behind, _mark)
        async with aclosing(page) as pages:
            async for page in pages:
                yield [{**row(one), **_attributes(call, columns, one)} for one in page]

    return told()


def _mark(one: Reached) -> Mark:
    return Mark(one.run.number, one.external_id, one.channel)


def _attributes(call: Call, columns: Columns, one: Reached) -> Row:
    """What was asked for; empty where it may not be pulled on the channel by which this person is reached."""
    if not columns.names:
        return {}
    granted = call.granted(one.channel)
    values = values_of(columns.names, one.fields, one.attributes)
    return columns.told([value if name in granted else "" for name, value in zip(columns.names, values, strict=True)])


def _is_one_time(run: Run) -> bool:
    return run.segment_id is None and not run.is_recurrent


async def _one_time(call: Call) -> Callable[[Reached], Row]:
    numbers = await call.services.hub_numbers.numbers(call.brand.id, "campaign")
    return lambda one: {
        "CustomerID": one.external_id,
        "RecipientGroupID": TEST_GROUP,
        "ActionID": action_of(one.run, numbers),
        "ChannelID": one.channel,
    }
