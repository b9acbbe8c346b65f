"""Segments of a group: who is meant, said by conditions, counted live."""

import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.customers import CustomerBody
from stentor.api.customers import shown as shown_customer
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.audience.model import Customer
from stentor.audience.segments.expressions import Condition, DateTest, Expression, Group, ValueTest
from stentor.audience.segments.model import Count, Segment, SegmentPatch
from stentor.audience.segments.service import COUNT_S_MAX, NAME_CHARS_MAX
from stentor.errors import Conflict, QuotaExceeded, RateLimited

segments = group_noun(
    "segments",
    "Who is meant, said as a tree of conditions over attributes, tags, subscriptions, events and past sends. A segment is asked "
    "anew each time: whoever meets its conditions is in it.",
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]


class SegmentInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A segment to be made."""

    name: Name
    expression: Expression


class SegmentChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes to a segment; what is left out stays."""

    name: Name | UnsetType = UNSET
    expression: Expression | UnsetType = UNSET


class SegmentBody(msgspec.Struct, frozen=True, kw_only=True):
    """A segment."""

    id: UUID
    name: str
    expression: Expression
    version: Annotated[int, Meta(description="How often its expression changed, and one.")]
    created_at: datetime
    updated_at: datetime


class CountInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression to be counted without being kept."""

    expression: Expression


class CountBody(msgspec.Struct, frozen=True, kw_only=True):
    """How many people are meant, now."""

    people: Annotated[int | None, Meta(description=f"Null where counting took more than {COUNT_S_MAX:g} s.")]
    estimate: Annotated[
        int | None, Meta(description="About how many then, from a random share; null if that took too long.")
    ]
    sampled_share: Annotated[
        float, Meta(description="The share of all people that was looked at: 1 for a whole count.")
    ]
    reachable: Annotated[
        Mapping[str, int],
        Meta(
            description="How many of them can be written to on each channel, as far as it is said of the person: a valid "
            "address, no objection, no bounce, no complaint."
        ),
    ]
    took_ms: int


class UseBody(msgspec.Struct, frozen=True, kw_only=True):
    """What goes by a segment."""

    kind: Annotated[str, Meta(description="`schedule` or `campaign`.")]
    id: UUID
    name: str


class KindBody(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of condition, group or test, and what it takes."""

    name: str
    about: str
    parameters: Annotated[dict[str, Any], Meta(description="A JSON Schema for each of its fields.")]
    required: list[str]


class AttributeBody(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute that people of the group have."""

    name: str
    types: Annotated[
        Mapping[str, float], Meta(description="JSON types of its values, and the share of people of each.")
    ]
    values: Annotated[list[str], Meta(description="Texts that many have.")]
    tests: Annotated[list[str], Meta(description="The tests that can find something in it.")]


class FieldsBody(msgspec.Struct, frozen=True, kw_only=True):
    """What expressions can be made of."""

    groups: list[KindBody]
    conditions: list[KindBody]
    tests: list[KindBody]
    sampled: Annotated[int, Meta(description="How many people were looked at for what follows.")]
    attributes: list[AttributeBody]
    events: Annotated[list[str], Meta(description="Names of events that happened to them.")]


_EXAMPLE = {
    "name": "Gold in Finland",
    "expression": {
        "type": "all_of",
        "conditions": [
            {"type": "attribute", "name": "tier", "test": {"op": "is", "value": "gold"}},
            {"type": "country", "values": ["FI"]},
            {"type": "event", "name": "order", "at_least": 2, "within": {"days": 90}},
        ],
    },
}
_ANY = ("exists", "missing")
_TESTS_OF = {
    "string": ("is", "is_not", "in", "not_in", "contains", "starts_with"),
    "number": ("is", "is_not", "in", "not_in", "less", "at_most", "greater", "at_least", "between"),
    "boolean": ("is", "is_not"),
    "array": ("contains",),
}


def shown(segment: Segment) -> SegmentBody:
    """The segment as the API answers it."""
    return SegmentBody(
        id=segment.id,
        name=segment.name,
        expression=segment.expression,
        version=segment.version,
        created_at=segment.created_at,
        updated_at=segment.updated_at,
    )


def _count(count: Count) -> CountBody:
    return CountBody(**msgspec.structs.asdict(count))


@segments.get("/segments", scope="read")
async def list_segments(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[SegmentBody]:
    """List the group's segments."""

    async def fetch(after: UUID | None, limit: int) -> list[Segment]:
        return await request.services.segments.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda segment: segment.id, UUID), shown)


@segments.post("/segments", scope="write", status=201, problems=[Conflict, QuotaExceeded], example=_EXAMPLE)
async def create_segment(request: ApiRequest, caller: Caller, body: SegmentInput) -> SegmentBody:
    """Create a segment."""
    return shown(await request.services.segments.create(caller.brand_id, body.name, body.expression))


@segments.get("/segments/fields", scope="read")
async def segment_fields(request: ApiRequest, caller: Caller) -> FieldsBody:
    """Show what expressions can be made of: every kind of condition and test, and what the group's people have.

    Attributes and events are those of a random sample of at most 2,000 people.
    """
    seen = await request.services.segments.seen(caller.brand_id)
    return FieldsBody(
        groups=[_kind(kind) for kind in get_args(Group)],
        conditions=[_kind(kind) for kind in get_args(Condition)],
        tests=[_kind(kind) for kind in get_args(ValueTest)],
        sampled=seen.sampled,
        attributes=[
            AttributeBody(name=one.name, types=one.types, values=list(one.values), tests=_tests(one.types))
            for one in seen.attributes
        ],
        events=list(seen.events),
    )


@segments.post(
    "/segments:count",
    scope="read",
    idempotent=False,
    problems=[RateLimited],
    example={"expression": _EXAMPLE["expression"]},
)
async def count_expression(request: ApiRequest, caller: Caller, body: CountInput) -> CountBody:
    """Count whom an expression means, without keeping it.

    Where that takes more than 5 s the answer is an estimate, and says so.
    """
    return _count(await request.services.segments.count(caller.brand_id, body.expression))


@segments.get("/segments/{segment_id:str}", scope="read")
async def get_segment(request: ApiRequest, caller: Caller, segment_id: UUID) -> SegmentBody:
    """Show a segment."""
    return shown(await request.services.segments.get(caller.brand_id, segment_id))


@segments.patch(
    "/segments/{segment_id:str}", scope="write", problems=[Conflict], example={"name": "Gold, all countries"}
)
async def update_segment(request: ApiRequest, caller: Caller, segment_id: UUID, body: SegmentChanges) -> SegmentBody:
    """Change a segment; whatever goes by it goes by the new expression from its next start on."""
    patch = SegmentPatch(name=body.name, expression=body.expression)
    return shown(await request.services.segments.update(caller.brand_id, segment_id, patch))


@segments.delete("/segments/{segment_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_segment(request: ApiRequest, caller: Caller, segment_id: UUID) -> None:
    """Delete a segment that no schedule and no campaign goes by."""
    await request.services.segments.delete(caller.brand_id, segment_id)


@segments.get("/segments/{segment_id:str}/count", scope="read", problems=[RateLimited])
async def count_segment(request: ApiRequest, caller: Caller, segment_id: UUID) -> CountBody:
    """Count who is in a segment now, as an expression is counted."""
    return _count(await request.services.segments.count_of(caller.brand_id, segment_id))


@segments.get("/segments/{segment_id:str}/members", scope="read", problems=[RateLimited])
async def list_members(
    request: ApiRequest, caller: Caller, segment_id: UUID, query: ListQuery
) -> Listing[CustomerBody]:
    """List who is in a segment now, in no order that means anything."""

    async def fetch(after: UUID | None, limit: int) -> list[Customer]:
        return await request.services.segments.members(caller.brand_id, segment_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda customer: customer.customer_id, UUID), shown_customer)


class UsesBody(msgspec.Struct, frozen=True):
    """All that goes by a segment."""

    data: list[UseBody]


@segments.get("/segments/{segment_id:str}/uses", scope="read")
async def list_segment_uses(request: ApiRequest, caller: Caller, segment_id: UUID) -> UsesBody:
    """List the schedules and campaigns that go by a segment."""
    uses = await request.services.segments.uses(caller.brand_id, segment_id)
    return UsesBody([UseBody(kind=use.kind, id=use.id, name=use.name) for use in uses])


def _kind(kind: type[msgspec.Struct]) -> KindBody:
    schema = msgspec.json.schema_components([kind])[1][kind.__name__]
    tag = kind.__struct_config__.tag_field
    fields = {name: one for name, one in schema["properties"].items() if name != tag}
    return KindBody(
        name=str(kind.__struct_config__.tag),
        about=inspect.cleandoc(kind.__doc__ or ""),
        parameters=fields,
        required=[name for name in schema.get("required", ()) if name != tag],
    )


def _tests(types: Mapping[str, float]) -> list[str]:
    found = dict.fromkeys(_ANY)
    for kind in types:
        found |= dict.fromkeys(_TESTS_OF.get(kind, ()))
        if kind == "string":
            found |= dict.fromkeys(str(test.__struct_config__.tag) for test in get_args(DateTest))
    return list(found)
