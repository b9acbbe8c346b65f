"""Routes as they are saved: templates and senders that fit, conditions that can hold, and none that is never reached."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.audience.segments.expressions import checked
from stentor.audience.segments.naming import unknown_names
from stentor.audience.tags import held_tags
from stentor.audience.topics import known_topics
from stentor.campaigns import template_store
from stentor.campaigns.experiments import arms_of
from stentor.campaigns.known import known_campaigns
from stentor.campaigns.model import Route
from stentor.channels.partners.chosen import ChosenTemplate, channels_by_sender, chosen_templates
from stentor.channels.service import find_sender
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, Violation

ROUTES_MAX = 32
"""Who gets what is one bit for each route, and a send's number says route and language: both have room for more, editors have not."""

APP_CHARS_MAX = 200
APP_CHANNELS = frozenset({ChannelKind.PUSH, ChannelKind.EXTERNAL})

_NAMES = {"tags": held_tags, "topics": known_topics, "campaigns": known_campaigns}


def checked_routes(
    routes: Sequence[Route], pointer: str = "/routes", *, arms: Sequence[str] = ()
) -> tuple[tuple[Route, ...], list[Violation]]:
    """The routes with their conditions in their one spelling, and what is wrong with them that can be seen by themselves.

    `arms`: the names of those that the campaign's experiment has, if it has one.
    """
    violations: list[Violation] = []
    if not 1 <= len(routes) <= ROUTES_MAX:
        text = f"A campaign has 1 to {ROUTES_MAX} routes; say at least one channel and its template."
        violations.append(Violation(pointer, "routes-count", text))
    normal = []
    for index, route in enumerate(routes):
        place = f"{pointer}/{index}"
        if route.app is not None:
            violations += _app_violations(route, route.app, f"{place}/app")
        if route.arm is not None and route.arm not in arms:
            named = f"there are {', '.join(arms)}" if arms else "the campaign has no experiment"
            violations.append(Violation(f"{place}/arm", "unknown-arm", f"No arm has this name: {named}."))
        try:
            when = None if route.when is None else checked(route.when, f"{place}/when")
        except Invalid as refusal:
            violations += refusal.violations
        else:
            normal.append(msgspec.structs.replace(route, when=when))
    for arm in arms:
        if all(route.arm not in {None, arm} for route in routes):
            text = f"The arm {arm!r} has no route, so that nobody in it would get anything: give it one, or a larger holdout."
            violations.append(Violation(pointer, "arm-without-route", text))
    return tuple(normal), [*violations, *_unreachable(routes, arms, pointer)]


async def check_routes(conn: Connection, brand_id: UUID, routes: Sequence[Route], pointer: str = "/routes") -> None:
    """That all they name is there and fits; it stays there until the transaction ends. Raises Invalid, naming each place."""
    ids = {route.template_id for route in routes}
    templates = await template_store.share_templates(conn, brand_id, ids)
    # Those stay as ids even where their service deletes them: what names one is told so when it is published.
    partnered = await chosen_templates(conn, brand_id, ids - templates.keys())
    listeners = await channels_by_sender(conn, brand_id, {route.sender_id for route in routes if route.sender_id})
    violations: list[Violation] = []
    for index, route in enumerate(routes):
        place = f"{pointer}/{index}"
        if (template := partnered.get(route.template_id)) is not None:
            violations += _partner_violations(template, route, place)
        else:
            violations += _template_violations(templates, route, f"{place}/template_id")
            violations += await _sender_violations(conn, brand_id, route, f"{place}/sender_id")
            violations += _listener_violations(listeners, route, f"{place}/sender_id")
        if route.when is not None:
            violations += await unknown_names(conn, brand_id, route.when, _NAMES, f"{place}/when")
    if violations:
        raise Invalid(violations[0].message, violations=violations)


def _app_violations(route: Route, app: str, pointer: str) -> Iterator[Violation]:
    if route.channel not in APP_CHANNELS:
        text = f"Only push and external routes go out by an app; leave it out for {route.channel.label}."
        yield Violation(pointer, "no-app", text)
    elif not app.strip() or len(app) > APP_CHARS_MAX or not app.isprintable():
        text = f"The name of an app has 1 to {APP_CHARS_MAX} characters that can be seen."
        yield Violation(pointer, "invalid-app", text)


def _unreachable(routes: Sequence[Route], arms: Sequence[str], pointer: str) -> Iterator[Violation]:
    """The routes that are meant for nobody, because those before them on their channel are for everybody, in each of their arms."""
    for_everybody: dict[tuple[ChannelKind, str], int] = {}
    for index, route in enumerate(routes):
        places = [(route.channel, arm) for arm in arms_of(route.arm, arms or ("",))]
        if all(place in for_everybody for place in places):
            text = (
                f"Route {for_everybody[places[0]]} is for everybody on {route.channel.label}, so that this one is for nobody. Give "
                "that one a condition (`when`), or let it come last."
            )
            yield Violation(f"{pointer}/{index}", "unreachable-route", text)
        elif route.when is None:
            for place in places:
                for_everybody.setdefault(place, index)


def _template_violations(
    templates: Mapping[UUID, tuple[ChannelKind, int]], route: Route, pointer: str
) -> Iterator[Violation]:
    if route.template_id not in templates:
        text = f"This brand has no template {route.template_id}; create it first."
        yield Violation(pointer, "unknown-template", text)
        return
    channel, _ = templates[route.template_id]
    if channel is not route.channel:
        text = f"This template is for {channel.label}; choose one for {route.channel.label}."
        yield Violation(pointer, "wrong-channel", text)


def _partner_violations(template: ChosenTemplate, route: Route, place: str) -> Iterator[Violation]:
    named = f"TemplateID {template.number} of channel {template.channel_number}"
    if template.is_deleted:
        text = f"{named} was deleted by its service, or with its channel; choose another template."
        yield Violation(f"{place}/template_id", "unknown-template", text)
    if template.channel is not route.channel:
        text = f"{named} is for {template.channel.label}; choose one for {route.channel.label}."
        yield Violation(f"{place}/template_id", "wrong-channel", text)
    if route.sender_id not in {None, template.sender_id}:
        text = f"The service of channel {template.channel_number} sends this itself; leave the sender out."
        yield Violation(f"{place}/sender_id", "wrong-sender", text)


def _listener_violations(listeners: Mapping[UUID, int], route: Route, pointer: str) -> Iterator[Violation]:
    if route.sender_id is not None and (number := listeners.get(route.sender_id)) is not None:
        text = f"A service pulls what goes by this sender: choose a template of channel {number}, or another sender."
        yield Violation(pointer, "wrong-sender", text)


async def _sender_violations(conn: Connection, brand_id: UUID, route: Route, pointer: str) -> list[Violation]:
    if route.sender_id is None:
        return []
    sender = await find_sender(conn, brand_id, route.sender_id)
    if sender is None:
        text = f"This brand has no sender {route.sender_id}; create it, or leave it out for the channel's default."
        return [Violation(pointer, "unknown-sender", text)]
    if sender.channel is not route.channel:
        text = f"This sender is for {sender.channel.label}; choose one for {route.channel.label}."
        return [Violation(pointer, "wrong-channel", text)]
    return []
