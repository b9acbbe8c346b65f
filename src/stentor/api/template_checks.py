"""Checks of templates before they are published, and the fields that templates may name."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName
from stentor.api.previews import Person, templates
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.content import PARTS_MAX
from stentor.campaigns.message_checks import Level
from stentor.campaigns.naming import ID_CHARS_MAX
from stentor.campaigns.previews import Sample, TemplatePreview
from stentor.campaigns.template_fields import FieldSource
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import TooLarge

GeneratorId = Annotated[
    Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)] | None,
    Meta(description="The event generator whose schema says which fields of the context are always there."),
]


class CheckInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts, saved or not, for whom, and on what occasion."""

    channel: ChannelName
    parts: Annotated[dict[str, str], Meta(max_length=PARTS_MAX)]
    customer: Person = {}
    context: dict[str, Any] = {}
    event_generator_id: GeneratorId = None


class MessageCheckBody(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the template."""

    level: Annotated[
        Level,
        Meta(
            description="An error keeps it from being published or sent; a warning does not; `fine` tells what is well."
        ),
    ]
    code: str
    message: str
    part: Annotated[str, Meta(description="Which part it is about; empty for what is about all of it.")]
    line: Annotated[int | None, Meta(description="The line of that part, from 1, where one can be named.")]


class CheckedBody(msgspec.Struct, frozen=True):
    """What there is to say of a template, errors first."""

    checks: list[MessageCheckBody]
    preview: Annotated[TemplatePreview | None, Meta(description="Null where it cannot be shown.")]


class FieldQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose fields."""

    event_generator_id: GeneratorId = None


class FieldBody(msgspec.Struct, frozen=True, kw_only=True):
    """A field that a template may name."""

    name: str
    source: FieldSource
    type: str
    always: Annotated[bool, Meta(description="Every message has a value there.")]
    about: str


class FieldsBody(msgspec.Struct, frozen=True):
    """The fields that templates may name."""

    fields: list[FieldBody]


@templates.post(
    "/template-checks",
    scope="read",
    idempotent=False,
    problems=[TooLarge],
    example={
        "channel": "sms",
        "parts": {"text": "{{ context.match_name }} starts soon"},
        "customer": {"first_name": "Aino"},
        "context": {"match_name": "Reds vs Blues"},
    },
)
async def check_template(request: ApiRequest, caller: Caller, body: CheckInput) -> CheckedBody:
    """Check parts before they are published.

    Told are errors with their lines, fields that may be missing, the link to unsubscribe, the size of a mail, the segments of a
    text message, links that are not whole (none is fetched), pictures without alt, and a subject that comes out empty.
    """
    found = await request.services.template_checks.check(
        caller.brand_id,
        ChannelKind.named(body.channel),
        body.parts,
        Sample(body.customer, body.context),
        generator_id=body.event_generator_id,
    )
    checks = [
        MessageCheckBody(level=one.level, code=one.code, message=one.message, part=one.part, line=one.line)
        for one in found.checks
    ]
    return CheckedBody(checks, found.preview)


@templates.get("/template-fields", scope="read")
async def list_template_fields(request: ApiRequest, caller: Caller, query: FieldQuery) -> FieldsBody:
    """List the fields that templates may name.

    Those of the generator's schema stand first, where one is named. Attributes are those that a random sample of people has.
    """
    found = await request.services.template_fields.fields(caller.brand_id, generator_id=query.event_generator_id)
    return FieldsBody(
        [
            FieldBody(name=one.name, source=one.source, type=one.type, always=one.always, about=one.about)
            for one in found
        ]
    )
