"""Events of customers: what happened to them, told by the group's own systems."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.request import ApiRequest, Caller
from stentor.api.strict_json import below
from stentor.audience.customer_events import EVENT_ID_CHARS_MAX, EVENT_NAME_CHARS_MAX, EVENTS_MAX, Told
from stentor.errors import Invalid

customer_events = group_noun(
    "events",
    "What happened to customers, as your own systems tell it: ordered, logged in. Conditions of segments count them. They are "
    "kept as long as history is.",
)


class EventInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event."""

    external_id: Annotated[str, Meta(description="Your own id of the customer it happened to.")]
    name: Annotated[str, Meta(min_length=1, max_length=EVENT_NAME_CHARS_MAX)]
    at: Annotated[datetime, Meta(tz=True, description="When it happened, with an offset.")]
    id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=EVENT_ID_CHARS_MAX,
                description="Your own id of it: the same customer, name, time and id are one event, however often told.",
            ),
        ]
        | None
    ) = None
    properties: Annotated[dict[str, Any], Meta(description="What conditions may ask of it; at most 8 KiB.")] = {}


class EventsInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 events."""

    events: Annotated[list[EventInput], Meta(min_length=1, max_length=EVENTS_MAX)]


class EventsResult(msgspec.Struct, frozen=True):
    """How many were taken, and how many of those were not known before."""

    taken: int
    added: int


_EXAMPLE = {
    "external_id": "crm-77",
    "name": "order",
    "at": "2026-11-20T09:30:00Z",
    "id": "order-1042",
    "properties": {"total": 59.9, "items": ["scarf", "ticket"]},
}


@customer_events.post("/events", scope="write", example={"events": [_EXAMPLE]})
async def tell_events(request: ApiRequest, caller: Caller, body: EventsInput) -> EventsResult:
    """Tell of up to 1,000 events: all of them are taken or none.

    Telling an event again that has an `id` changes nothing. A new one whose name is the id of a published event generator of the
    type `event` runs its campaign for the person, where a partner sends it; told with a test key, in the sandbox.
    """
    told = [
        Told(external_id=one.external_id, name=one.name, at=one.at, id=one.id, properties=one.properties)
        for one in body.events
    ]
    try:
        added = await request.services.customer_events.tell(caller.brand_id, told, is_test=caller.principal.is_test)
    except Invalid as error:
        raise below("/events", error) from None
    return EventsResult(len(told), added)
