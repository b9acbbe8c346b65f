"""What partners keep in step with us: templates, apps, promotions, and how people may be written to."""

from typing import Annotated

from msgspec import Meta

from stentor.api.wire.classic.calls import Call
from stentor.api.wire.classic.reading import Answer, Input, Name, Number, Query, text_of
from stentor.api.wire.classic.registry import Category
from stentor.channels.partners.model import (
    ITEMS_MAX,
    AppKey,
    NewApp,
    NewTemplate,
    PartnerTemplate,
    TemplateKey,
)
from stentor.errors import Invalid, NotFound
from stentor.integrations.preferences import PREFERRED_MAX
from stentor.integrations.promotions import Promotion

integrations = Category("integrations")

_PREFERENCES_BYTES_MAX = 16 * 1024 * 1024


class OfChannel(Query, frozen=True, kw_only=True):
    """Which channel is meant."""

    channel_id: Number


class OfTemplate(OfChannel, frozen=True, kw_only=True):
    """Which template is meant, or all of the channel's."""

    template_id: Number | None = None


class TemplateInput(Input, frozen=True, kw_only=True):
    """A template that can be chosen from now on, or another name for one."""

    template_id: Number
    template_name: str
    app_id: Name | None = None


class TemplateInputKey(Input, frozen=True, kw_only=True):
    """A template of any channel."""

    channel_id: Number
    template_id: Number


class AppInput(Input, frozen=True, kw_only=True):
    """An app that can be chosen from now on, or another name for one."""

    app_id: Name
    app_name: str


class AppInputKey(Input, frozen=True, kw_only=True):
    """An app of any channel."""

    channel_id: Number
    app_id: Name


class PromotionInput(Input, frozen=True, kw_only=True):
    """A promo code that can be chosen from now on, or another name for one."""

    promo_code: Name
    promotion_name: str


class PromotionKey(Input, frozen=True, kw_only=True):
    """A promo code."""

    promo_code: Name


class PreferenceInput(Input, frozen=True, kw_only=True):
    """How some people may be written to on a channel."""

    channel_id: Number
    customer_ids: Annotated[list[Name], Meta(max_length=PREFERRED_MAX)]
    communication_mode: Number
    app_id: Name | None = None


class TemplateBody(Answer, frozen=True, kw_only=True):
    template_id: int
    template_name: str


class TemplateDetails(Answer, frozen=True, kw_only=True):
    """What is known of a template's content, which lies with the partner: the name and address that the brand writes from."""

    template_name: str
    template_content: str
    template_attributes: tuple[str, str, str]


class AppBody(Answer, frozen=True, kw_only=True):
    app_id: str
    app_name: str


class PromotionBody(Answer, frozen=True, kw_only=True):
    promo_code: str
    promotion_name: str


@integrations.post("AddChannelTemplates", items_max=ITEMS_MAX)
async def add_channel_templates(call: Call, query: OfChannel, body: list[TemplateInput]) -> None:
    """Adds templates, or renames those that are there: all of them or none."""
    check_own(call, query.channel_id)
    templates = [
        NewTemplate(item.template_id, item.template_name, None if item.app_id is None else text_of(item.app_id))
        for item in body
    ]
    await call.services.partner_content.add_templates(call.brand.id, query.channel_id, templates)


@integrations.get("GetChannelTemplates")
async def get_channel_templates(call: Call, query: OfChannel) -> list[TemplateBody]:
    """The templates of a channel by their ids."""
    found = await _templates(call, query.channel_id)
    return [TemplateBody(template_id=one.number, template_name=one.name) for one in found]


@integrations.get("GetChannelTemplateDetails", "GetChannelTemplatesDetails")
async def get_channel_template_details(call: Call, query: OfTemplate) -> list[TemplateDetails]:
    """An array of the one template, or of all of the channel's."""
    found = await _templates(call, query.channel_id)
    settings = call.brand.settings
    attributes = (settings.from_name or call.brand.name, settings.from_address, "")
    return [
        TemplateDetails(template_name=one.name, template_content="", template_attributes=attributes)
        for one in found
        if query.template_id in {None, one.number}
    ]


@integrations.post("DeleteChannelTemplates", items_max=ITEMS_MAX)
async def delete_channel_templates(call: Call, body: list[TemplateInputKey]) -> None:
    """Deletes templates; those that there are not, or that are another partner's, are left as they are."""
    keys = [TemplateKey(item.channel_id, item.template_id) for item in body if call.client.executes(item.channel_id)]
    if keys:
        await call.services.partner_content.delete_templates(call.brand.id, keys)


@integrations.post("AddChannelApps", items_max=ITEMS_MAX)
async def add_channel_apps(call: Call, query: OfChannel, body: list[AppInput]) -> None:
    """Adds apps, or renames those that are there: all of them or none."""
    check_own(call, query.channel_id)
    apps = [NewApp(text_of(item.app_id), item.app_name) for item in body]
    await call.services.partner_content.add_apps(call.brand.id, query.channel_id, apps)


@integrations.get("GetChannelApps")
async def get_channel_apps(call: Call, query: OfChannel) -> list[AppBody]:
    """The apps of a channel by their ids."""
    if not call.client.executes(query.channel_id):
        return []
    try:
        found = await call.services.partner_content.apps(call.brand.id, query.channel_id)
    except NotFound:
        return []
    return [AppBody(app_id=one.app_id, app_name=one.name) for one in found]


@integrations.post("DeleteChannelApps", items_max=ITEMS_MAX)
async def delete_channel_apps(call: Call, body: list[AppInputKey]) -> None:
    """Deletes apps; those that there are not, or that are another partner's, are left as they are."""
    keys = [AppKey(item.channel_id, text_of(item.app_id)) for item in body if call.client.executes(item.channel_id)]
    if keys:
        await call.services.partner_content.delete_apps(call.brand.id, keys)


@integrations.post("AddPromotions", items_max=ITEMS_MAX)
async def add_promotions(call: Call, body: list[PromotionInput]) -> None:
    """Adds promo codes, or renames those that are there: all of them or none."""
    said = [Promotion(text_of(item.promo_code), item.promotion_name) for item in body]
    await call.services.promotions.add(call.brand.id, said)


@integrations.get("GetPromotions")
async def get_promotions(call: Call) -> list[PromotionBody]:
    """The brand's promo codes."""
    found = await call.services.promotions.all(call.brand.id)
    return [PromotionBody(promo_code=one.code, promotion_name=one.name) for one in found]


@integrations.post("DeletePromotions", items_max=ITEMS_MAX)
async def delete_promotions(call: Call, body: list[PromotionKey]) -> None:
    """Deletes promo codes; those that there are not are left out."""
    await call.services.promotions.delete(call.brand.id, [text_of(item.promo_code) for item in body])


@integrations.post("SetCustomerChannelPreference", body_bytes_max=_PREFERENCES_BYTES_MAX)
async def set_customer_channel_preference(call: Call, body: PreferenceInput) -> None:
    """Lets people be written to on a channel, or not: 0 takes an agreement back, 1 agrees, 2 refuses."""
    check_own(call, body.channel_id)
    channel = await call.services.partner_channels.get(call.brand.id, body.channel_id)
    await call.services.partner_preferences.set(
        call.brand.id,
        channel.channel,
        [text_of(each) for each in body.customer_ids],
        mode=body.communication_mode,
        actor=call.client.label,
    )


def check_own(call: Call, number: int) -> None:
    """Raises Invalid, in the same words for a channel that there is not and for another partner's."""
    if not call.client.executes(number):
        raise Invalid.field(
            "/ChannelID", "unknown-channel", f"ChannelID {number} is no channel that this client executes."
        )


async def _templates(call: Call, number: int) -> list[PartnerTemplate]:
    """None of a channel that there is not, or that is another partner's."""
    if not call.client.executes(number):
        return []
    try:
        return await call.services.partner_content.all_templates(call.brand.id, number)
    except NotFound:
        return []
