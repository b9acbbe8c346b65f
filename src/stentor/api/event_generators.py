"""Event generators of a group: the stable handles that let an API call run a campaign."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.deduplication import FIELD_CHARS_MAX, FIELDS_MAX, WINDOW_S_MAX
from stentor.campaigns.model import Deduplication, Generator, GeneratorDraft, GeneratorType
from stentor.campaigns.naming import ID_CHARS_MAX, NAME_CHARS_MAX
from stentor.errors import Conflict, Violation

event_generators = group_noun(
    "event-generators",
    "The stable handles that let an API call run a campaign, each with the JSON Schema of its `context`. What runs is what "
    "was published last.",
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Schema = Annotated[
    dict[str, Any] | None,
    Meta(description="JSON Schema (draft 2020-12) of a call's `context`; null takes any, and fields may be blank."),
]


class DeduplicationInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls tell of the same event: the first within the window runs, the others are answered with its execution."""

    fields: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=FIELD_CHARS_MAX)], ...],
        Meta(
            min_length=1,
            max_length=FIELDS_MAX,
            description="Fields of the `context` that every call has to have, as `match_id` or `match.id`.",
        ),
    ]
    window_s: Annotated[int, Meta(ge=1, le=WINDOW_S_MAX, description="Seconds, counted from the first call.")]


class GeneratorChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of a generator that can be edited."""

    name: Name
    campaign_id: UUID
    context_schema: Schema = None
    deduplication: Annotated[
        DeduplicationInput | None, Meta(description="null: every call is an event of its own.")
    ] = None


class GeneratorInput(GeneratorChanges, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A generator to be made."""

    id: (
        Annotated[
            str, Meta(min_length=1, max_length=ID_CHARS_MAX, description="Of any shape; left out, it becomes a UUID.")
        ]
        | None
    ) = None
    type: GeneratorType = "api_triggered"


class GeneratorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A generator as it is edited, and what it runs."""

    id: str
    name: str
    type: GeneratorType
    campaign_id: UUID
    context_schema: dict[str, Any] | None
    deduplication: Deduplication | None
    published_at: datetime | None
    is_stale: Annotated[bool, Meta(description="Something was edited since it was published.")]
    created_at: datetime
    updated_at: datetime


class Published(msgspec.Struct, frozen=True):
    """A published generator, what its templates' bare names were bound to, and what may come out blank."""

    event_generator: GeneratorBody
    bindings: Annotated[dict[str, str], Meta(description="As `context.match_name` or `customer.first_name`.")]
    warnings: list[Violation]


_SCHEMA = {
    "type": "object",
    "required": ["match_name"],
    "properties": {"match_name": {"type": "string"}, "url": {"type": "string"}},
}
_EXAMPLE = {
    "name": "Match about to start",
    "campaign_id": "019ab000-0000-7000-8000-000000000002",
    "context_schema": _SCHEMA,
    "deduplication": {"fields": ["match_name"], "window_s": 600},
}


def shown(generator: Generator) -> GeneratorBody:
    """The generator as the API answers it."""
    return GeneratorBody(
        id=generator.id,
        name=generator.name,
        type=generator.type,
        campaign_id=generator.campaign_id,
        context_schema=generator.context_schema,
        deduplication=generator.deduplication,
        published_at=generator.published_at,
        is_stale=generator.is_stale,
        created_at=generator.created_at,
        updated_at=generator.updated_at,
    )


@event_generators.get("/event-generators", scope="read")
async def list_event_generators(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[GeneratorBody]:
    """List the group's event generators."""

    async def fetch(after: str | None, limit: int) -> list[Generator]:
        return await request.services.generators.page(caller.brand_id, after=after, limit=limit)

    return await listing(request, query, Walk(fetch, lambda generator: generator.id, str), shown)


@event_generators.post(
    "/event-generators", scope="write", status=201, problems=[Conflict], example={"id": "match-starts", **_EXAMPLE}
)
async def create_event_generator(request: ApiRequest, caller: Caller, body: GeneratorInput) -> GeneratorBody:
    """Create an event generator. It runs once it is published."""
    made = await request.services.generators.create(
        caller.brand_id, _draft(body), generator_id=body.id, generator_type=body.type
    )
    return shown(made)


@event_generators.get("/event-generators/{event_generator_id:str}", scope="read")
async def get_event_generator(request: ApiRequest, caller: Caller, event_generator_id: str) -> GeneratorBody:
    """Show an event generator."""
    return shown(await request.services.generators.get(caller.brand_id, event_generator_id))


@event_generators.put(
    "/event-generators/{event_generator_id:str}", scope="write", problems=[Conflict], example=_EXAMPLE
)
async def replace_event_generator(
    request: ApiRequest, caller: Caller, event_generator_id: str, body: GeneratorChanges
) -> GeneratorBody:
    """Replace an event generator. What is published goes on running until it is published again."""
    return shown(await request.services.generators.update(caller.brand_id, event_generator_id, _draft(body)))


@event_generators.delete("/event-generators/{event_generator_id:str}", scope="write", status=204)
async def delete_event_generator(request: ApiRequest, caller: Caller, event_generator_id: str) -> None:
    """Delete an event generator; executions that it started go on."""
    await request.services.generators.delete(caller.brand_id, event_generator_id)


@event_generators.post("/event-generators/{event_generator_id:str}/publish", scope="write", problems=[Conflict])
async def publish_event_generator(request: ApiRequest, caller: Caller, event_generator_id: str) -> Published:
    """Publish an event generator: calls run its campaign as it is now.

    Refused, naming field and template, when a template uses a context field that the schema does not make required and
    non-null, and that has neither a `default` nor stands inside an `if` on itself. A customer attribute without `default` is a
    warning.
    """
    result = await request.services.generators.publish(caller.brand_id, event_generator_id)
    return Published(shown(result.generator), result.bindings, list(result.warnings))


def _draft(body: GeneratorChanges) -> GeneratorDraft:
    said = body.deduplication
    return GeneratorDraft(
        name=body.name,
        campaign_id=body.campaign_id,
        context_schema=body.context_schema,
        deduplication=None if said is None else Deduplication(said.fields, said.window_s),
    )
