"""Previews of templates: what a message would say to somebody, saved or not."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.channels import ChannelName
from stentor.api.request import ApiRequest, Caller
from stentor.api.templates import templates
from stentor.campaigns.content import PARTS_MAX
from stentor.campaigns.previews import Sample, TemplatePreview
from stentor.domain.locale import LOCALE_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import TooLarge, Unprocessable

Person = Annotated[
    dict[str, Any], Meta(description="System fields and attributes side by side, as `first_name` or `locale`.")
]


class PreviewInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For whom, and on what occasion."""

    customer: Person = {}
    context: dict[str, Any] = {}
    language: Annotated[str, Meta(max_length=LOCALE_CHARS_MAX)] | None = None


class DraftPreviewInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts that are not saved yet, for whom, and on what occasion."""

    channel: ChannelName
    parts: Annotated[dict[str, str], Meta(max_length=PARTS_MAX)]
    customer: Person = {}
    context: dict[str, Any] = {}


_SAMPLE = {"customer": {"first_name": "Aino"}, "context": {"match_name": "Reds vs Blues"}}


@templates.post(
    "/templates/{template_id:str}/preview",
    scope="read",
    idempotent=False,
    problems=[TooLarge, Unprocessable],
    example=_SAMPLE,
)
async def preview_template(
    request: ApiRequest, caller: Caller, template_id: UUID, body: PreviewInput
) -> TemplatePreview:
    """Preview a template for a sample of a customer and a context.

    `blanks` names what printed nothing; `problem` says why the message could not be sent like this.
    """
    sample = Sample(body.customer, body.context)
    return await request.services.previews.of_template(caller.brand_id, template_id, sample, language=body.language)


@templates.post(
    "/template-previews",
    scope="read",
    idempotent=False,
    problems=[TooLarge, Unprocessable],
    example={"channel": "sms", "parts": {"text": "{{ context.match_name }} starts soon"}, **_SAMPLE},
)
async def preview_draft(request: ApiRequest, caller: Caller, body: DraftPreviewInput) -> TemplatePreview:
    """Preview parts that are not saved yet."""
    channel, sample = ChannelKind.named(body.channel), Sample(body.customer, body.context)
    return await request.services.previews.of_parts(caller.brand_id, channel, body.parts, sample)
