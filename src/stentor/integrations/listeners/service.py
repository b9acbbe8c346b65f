"""Listeners: registered by the clients themselves or by the brand, watched, and sent again what they missed."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.channels.outbound import Outbound
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.errors import Conflict, Invalid, NotFound
from stentor.failpoints import failpoint
from stentor.integrations.listeners import store
from stentor.integrations.listeners.model import (
    EVENT_TYPES,
    LISTENERS_MAX,
    REPLAYED_MAX,
    Event,
    Listener,
    Notice,
    NoticeState,
)
from stentor.integrations.listeners.signing_secrets import SigningSecrets
from stentor.integrations.listeners.urls import listener_url

PAGE_MAX = 100
BY_HAND = "It was switched off by hand."


class ListenerService:
    """What the doors call about listeners and notices. Raises NotFound for what is not this brand's.

    `outbound`: where listeners' URLs may lead.
    """

    def __init__(self, db: Database, secrets: SigningSecrets, outbound: Outbound) -> None:
        self._db = db
        self._secrets = secrets
        self._outbound = outbound

    async def register(
        self, brand_id: UUID, client_id: UUID, event_type_id: int, url: str, channel: int | None = None
    ) -> Listener:
        """The client's listener for that EventTypeID, of one of its channels or, without one, of all that it executes.

        What was registered for the same before is replaced, and enabled again. Raises Invalid for an event that there is not, a
        URL that nothing may be posted to, another client's channel, and a channel with an event that is of none; QuotaExceeded.
        """
        event = _event_of(event_type_id)
        if channel is not None and not event.is_of_channels:
            text = f"EventTypeID {event_type_id} is of no channel; leave ChannelID out."
            raise Invalid.field("/ChannelID", "channel", text)
        return await self.put(brand_id, client_id, event, url, channel)

    async def unregister(self, brand_id: UUID, client_id: UUID, event_type_id: int, channel: int | None = None) -> bool:
        """Takes the client's listener for that event and channel away, with what waits for it. False where there was none.

        Raises Invalid for an event that there is not.
        """
        event = _event_of(event_type_id)
        async with self._db.transaction() as conn:
            key = channel if event.is_of_channels else None
            listener_id = await store.find_key(conn, brand_id, client_id, event, key)
            if listener_id is None:
                return False
            await self._delete(conn, brand_id, listener_id)
        return True

    async def registered(self, brand_id: UUID, client_id: UUID) -> list[Listener]:
        """The client's listeners for events that have an EventTypeID, in the order of their making."""
        found = await self.of_client(brand_id, client_id)
        return [listener for listener in found if listener.event.number is not None]

    async def of_client(self, brand_id: UUID, client_id: UUID) -> list[Listener]:
        """All of the client's listeners, in the order of their making."""
        async with self._db.read() as conn:
            return await store.listeners(conn, brand_id, client_id=client_id, after=None, limit=LISTENERS_MAX)

    def url_of(self, text: str) -> str:
        """The URL that is meant, as listeners have it. Raises Invalid where nothing may be posted to it."""
        return listener_url(text, self._outbound)

    async def put(
        self, brand_id: UUID, client_id: UUID, event: Event, url: str, channel: int | None = None
    ) -> Listener:
        """As `register`, for any event. Raises NotFound for a client that is not this brand's or was revoked."""
        url = listener_url(url, self._outbound)
        if channel is not None and not event.is_of_channels:
            raise Invalid.field("/channel", "channel", f"The event {event} is of no channel; leave `channel` out.")
        async with self._db.transaction() as conn:
            if not await store.client_exists(conn, brand_id, client_id):
                raise _no_client(client_id)
            if channel is not None and not await store.executes(conn, brand_id, client_id, channel):
                raise Invalid.field("/channel", "channel", f"This client executes no channel {channel}.")
            held_id = await store.find_key(conn, brand_id, client_id, event, channel)
            if held_id is None:
                await check_quota(conn, brand_id, "listeners", LISTENERS_MAX, store.count_listeners)
                # Somebody may have registered it while we waited for our turn to count.
                held_id = await store.find_key(conn, brand_id, client_id, event, channel)
            held = None if held_id is None else await store.listener_by_id(conn, brand_id, held_id)
            listener = await _found(
                conn, brand_id, await store.put_listener(conn, brand_id, client_id, event, channel, url=url)
            )
            await record(
                conn,
                "listener.registered",
                listener.id,
                brand_id=brand_id,
                before=None if held is None else _told(held),
                after=_told(listener),
            )
            failpoint("listener.before_commit")
        failpoint("listener.after_commit")
        return listener

    async def get(self, brand_id: UUID, listener_id: UUID) -> Listener:
        async with self._db.read() as conn:
            return await _found(conn, brand_id, listener_id)

    async def page(
        self, brand_id: UUID, *, client_id: UUID | None = None, after: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[Listener]:
        """At most `limit` (and 100) listeners in the order of their making, of one client or of all."""
        async with self._db.read() as conn:
            return await store.listeners(conn, brand_id, client_id=client_id, after=after, limit=min(limit, PAGE_MAX))

    async def update(
        self, brand_id: UUID, listener_id: UUID, *, url: str | None = None, enabled: bool | None = None
    ) -> Listener:
        """Another URL, or switched on or off; another URL alone leaves one that is off, off. Raises Invalid."""
        if url is not None:
            url = listener_url(url, self._outbound)
        async with self._db.transaction() as conn:
            if not await store.lock_listener(conn, brand_id, listener_id):
                raise _missing(listener_id)
            held = await _found(conn, brand_id, listener_id)
            is_on = held.disabled_at is None if enabled is None else enabled
            if is_on:
                await _check_may_hear(conn, held)
            if (url is not None and url != held.url) or (is_on and held.disabled_at is not None):
                await store.update_listener(conn, brand_id, listener_id, url or held.url)
            if not is_on:
                await store.disable_listener(conn, brand_id, listener_id, held.disabled_why or BY_HAND)
            changed = await _found(conn, brand_id, listener_id)
            told, now = _told(held), _told(changed)
            await record(conn, "listener.updated", listener_id, brand_id=brand_id, before=told, after=now)
            return changed

    async def delete(self, brand_id: UUID, listener_id: UUID) -> None:
        """Takes the listener away, with its notices."""
        async with self._db.transaction() as conn:
            await self._delete(conn, brand_id, listener_id)

    async def notices(
        self,
        brand_id: UUID,
        listener_id: UUID,
        *,
        state: NoticeState | None = None,
        before: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> list[Notice]:
        """At most `limit` (and 100) of the listener's notices, the newest first."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, listener_id)
            return await store.notices(
                conn, brand_id, listener_id, state=state, before=before, limit=min(limit, PAGE_MAX)
            )

    async def replay(
        self,
        brand_id: UUID,
        listener_id: UUID,
        *,
        since: datetime,
        until: datetime,
        delivered_too: bool = False,
        notice_id: UUID | None = None,
    ) -> int:
        """Sends notices again that were made in [since, until) and ended: each with its id and its bytes, the oldest first.

        Those that were delivered only if asked for; at most 10,000 at once, so that more are left where that is what is returned.
        Raises Conflict for a listener that is disabled, and Invalid for a range that ends before it begins.
        """
        if until <= since:
            raise Invalid.field("/until", "range", "until must be later than since.")
        async with self._db.transaction() as conn:
            if not await store.lock_listener(conn, brand_id, listener_id):
                raise _missing(listener_id)
            listener = await _found(conn, brand_id, listener_id)
            await _check_may_hear(conn, listener)
            if listener.disabled_at is not None:
                raise Conflict("The listener is switched off. Switch it on with `enabled: true`, and replay then.")
            replayed = await store.replay(
                conn,
                brand_id,
                listener_id,
                since=since,
                until=until,
                delivered_too=delivered_too,
                notice_id=notice_id,
                limit=REPLAYED_MAX,
            )
            told = {"since": since, "until": until, "delivered_too": delivered_too, "notices": replayed}
            await record(conn, "listener.replayed", listener_id, brand_id=brand_id, after=told)
            failpoint("replay.before_commit")
        failpoint("replay.after_commit")
        return replayed

    async def signing_secret(self, brand_id: UUID, client_id: UUID) -> str:
        """What the client's notices are signed with, `whsec_…`, for the client to check them by."""
        async with self._db.read() as conn:
            if not await store.client_exists(conn, brand_id, client_id):
                raise _no_client(client_id)
            return self._secrets.secret(client_id, await store.generation(conn, brand_id, client_id))

    async def rotate_signing_secret(self, brand_id: UUID, client_id: UUID) -> str:
        """A new one; for a day, notices are signed with the one before, too."""
        async with self._db.transaction() as conn:
            if not await store.client_exists(conn, brand_id, client_id):
                raise _no_client(client_id)
            generation = await store.rotate(conn, brand_id, client_id)
            told = {"generation": generation}
            await record(conn, "hub_client.signing_rotated", client_id, brand_id=brand_id, after=told)
        return self._secrets.secret(client_id, generation)

    async def _delete(self, conn: Connection, brand_id: UUID, listener_id: UUID) -> None:
        if not await store.lock_listener(conn, brand_id, listener_id):
            raise _missing(listener_id)
        held = await _found(conn, brand_id, listener_id)
        await store.delete_listener(conn, brand_id, listener_id)
        await record(conn, "listener.removed", listener_id, brand_id=brand_id, before=_told(held))


def _event_of(event_type_id: int) -> Event:
    event = EVENT_TYPES.get(event_type_id)
    if event is None:
        known = ", ".join(map(str, EVENT_TYPES))
        text = f"EventTypeID {event_type_id} is none that a listener can be registered for; send one of {known}."
        raise Invalid.field("/EventTypeID", "event-type", text)
    return event


async def _found(conn: Connection, brand_id: UUID, listener_id: UUID) -> Listener:
    listener = await store.listener_by_id(conn, brand_id, listener_id)
    if listener is None:
        raise _missing(listener_id)
    return listener


async def _check_may_hear(conn: Connection, listener: Listener) -> None:
    if not await store.client_exists(conn, listener.brand_id, listener.client_id):
        raise Conflict(
            "The listener's client is revoked and hears of nothing. Create another one, and register its listener."
        )


def _told(listener: Listener) -> dict[str, object]:
    """What of a listener is a setting: how it goes with it is no change that anybody made."""
    names = ("client_id", "event", "channel", "url", "disabled_at", "disabled_why")
    members = msgspec.structs.asdict(listener)
    return {name: members[name] for name in names}


def _missing(listener_id: UUID) -> NotFound:
    return NotFound(f"This brand has no listener {listener_id}.")


def _no_client(client_id: UUID) -> NotFound:
    return NotFound(f"This brand has no hub client {client_id}, or it was revoked.")
