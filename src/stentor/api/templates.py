"""Templates of a group: what is said on one channel, in one or more languages."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.campaigns.content import VARIANTS_MAX
from stentor.campaigns.model import Template, TemplateContent, TemplatePatch, TemplateSummary, VersionSummary
from stentor.campaigns.naming import NAME_CHARS_MAX
from stentor.domain.locale import LOCALE_CHARS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound

templates = group_noun(
    "templates",
    "What is said on one channel, in Liquid. Names are `context.x`, `customer.x`, `brand.x`, `unsubscribe_url`, `preferences_url` and `view_url`; a bare "
    "`{{ x }}` is bound when a generator is published.",
)

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, description="Unique in the group.")]
Variants = Annotated[
    dict[str, dict[str, str]],
    Meta(
        min_length=1,
        max_length=VARIANTS_MAX,
        description="By language (BCP 47) the channel's parts. email: `subject`, `html` or `mjml`, and if wanted `preheader` and `text`; "
        "sms, whatsapp: `text`; push, web_push, in_app: `title`, `body`, and if wanted `url` and `data.…`; voice: `script`; webhook: `body`.",
    ),
]
Language = Annotated[
    str, Meta(min_length=2, max_length=LOCALE_CHARS_MAX, description="BCP 47; whom no variant fits gets this one.")
]

_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)

_EXAMPLE = {
    "name": "Match starts (email)",
    "channel": "email",
    "default_language": "en",
    "variants": {
        "en": {
            "subject": "{{ context.match_name }} starts soon",
            "html": '<p>Hi {{ customer.first_name | default: "there" }}, kick-off is near.</p>'
            '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
        }
    },
}


class TemplateInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template to be made."""

    name: Name
    channel: ChannelName
    default_language: Language
    variants: Variants


class TemplateChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a template; what is left out stays. A new `default_language` or new `variants` make a new version."""

    name: Name | UnsetType = UNSET
    default_language: Language | UnsetType = UNSET
    variants: Variants | UnsetType = UNSET
    edited_from: Annotated[
        datetime | UnsetType,
        Meta(
            description="The `updated_at` of what these changes were made of: whoever changed it since is not overwritten."
        ),
    ] = UNSET


class VersionEntry(msgspec.Struct, frozen=True):
    """A version as lists show it, without its content."""

    version: int
    languages: Annotated[tuple[str, ...], Meta(description="The default language stands first.")]
    created_at: datetime


class TemplateBody(msgspec.Struct, frozen=True):
    """A template in its newest version."""

    id: UUID
    name: str
    channel: ChannelName
    version: int
    default_language: str
    variants: dict[str, dict[str, str]]
    created_at: datetime
    updated_at: datetime


class TemplateEntry(msgspec.Struct, frozen=True):
    """A template as lists show it, without its content."""

    id: UUID
    name: str
    channel: ChannelName
    version: int
    languages: Annotated[tuple[str, ...], Meta(description="The default language stands first.")]
    created_at: datetime
    updated_at: datetime


class TemplateQuery(ListQuery, frozen=True, kw_only=True):
    """Which templates are listed."""

    channel: ChannelName | None = None


def shown(template: Template) -> TemplateBody:
    """The template as the API answers it."""
    return TemplateBody(
        id=template.id,
        name=template.name,
        channel=name_of(template.channel),
        version=template.version,
        default_language=template.content.default_language,
        variants=template.content.variants,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def listed(summary: TemplateSummary) -> TemplateEntry:
    """The template as a list shows it."""
    return TemplateEntry(
        id=summary.id,
        name=summary.name,
        channel=name_of(summary.channel),
        version=summary.version,
        languages=summary.languages,
        created_at=summary.created_at,
        updated_at=summary.updated_at,
    )


@templates.get("/templates", scope="read")
async def list_templates(request: ApiRequest, caller: Caller, query: TemplateQuery) -> Listing[TemplateEntry]:
    """List the group's templates."""
    channel = None if query.channel is None else ChannelKind.named(query.channel)

    async def fetch(after: UUID | None, limit: int) -> list[TemplateSummary]:
        return await request.services.templates.page(caller.brand_id, after=after, channel=channel, limit=limit)

    return await listing(request, query, Walk(fetch, lambda summary: summary.id, UUID), listed)


@templates.post("/templates", scope="write", status=201, problems=[Conflict], example=_EXAMPLE)
async def create_template(request: ApiRequest, caller: Caller, body: TemplateInput) -> TemplateBody:
    """Create a template.

    It is read as Liquid at once: what is no Liquid, or reads a name that does not exist, is refused with its place.
    """
    made = await request.services.templates.create(
        caller.brand_id,
        name=body.name,
        channel=ChannelKind.named(body.channel),
        content=TemplateContent(body.default_language, body.variants),
    )
    return shown(made)


@templates.get("/templates/{template_id:str}", scope="read")
async def get_template(request: ApiRequest, caller: Caller, template_id: UUID) -> TemplateBody:
    """Show a template."""
    return shown(await request.services.templates.get(caller.brand_id, template_id))


@templates.patch("/templates/{template_id:str}", scope="write", problems=[Conflict], example={"name": "Match starts"})
async def update_template(
    request: ApiRequest, caller: Caller, template_id: UUID, body: TemplateChanges
) -> TemplateBody:
    """Change a template.

    What is published keeps saying what it said; publish the generator again to let it say the new content. Whoever sends
    `edited_from` is answered with 409 where somebody else was quicker, and changes nothing. An old version comes back by sending
    what it said.
    """
    patch = TemplatePatch(
        name=None if body.name is UNSET else body.name,
        default_language=None if body.default_language is UNSET else body.default_language,
        variants=None if body.variants is UNSET else body.variants,
    )
    edited_from = None if body.edited_from is UNSET else body.edited_from
    return shown(await request.services.templates.update(caller.brand_id, template_id, patch, edited_from=edited_from))


@templates.get("/templates/{template_id:str}/versions", scope="read")
async def list_template_versions(
    request: ApiRequest, caller: Caller, template_id: UUID, query: ListQuery
) -> Listing[VersionEntry]:
    """List a template's versions.

    The newest stand first; a hundred are kept.
    """
    kept = await request.services.templates.versions(caller.brand_id, template_id)

    async def fetch(after: int | None, limit: int) -> list[VersionSummary]:
        return [one for one in kept if after is None or one.version < after][:limit]

    return await listing(
        request,
        query,
        Walk(fetch, lambda one: one.version, int),
        lambda one: VersionEntry(one.version, one.languages, one.created_at),
    )


@templates.get("/templates/{template_id:str}/versions/{version_number:str}", scope="read")
async def get_template_version(
    request: ApiRequest, caller: Caller, template_id: UUID, version_number: str
) -> TemplateBody:
    """Show a template as it was in a version.

    Its name is the one that the template has now, and `updated_at` is when that version was made.
    """
    if not _VERSION.fullmatch(version_number):
        raise NotFound("This is not the number of a version.")
    return shown(await request.services.templates.version(caller.brand_id, template_id, int(version_number)))


@templates.delete("/templates/{template_id:str}", scope="write", status=204, problems=[Conflict])
async def delete_template(request: ApiRequest, caller: Caller, template_id: UUID) -> None:
    """Delete a template that no campaign uses."""
    await request.services.templates.delete(caller.brand_id, template_id)
