"""Partner channels and hub clients from the command line."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.model import NUMBER_MAX, ClientPatch, Credentials, HubClient, PartnerChannel
from stentor.cli.installation import brand_or_only, with_core
from stentor.cli.output import Exit, fail, print_json, say, table
from stentor.domain.vocabulary import CHANNEL_LABELS, ChannelKind
from stentor.wiring.core import Core, accounts
from stentor.wiring.services import hub_clients

_PAGE = 200


def create_channel(
    given: Mapping[str, Any], name: str, *, channel: str, number: int | None, brand: str | None, as_json: bool
) -> None:
    """Makes a partner channel and prints its number."""
    if channel not in CHANNEL_LABELS:
        fail(f"There is no channel {channel!r}; choose from {', '.join(CHANNEL_LABELS)}.", Exit.USAGE)

    async def act(core: Core, brand_id: UUID) -> None:
        made = await PartnerChannelService(core.db).create(brand_id, name, ChannelKind.named(channel), number=number)
        _tell_channel(made, f"Made the partner channel {made.number}.", as_json=as_json)

    _in_brand(given, brand, act)


def list_channels(given: Mapping[str, Any], *, brand: str | None, as_json: bool) -> None:
    """Prints all partner channels."""

    async def act(core: Core, brand_id: UUID) -> None:
        shown = await PartnerChannelService(core.db).page(brand_id, limit=_PAGE)
        if as_json:
            print_json({"channels": [_channel(one) for one in shown]})
            return
        rows = [(str(one.number), one.channel.label, one.name) for one in shown]
        none = "No partner channel yet. Make one with `stentor hub channels create NAME --channel sms`."
        say(table([("number", "channel", "name"), *rows]) if rows else none)

    _in_brand(given, brand, act)


def rename_channel(given: Mapping[str, Any], number: int, name: str, *, brand: str | None, as_json: bool) -> None:
    """Gives a partner channel another name."""

    async def act(core: Core, brand_id: UUID) -> None:
        renamed = await PartnerChannelService(core.db).rename(brand_id, number, name)
        _tell_channel(renamed, f"The partner channel {number} is called {renamed.name} now.", as_json=as_json)

    _in_brand(given, brand, act)


def delete_channel(given: Mapping[str, Any], number: int, *, brand: str | None, as_json: bool) -> None:
    """Deletes a partner channel."""

    async def act(core: Core, brand_id: UUID) -> None:
        await PartnerChannelService(core.db).delete(brand_id, number)
        if as_json:
            print_json({"number": number, "deleted": True})
        else:
            say(f"The partner channel {number} is deleted, and closed to all clients.")

    _in_brand(given, brand, act)


def create_client(
    given: Mapping[str, Any],
    username: str,
    *,
    channels: Iterable[str],
    writes: Iterable[str],
    name: str | None,
    brand: str | None,
    as_json: bool,
) -> None:
    """Makes a hub client and prints its secrets, which are shown nowhere else."""
    granted, written = _granted(channels), _granted(writes)

    async def act(core: Core, brand_id: UUID) -> None:
        made = await hub_clients(core).create(brand_id, name or username, username, granted, writes=written)
        _tell_credentials(made, "Made the hub client", as_json=as_json)

    _in_brand(given, brand, act)


def list_clients(given: Mapping[str, Any], *, all_of_them: bool, brand: str | None, as_json: bool) -> None:
    """Prints all hub clients."""

    async def act(core: Core, brand_id: UUID) -> None:
        shown = [one async for one in _clients(hub_clients(core), brand_id, is_revoked_too=all_of_them)]
        if as_json:
            print_json({"clients": [_client(one) for one in shown]})
            return
        rows = [
            (
                one.username,
                _in_words(one.channels),
                _in_words(_non_empty(one.writes)),
                one.name + (" (revoked)" * bool(one.revoked_at)),
            )
            for one in shown
        ]
        none = "No hub client yet. Make one with `stentor hub clients create USERNAME --channel 505=Email,Phone`."
        say(table([("user name", "may pull", "may change", "name"), *rows]) if rows else none)

    _in_brand(given, brand, act)


def grant_channels(
    given: Mapping[str, Any],
    client: str,
    channels: Iterable[str],
    writes: Iterable[str],
    *,
    brand: str | None,
    as_json: bool,
) -> None:
    """Says anew which channels a client executes, and what it may pull and change on each."""
    granted, written = _granted(channels), _granted(writes)

    async def act(core: Core, brand_id: UUID) -> None:
        clients = hub_clients(core)
        found = await _named(clients, brand_id, client)
        changed = await clients.update(
            brand_id, found.id, ClientPatch(channels=granted, writes={**dict.fromkeys(granted, ()), **written})
        )
        if as_json:
            print_json(_client(changed))
        else:
            say(f"{changed.username} {_grants_in_words(changed)}.")

    _in_brand(given, brand, act)


def rotate_client(given: Mapping[str, Any], client: str, *, brand: str | None, as_json: bool) -> None:
    """Gives a client new secrets and prints them."""

    async def act(core: Core, brand_id: UUID) -> None:
        clients = hub_clients(core)
        rotated = await clients.rotate(brand_id, (await _named(clients, brand_id, client)).id)
        _tell_credentials(rotated, "New secrets of", as_json=as_json)

    _in_brand(given, brand, act)


def revoke_client(given: Mapping[str, Any], client: str, *, brand: str | None, as_json: bool) -> None:
    """Ends a client's credentials."""

    async def act(core: Core, brand_id: UUID) -> None:
        clients = hub_clients(core)
        found = await _named(clients, brand_id, client)
        await clients.revoke(brand_id, found.id)
        if as_json:
            print_json(_client(await clients.get(brand_id, found.id)))
        else:
            say(f"{found.username} opens nothing any more, within a second.")

    _in_brand(given, brand, act)


def _in_brand(given: Mapping[str, Any], brand: str | None, act: Callable[[Core, UUID], Awaitable[None]]) -> None:
    async def inside(core: Core) -> None:
        await act(core, (await brand_or_only(accounts(core), brand)).id)

    with_core(given, inside)


async def _clients(clients: HubClientService, brand_id: UUID, *, is_revoked_too: bool) -> AsyncIterator[HubClient]:
    after = None
    while page := await clients.page(brand_id, is_revoked_too=is_revoked_too, after=after, limit=_PAGE):
        for one in page:
            yield one
        after = page[-1].id


async def _named(clients: HubClientService, brand_id: UUID, wanted: str) -> HubClient:
    named = [
        one async for one in _clients(clients, brand_id, is_revoked_too=True) if wanted in {one.username, str(one.id)}
    ]
    if not named:
        fail(f"There is no hub client {wanted!r}. See `stentor hub clients list --all`.")
    return named[0]


def _granted(channels: Iterable[str]) -> dict[int, tuple[str, ...]]:
    granted = {}
    for text in channels:
        number, _, names = text.partition("=")
        if not number.isascii() or not number.isdigit() or len(number) > len(str(NUMBER_MAX)):
            fail(
                f"{text!r} names no partner channel. Say its number, and what may be pulled: 505=Email,Phone.",
                Exit.USAGE,
            )
        granted[int(number)] = tuple(name for name in names.split(",") if name.strip())
    return granted


def _grants_in_words(client: HubClient) -> str:
    return f"may pull: {_in_words(client.channels)}, and change: {_in_words(_non_empty(client.writes))}"


def _non_empty(named: Mapping[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    return {number: names for number, names in named.items() if names}


def _in_words(named: Mapping[int, tuple[str, ...]]) -> str:
    grants = [f"{number}={','.join(names)}" if names else str(number) for number, names in named.items()]
    return " ".join(grants) or "nothing"


def _tell_channel(channel: PartnerChannel, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_channel(channel))
    else:
        say(sentence)


def _tell_credentials(made: Credentials, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json({**_client(made.client), "password": made.password, "api_key": made.api_key})
        return
    say(
        f"{sentence} {made.client.username}, which {_grants_in_words(made.client)}. Its secrets are shown this once.\n"
        f"  user name  {made.client.username}\n  password   {made.password}\n  api key    {made.api_key}"
    )


def _channel(one: PartnerChannel) -> dict[str, Any]:
    return {"number": one.number, "name": one.name, "channel": one.channel.label, "sender_id": str(one.sender_id)}


def _client(one: HubClient) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "username": one.username,
        "channels": [
            {"number": number, "attributes": names, "writes": one.writes.get(number, ())}
            for number, names in one.channels.items()
        ],
        "last_used_at": one.last_used_at,
        "revoked_at": one.revoked_at,
    }
