"""Connectors from the command line: the hubs for which a brand is the service."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from getpass import getpass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from stentor.cli.installation import brand_or_only, with_core
from stentor.cli.output import Exit, fail, print_json, say, table
from stentor.integrations.connector.model import (
    ATTRIBUTES,
    SECRET_CHARS_MAX,
    ChannelDraft,
    Connector,
    Draft,
    Patch,
)
from stentor.integrations.connector.service import ConnectorService
from stentor.wiring.connectors import connector_service
from stentor.wiring.core import Core, accounts

if TYPE_CHECKING:
    from stentor.integrations.connector.model import Zone

HUB_SECRET = "HUB_SECRET"  # noqa: S105  a name
"""The environment variable that a hub's password or key is read from."""


def create(
    given: Mapping[str, Any],
    name: str,
    *,
    url: str,
    channels: Iterable[str],
    username: str,
    attributes: Iterable[str],
    zone: str,
    brand: str | None,
    as_json: bool,
) -> None:
    """Makes a connector and prints it."""
    draft = Draft(
        name=name,
        url=url,
        username=username,
        secret=_secret(),
        channels=_channels(channels),
        attributes=_attributes(attributes) or dict(ATTRIBUTES),
        zone=cast("Zone", zone),
    )

    async def act(service: ConnectorService, brand_id: UUID) -> None:
        made = await service.create(brand_id, draft)
        if as_json:
            print_json(_told(made))
        else:
            say(
                f"Made the connector {made.name}. It joins its hub within seconds while `stentor serve` runs.\n"
                f"See whether the hub lets it in: stentor hub connectors check {made.id}"
            )

    _in_brand(given, brand, act)


def list_all(given: Mapping[str, Any], *, brand: str | None, as_json: bool) -> None:
    """Prints all connectors and how they stand."""

    async def act(service: ConnectorService, brand_id: UUID) -> None:
        shown = [one async for one in _all(service, brand_id)]
        if as_json:
            print_json({"connectors": [_told(one) for one in shown]})
            return
        rows = [(one.name, one.state, one.url, _when(one.pulled_at), _when(one.pushed_at)) for one in shown]
        none = "No connector yet. Make one with `stentor hub connectors create NAME --url URL --channel 505=CAMPAIGN`."
        say(table([("name", "state", "hub", "last pull", "last push"), *rows]) if rows else none)
        for one in shown:
            if one.last_error:
                say(f"{one.name}: {one.last_error}")

    _in_brand(given, brand, act)


def check(given: Mapping[str, Any], connector: str, *, brand: str | None, as_json: bool) -> None:
    """Logs in to the hub and says whether that went."""

    async def act(service: ConnectorService, brand_id: UUID) -> None:
        found = await _named(service, brand_id, connector)
        problem = await service.check(brand_id, found.id)
        if as_json:
            print_json({"ok": not problem, "problem": problem})
        elif not problem:
            say(f"{found.url} lets {found.name} in.")
        if problem:
            fail(problem)

    _in_brand(given, brand, act)


def switch(given: Mapping[str, Any], connector: str, *, enabled: bool, brand: str | None, as_json: bool) -> None:
    """Switches a connector on or off."""

    async def act(service: ConnectorService, brand_id: UUID) -> None:
        found = await _named(service, brand_id, connector)
        changed = await service.update(brand_id, found.id, Patch(enabled=enabled))
        if as_json:
            print_json(_told(changed))
        else:
            say(f"{changed.name} is {'on' if enabled else 'off: its hub is told to forget it, and told no figures'}.")

    _in_brand(given, brand, act)


def delete(given: Mapping[str, Any], connector: str, *, brand: str | None, as_json: bool) -> None:
    """Deletes a connector."""

    async def act(service: ConnectorService, brand_id: UUID) -> None:
        found = await _named(service, brand_id, connector)
        await service.delete(brand_id, found.id)
        if as_json:
            print_json({"id": str(found.id), "deleted": True})
        else:
            say(
                f"{found.name} is deleted. What is being sent goes on; its hub is told to forget it while `stentor serve` runs."
            )

    _in_brand(given, brand, act)


def _in_brand(
    given: Mapping[str, Any], brand: str | None, act: Callable[[ConnectorService, UUID], Awaitable[None]]
) -> None:
    async def inside(core: Core) -> None:
        await act(connector_service(core), (await brand_or_only(accounts(core), brand)).id)

    with_core(given, inside)


async def _all(service: ConnectorService, brand_id: UUID) -> AsyncIterator[Connector]:
    after = None
    while page := await service.page(brand_id, after=after):
        for one in page:
            yield one
        after = page[-1].id


async def _named(service: ConnectorService, brand_id: UUID, wanted: str) -> Connector:
    named = [one async for one in _all(service, brand_id) if wanted in {one.name, str(one.id)}]
    if not named:
        fail(f"There is no connector {wanted!r}. See `stentor hub connectors list`.")
    return named[0]


def _secret() -> str:
    """From the environment, or asked for: never an argument, which others on the machine could read."""
    said = os.environ.get(HUB_SECRET)
    if said is None and sys.stdin.isatty():
        said = getpass("The hub's password, or its X-API-KEY: ")
    if not said:
        fail(f"Put the hub's password, or its X-API-KEY, into the environment variable {HUB_SECRET}.", Exit.USAGE)
    return said[: SECRET_CHARS_MAX + 1]


def _channels(said: Iterable[str]) -> tuple[ChannelDraft, ...]:
    found = []
    for text in said:
        number, _, campaign = text.partition("=")
        try:
            found.append(ChannelDraft(number=int(number), campaign_id=UUID(campaign)))
        except ValueError:
            fail(
                f"{text!r} is no channel. Say its ChannelID and the id of a campaign here: 505=0198c5a0-….", Exit.USAGE
            )
    return tuple(found)


def _attributes(said: Iterable[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in said]
    return {name: place or f"attributes.{name}" for name, _, place in pairs}


def _when(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _told(one: Connector) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "url": one.url,
        "username": one.username,
        "state": one.state,
        "zone": one.zone,
        "attributes": one.attributes,
        "channels": [{"number": each.number, "campaign_id": str(each.campaign_id)} for each in one.channels],
        "noticed_at": one.noticed_at,
        "pulled_at": one.pulled_at,
        "pushed_at": one.pushed_at,
        "failed_at": one.failed_at,
        "last_error": one.last_error,
    }
