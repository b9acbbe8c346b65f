"""Partner channels of a group, and the templates and apps that their services have."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.auth import live
from stentor.api.channels import ChannelName, name_of
from stentor.api.groups import group_noun
from stentor.api.paging import Listing, ListQuery, Walk, listing
from stentor.api.request import ApiRequest, Caller
from stentor.channels.partners.model import (
    APP_ID_CHARS_MAX,
    CONTENT_NAME_CHARS_MAX,
    ITEMS_MAX,
    NAME_CHARS_MAX,
    NUMBER_MAX,
    AppKey,
    NewApp,
    NewTemplate,
    PartnerApp,
    PartnerChannel,
    PartnerTemplate,
    TemplateKey,
)
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, NotFound

partner_channels = group_noun(
    "partner channels",
    "Channels that a partner executes: it pulls who gets what and when, and says which templates and apps it has. The "
    "service knows them by their numbers, as `ChannelID`, `TemplateID` and `AppID`. A campaign's route names the partner "
    "template's `id` as its `template_id`.",
)

_NUMBER_DIGITS = 10
_WHY = "A partner channel leads to real people"

Number = Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
TemplateNumber = Annotated[int, Meta(ge=0, le=NUMBER_MAX, description="The service's own, its `TemplateID`.")]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
ContentName = Annotated[str, Meta(min_length=1, max_length=CONTENT_NAME_CHARS_MAX)]
AppId = Annotated[str, Meta(min_length=1, max_length=APP_ID_CHARS_MAX, description="The service's own, its `AppID`.")]


class PartnerChannelInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A partner channel to be made."""

    name: Name
    channel: ChannelName
    number: (
        Annotated[
            Number,
            Meta(description="The service's `ChannelID`; left out, the next free one from 501 on."),
        ]
        | None
    ) = None


class PartnerChannelChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another name. The number stays."""

    name: Name


class PartnerChannelBody(msgspec.Struct, frozen=True):
    """A partner channel. `sender_id` is the listener sender that campaigns name with its templates."""

    number: int
    name: str
    channel: ChannelName
    sender_id: UUID
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, one: PartnerChannel) -> "PartnerChannelBody":
        return cls(one.number, one.name, name_of(one.channel), one.sender_id, one.created_at, one.updated_at)


class TemplateInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template that the service has."""

    number: TemplateNumber
    name: ContentName
    app_id: AppId | None = None


class TemplatesInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates that the service has; a known number gets the name and the app that are said now."""

    templates: Annotated[tuple[TemplateInput, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class PartnerTemplateBody(msgspec.Struct, frozen=True):
    """A partner template: `id` is what a campaign's route names, `number` what the service calls it."""

    id: UUID
    number: int
    name: str
    app_id: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, one: PartnerTemplate) -> "PartnerTemplateBody":
        return cls(one.id, one.number, one.name, one.app_id, one.created_at, one.updated_at)


class AppInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An app by which the service sends."""

    app_id: AppId
    name: ContentName


class AppsInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Apps by which the service sends; a known id gets the name that is said now."""

    apps: Annotated[tuple[AppInput, ...], Meta(min_length=1, max_length=ITEMS_MAX)]


class PartnerAppBody(msgspec.Struct, frozen=True):
    """An app by which the service sends."""

    app_id: str
    name: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, one: PartnerApp) -> "PartnerAppBody":
        return cls(one.app_id, one.name, one.created_at, one.updated_at)


@partner_channels.get("/partner-channels", scope="read")
async def list_partner_channels(request: ApiRequest, caller: Caller, query: ListQuery) -> Listing[PartnerChannelBody]:
    """List the group's partner channels, in the order of their numbers."""

    async def fetch(after: int | None, limit: int) -> list[PartnerChannel]:
        return await request.services.partner_channels.page(caller.brand_id, after=after or 0, limit=limit)

    return await listing(request, query, Walk(fetch, lambda one: one.number, int), PartnerChannelBody.of)


@partner_channels.post(
    "/partner-channels",
    scope="admin",
    status=201,
    problems=[Conflict],
    example={"name": "SMS house", "channel": "sms", "number": 505},
)
async def create_partner_channel(request: ApiRequest, caller: Caller, body: PartnerChannelInput) -> PartnerChannelBody:
    """Create a partner channel.

    It gets a sender of the kind `listener`. A number that was deleted comes back as what it was: for the same channel, with the
    same sender. A test key may not create one.
    """
    live(caller, _WHY)
    made = await request.services.partner_channels.create(
        caller.brand_id, body.name, ChannelKind.named(body.channel), number=body.number
    )
    return PartnerChannelBody.of(made)


@partner_channels.get("/partner-channels/{channel_number:str}", scope="read")
async def get_partner_channel(request: ApiRequest, caller: Caller, channel_number: str) -> PartnerChannelBody:
    """Show a partner channel."""
    found = await request.services.partner_channels.get(caller.brand_id, read_number(channel_number))
    return PartnerChannelBody.of(found)


@partner_channels.patch("/partner-channels/{channel_number:str}", scope="admin", example={"name": "SMS house, Espoo"})
async def rename_partner_channel(
    request: ApiRequest, caller: Caller, channel_number: str, body: PartnerChannelChanges
) -> PartnerChannelBody:
    """Rename a partner channel."""
    live(caller, _WHY)
    renamed = await request.services.partner_channels.rename(caller.brand_id, read_number(channel_number), body.name)
    return PartnerChannelBody.of(renamed)


@partner_channels.delete("/partner-channels/{channel_number:str}", scope="admin", status=204)
async def delete_partner_channel(request: ApiRequest, caller: Caller, channel_number: str) -> None:
    """Delete a partner channel, with its templates and apps.

    No client executes it any more. What was published for it and not pulled is skipped at its execution's deadline.
    """
    live(caller, _WHY)
    await request.services.partner_channels.delete(caller.brand_id, read_number(channel_number))


@partner_channels.get("/partner-channels/{channel_number:str}/templates", scope="read")
async def list_partner_templates(
    request: ApiRequest, caller: Caller, channel_number: str, query: ListQuery
) -> Listing[PartnerTemplateBody]:
    """List the templates of a partner channel, in the order of their numbers."""
    number = read_number(channel_number)

    async def fetch(after: int | None, limit: int) -> list[PartnerTemplate]:
        behind = -1 if after is None else after
        return await request.services.partner_content.templates(caller.brand_id, number, after=behind, limit=limit)

    return await listing(request, query, Walk(fetch, lambda one: one.number, int), PartnerTemplateBody.of)


@partner_channels.post(
    "/partner-channels/{channel_number:str}/templates",
    scope="write",
    status=204,
    problems=[Conflict],
    example={"templates": [{"number": 7, "name": "Welcome", "app_id": "bingo"}]},
)
async def add_partner_templates(request: ApiRequest, caller: Caller, channel_number: str, body: TemplatesInput) -> None:
    """Add or change templates of a partner channel, as its service does itself. All of them are taken, or none."""
    said = [NewTemplate(one.number, one.name, one.app_id) for one in body.templates]
    await request.services.partner_content.add_templates(caller.brand_id, read_number(channel_number), said)


@partner_channels.delete(
    "/partner-channels/{channel_number:str}/templates/{template_number:str}", scope="write", status=204
)
async def delete_partner_template(
    request: ApiRequest, caller: Caller, channel_number: str, template_number: str
) -> None:
    """Delete a template of a partner channel. What was published with it goes on; nothing new can be."""
    key = TemplateKey(read_number(channel_number), read_number(template_number))
    content = request.services.partner_content
    await content.template(caller.brand_id, key.channel_number, key.number)
    await content.delete_templates(caller.brand_id, [key])


@partner_channels.get("/partner-channels/{channel_number:str}/apps", scope="read")
async def list_partner_apps(
    request: ApiRequest, caller: Caller, channel_number: str, query: ListQuery
) -> Listing[PartnerAppBody]:
    """List the apps of a partner channel, in the order of their ids."""
    number = read_number(channel_number)

    async def fetch(after: str | None, limit: int) -> list[PartnerApp]:
        return await request.services.partner_content.apps(caller.brand_id, number, after=after or "", limit=limit)

    return await listing(request, query, Walk(fetch, lambda one: one.app_id, str), PartnerAppBody.of)


@partner_channels.post(
    "/partner-channels/{channel_number:str}/apps",
    scope="write",
    status=204,
    problems=[Conflict],
    example={"apps": [{"app_id": "bingo", "name": "Bingo"}]},
)
async def add_partner_apps(request: ApiRequest, caller: Caller, channel_number: str, body: AppsInput) -> None:
    """Add or rename apps of a partner channel, as its service does itself. All of them are taken, or none."""
    said = [NewApp(one.app_id, one.name) for one in body.apps]
    await request.services.partner_content.add_apps(caller.brand_id, read_number(channel_number), said)


@partner_channels.delete("/partner-channels/{channel_number:str}/apps/{app_id:str}", scope="write", status=204)
async def delete_partner_app(request: ApiRequest, caller: Caller, channel_number: str, app_id: str) -> None:
    """Delete an app of a partner channel."""
    content, number = request.services.partner_content, read_number(channel_number)
    await content.app(caller.brand_id, number, app_id)
    await content.delete_apps(caller.brand_id, [AppKey(number, app_id)])


def read_number(text: str) -> int:
    """The number in a path. Raises NotFound for what is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS and int(text) <= NUMBER_MAX
    if not is_number:
        raise NotFound("This is not the number of anything.")
    return int(text)
