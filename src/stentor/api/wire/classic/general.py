"""Logging in, and what is not about any category."""

from typing import Any

from stentor.api.throttle import line_of
from stentor.api.wire.classic.calls import Call, Guest
from stentor.api.wire.classic.reading import Answer, Input, Number, Query
from stentor.api.wire.classic.registry import OLDER, Category
from stentor.errors import Unauthenticated

general = Category("general")

_LOGIN_BYTES_MAX = 16 * 1024


class Credentials(Input, frozen=True, kw_only=True, rename={"username": "Username", "password": "Password"}):
    """What Login is given; clients write both names in any casing."""

    username: str
    password: str


class CredentialsInQuery(Query, frozen=True, kw_only=True, rename={"username": "Username", "password": "Password"}):
    """What Login was given by before it took a body."""

    username: str = ""
    password: str = ""


class ListenerInput(Input, frozen=True, kw_only=True):
    """Where to tell of an event: of one channel, or without one of all that the client executes."""

    event_type_id: Number
    listener_url: str
    channel_id: Number | None = None


class ListenerKey(Input, frozen=True, kw_only=True):
    """Which listener is meant."""

    event_type_id: Number
    channel_id: Number | None = None


class LastUpdate(Answer, frozen=True, kw_only=True):
    """Up to which day people are known."""

    date: str


@general.post("Login", is_open=True, body_bytes_max=_LOGIN_BYTES_MAX)
async def login(guest: Guest, body: Credentials) -> str:
    """A token for credentials; it lasts 20 minutes from the last call made with it."""
    return await _token(guest, body.username, body.password)


@general.get("Login", is_open=True, versions=OLDER)
async def login_by_query(guest: Guest, query: CredentialsInQuery) -> str:
    """The same, as it was asked for before `/current`."""
    return await _token(guest, query.username, query.password)


@general.get("GetLastDataUpdate")
async def get_last_data_update(call: Call) -> LastUpdate:
    """The day up to which people are known: today, because what is written here is known at once."""
    return LastUpdate(date=call.today().isoformat())


@general.post("RegisterEventListener")
async def register_event_listener(call: Call, body: ListenerInput) -> None:
    """Has a URL told of an event; one that was registered for the same before is replaced."""
    await call.services.listeners.register(
        call.brand.id, call.client.client_id, body.event_type_id, body.listener_url, body.channel_id
    )


@general.post("UnregisterEventListener")
async def unregister_event_listener(call: Call, body: ListenerKey) -> None:
    """Has nobody told any more; where nobody was, nothing happens."""
    await call.services.listeners.unregister(call.brand.id, call.client.client_id, body.event_type_id, body.channel_id)


@general.get("GetRegisteredEventListeners", "GetRegisteredEventListener")
async def get_registered_event_listeners(call: Call) -> list[dict[str, Any]]:
    """The client's listeners; one that is of no channel has none."""
    found = await call.services.listeners.registered(call.brand.id, call.client.client_id)
    return [
        {
            "EventTypeID": each.event.number,
            **({} if each.channel is None else {"ChannelID": each.channel}),
            "ListenerURL": each.url,
        }
        for each in found
    ]


async def _token(guest: Guest, username: str, password: str) -> str:
    if not username or not password:
        raise Unauthenticated("Credentials are needed.")
    return await guest.services.hub_access.log_in(username, password, line=str(line_of(guest.address) or ""))
