"""What of a campaign lies with outside services: nothing is rendered here, and each route says in words what is sent there."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from uuid import UUID

import msgspec

from stentor.campaigns.model import CampaignDraft, PartnerContent, PublishedVariant, Route
from stentor.channels.partners.chosen import ChosenTemplate, apps_called, chosen_templates, promo_codes_known
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation
from stentor.render.messages import PARTS

# The words are for a glance: a text message has room for so many.
_NAME_CHARS = 100


async def partner_contents(
    conn: Connection, brand_id: UUID, routes: Sequence[Route]
) -> dict[tuple[UUID, str | None], tuple[ChosenTemplate, PartnerContent]]:
    """What services send for these routes, by template and app: of those alone that name a partner template."""
    chosen = await chosen_templates(conn, brand_id, {route.template_id for route in routes})
    if not chosen:
        return {}
    apps = await apps_called(conn, brand_id, _apps_said(routes, chosen))
    return {
        (route.template_id, route.app): (template, _content(template, route.app, apps))
        for route in routes
        if (template := chosen.get(route.template_id)) is not None
    }


async def check_is_external(conn: Connection, brand_id: UUID, campaign: CampaignDraft) -> None:
    """That all which a campaign of the kind external says lies with outside services. Raises Invalid, naming each place."""
    if campaign.kind != "external":
        return
    placed = _placed(campaign, "template_id")
    chosen = await chosen_templates(conn, brand_id, {route.template_id for _, route in placed})
    text = (
        "Outside services execute a campaign of the kind external: choose one of their templates here, or another kind."
    )
    violations = [Violation(at, "own-template", text) for at, route in placed if route.template_id not in chosen]
    if violations:
        raise Invalid(text, violations=violations)


async def partner_warnings(conn: Connection, brand_id: UUID, campaign: CampaignDraft) -> tuple[Violation, ...]:
    """What the campaign names that services have not synced: perhaps it is mistyped, perhaps synced later."""
    return (
        *await _app_warnings(conn, brand_id, campaign),
        *await _promo_code_warnings(conn, brand_id, campaign.policy.promo_codes),
    )


async def _promo_code_warnings(conn: Connection, brand_id: UUID, codes: Sequence[str]) -> list[Violation]:
    known = await promo_codes_known(conn, brand_id, codes)
    return [
        Violation(
            f"/policy/promo_codes/{place}",
            "unknown-promo-code",
            f"The brand has no promotion {code!r}; services are not told of it until one adds it.",
        )
        for place, code in enumerate(codes)
        if code not in known
    ]


async def _app_warnings(conn: Connection, brand_id: UUID, campaign: CampaignDraft) -> tuple[Violation, ...]:
    """The apps of the campaign's routes that their services have not synced."""
    placed = _placed(campaign, "app")
    routes = [route for _, route in placed]
    chosen = await chosen_templates(conn, brand_id, {route.template_id for route in routes})
    known = await apps_called(conn, brand_id, _apps_said(routes, chosen))
    return tuple(
        Violation(
            pointer,
            "unknown-app",
            f"The service of channel {template.channel_number} has synced no app {route.app!r}; it gets that as its AppID.",
        )
        for pointer, route in placed
        if (template := chosen.get(route.template_id)) is not None
        and route.app is not None
        and (template.channel_number, route.app) not in known
    )


def told_in_words(channel: ChannelKind, content: PartnerContent) -> PublishedVariant:
    """What the service is to send, as a template of that channel: for the sandbox, test sends and dry runs."""
    return PublishedVariant("", _parts(channel, content, _literal))


def shown_in_words(channel: ChannelKind, content: PartnerContent) -> dict[str, str]:
    """The same as it reads."""
    return _parts(channel, content, str)


def _parts(channel: ChannelKind, content: PartnerContent, written: Callable[[str], str]) -> dict[str, str]:
    plain = f"TemplateID {content.template_number} of channel {content.channel_number}"
    named = f"{plain}: {content.template_name[:_NAME_CHARS]}"
    if content.app_id is not None:
        named += f" (app {content.app_id[:_NAME_CHARS]})"
    match channel:
        case ChannelKind.EMAIL:
            return {"subject": plain, "html": f"<p>{written(escape(named))}</p>", "text": written(named)}
        case ChannelKind.WEBHOOK:
            numbers = {"ChannelID": content.channel_number, "TemplateID": content.template_number}
            return {"body": msgspec.json.encode(numbers).decode()}
        case ChannelKind.EXTERNAL:
            return {"text": written(named)}
        case _:
            return {name: plain if name == "title" else written(named) for name in PARTS[channel].required}


def _placed(campaign: CampaignDraft, field: str) -> list[tuple[str, Route]]:
    """All routes of the campaign, each with where that field of it stands."""
    placed = [(f"/routes/{index}/{field}", route) for index, route in enumerate(campaign.routes)]
    for number, step in enumerate(campaign.steps):
        placed += [(f"/steps/{number}/routes/{index}/{field}", route) for index, route in enumerate(step.routes)]
    return placed


def _apps_said(routes: Sequence[Route], chosen: Mapping[UUID, ChosenTemplate]) -> set[tuple[int, str]]:
    return {
        (template.channel_number, route.app)
        for route in routes
        if route.app is not None and (template := chosen.get(route.template_id)) is not None
    }


def _content(template: ChosenTemplate, app: str | None, apps: Mapping[tuple[int, str], str]) -> PartnerContent:
    app_id = template.app_id if app is None else apps.get((template.channel_number, app), app)
    return PartnerContent(template.channel_number, template.number, template.name, app_id)


def _literal(text: str) -> str:
    """The text as Liquid that prints it: what a service called something is no template of ours."""
    return text.replace("{", "{{ '{' }}")
