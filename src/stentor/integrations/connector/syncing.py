"""Joining hubs and keeping them up to date: our listener, the templates of each channel under numbers for ever, and its app."""

from collections.abc import Collection
from contextlib import aclosing
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from stentor.accounts.sealing import LinkTokens
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.integrations.connector import store
from stentor.integrations.connector.hub import Hub, HubRefused
from stentor.integrations.connector.model import LEAVE_WITHIN, Connector, Sealed
from stentor.integrations.connector.opening import HubOpener
from stentor.integrations.connector.wire import CANCELLED, EXECUTED

HOOKS = "/hooks/connectors"
"""Where hubs notify us."""
LINK = "connector"
"""What the unguessable part of that address is sealed for."""

REST = timedelta(hours=6)
"""How often a hub is told everything that it may have forgotten."""

_LEASE = timedelta(minutes=5)
_AT_ONCE = 20
_APP_MARK = "\x1f"

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="syncing.sql", package=__package__):
    due: Statement
    take: Statement
    number_templates: Statement
    templates: Statement
    note_templates: Statement
    apps: Statement
    note_app: Statement
    note_registered: Statement
    note_url: Statement
    note_left: Statement
    told: Statement
    note_synced: Statement
    note_trouble: Statement


class Syncer:
    """Tells hubs what they have to know of us. `base_url`: what our own addresses begin with, as hubs reach them."""

    def __init__(self, db: Database, opener: HubOpener, links: LinkTokens, base_url: str) -> None:
        self._db = db
        self._opener = opener
        self._links = links
        self._base_url = base_url.rstrip("/")

    def listener_url(self, connector_id: UUID) -> str:
        """Where the hub of that connector notifies us."""
        return f"{self._base_url}{HOOKS}/{self._links.token(LINK, connector_id)}"

    async def sync_due(self) -> bool:
        """Brings the hubs up to date that have to be; whether there was one."""
        async with self._db.read() as conn:
            due = await Sql.due.tuples(conn, limit=_AT_ONCE)
        synced = False
        for connector_id, brand_id in due:
            async with self._db.autocommit() as conn:
                is_ours = await Sql.take.value(conn, id=connector_id, brand_id=brand_id, lease=_LEASE)
            if is_ours:
                synced = True
                await self._sync(brand_id, connector_id)
        return synced

    async def _sync(self, brand_id: UUID, connector_id: UUID) -> None:
        async with self._db.read() as conn:
            connector = await store.find(conn, brand_id, connector_id, deleted_too=True)
            sealed = await store.sealed(conn, brand_id, connector_id)
            now = await present(conn)
        if connector is None or sealed is None:
            return
        if not connector.enabled:
            await self._leave(sealed, connector, now)
            return
        try:
            async with aclosing(await self._opener.open(sealed)) as hub:
                await self._register(hub, connector)
                await self._sync_apps(hub, connector)
                await self._sync_templates(hub, connector)
        except HubRefused as trouble:
            await self._note_trouble(connector, str(trouble))
            return
        async with self._db.transaction() as conn:
            await Sql.note_synced.run(conn, id=connector_id, brand_id=brand_id, rest=REST)
            await store.note_well(conn, brand_id, connector_id, "synced")
            failpoint("connector.before_synced")
        failpoint("connector.after_synced")

    async def _note_trouble(self, connector: Connector, error: str) -> None:
        async with self._db.transaction() as conn:
            await Sql.note_trouble.run(conn, id=connector.id, brand_id=connector.brand_id, error=error)
            failpoint("connector.before_trouble")

    async def _leave(self, sealed: Sealed, connector: Connector, now: datetime) -> None:
        """Takes our listeners, templates and apps away from a hub that we serve no longer; after a day they stay there.

        Of what others have registered with the same credentials nothing is taken: listeners go by their URL.
        """
        error = ""
        if connector.listener_url:
            try:
                async with aclosing(await self._opener.open(sealed)) as hub:
                    await self._unregister(hub, connector, set())
                    await self._take_back(hub, connector)
            except HubRefused as trouble:
                error = f"The hub was not told that this connector is off. {trouble}"
                if now < connector.updated_at + LEAVE_WITHIN:
                    await self._note_trouble(connector, error)
                    return
                log.warning("connector.left_unsaid", connector=str(connector.id), why=str(trouble))
        async with self._db.transaction() as conn:
            key = {"id": connector.id, "brand_id": connector.brand_id}
            await store.tell_anew(conn, connector.brand_id, connector.id)
            if await Sql.note_left.value(conn, **key, error=error):
                await store.delete(conn, connector.brand_id, connector.id)
            failpoint("connector.before_left")
        failpoint("connector.after_left")

    async def _unregister(self, hub: Hub, connector: Connector, channels: Collection[int | None]) -> None:
        """Takes our listeners away, but for those of these channels."""
        for one in await hub.listeners():
            if one.url == connector.listener_url and one.channel not in channels:
                await hub.unregister(one.event, one.channel)

    async def _take_back(self, hub: Hub, connector: Connector) -> None:
        key = {"id": connector.id, "brand_id": connector.brand_id}
        async with self._db.read() as conn:
            told = await Sql.told.tuples(conn, **key)
            apps = await Sql.apps.tuples(conn, **key)
        for channel in sorted({of for of, _ in told}):
            await hub.delete_templates(channel, [number for of, number in told if of == channel])
        for number, _, _, told_app, _ in apps:
            if app_id := told_app.partition(_APP_MARK)[0]:
                await hub.delete_app(number, app_id)

    async def _register(self, hub: Hub, connector: Connector) -> None:
        url = self.listener_url(connector.id)
        key = {"id": connector.id, "brand_id": connector.brand_id}
        if connector.listener_url != url:
            async with self._db.transaction() as conn:
                await Sql.note_url.run(conn, **key, url=url)
                await store.tell_anew(conn, connector.brand_id, connector.id)
                failpoint("connector.before_url")
        async with self._db.read() as conn:
            channels = await Sql.apps.tuples(conn, **key)
        for number, _, _, _, is_registered in channels:
            if not is_registered:
                await hub.register(EXECUTED, url, number)
                await hub.register(CANCELLED, url, number)
                async with self._db.transaction() as conn:
                    await Sql.note_registered.run(conn, **key, number=number)
                    failpoint("connector.before_registered")
        # Of a channel that is the connector's no longer.
        ours = msgspec.structs.replace(connector, listener_url=url)
        await self._unregister(hub, ours, {one.number for one in connector.channels})

    async def _sync_apps(self, hub: Hub, connector: Connector) -> None:
        key = {"id": connector.id, "brand_id": connector.brand_id}
        async with self._db.read() as conn:
            channels = await Sql.apps.tuples(conn, **key)
        for number, app_id, app_name, told_app, _ in channels:
            wanted = f"{app_id}{_APP_MARK}{app_name}" if app_id else ""
            if told_app == wanted:
                continue
            told_id = told_app.partition(_APP_MARK)[0]
            if told_id and told_id != app_id:
                await hub.delete_app(number, told_id)
            if app_id:
                await hub.add_app(number, app_id, app_name)
            async with self._db.transaction() as conn:
                await Sql.note_app.run(conn, **key, number=number, told_app=wanted)
                failpoint("connector.before_app")

    async def _sync_templates(self, hub: Hub, connector: Connector) -> None:
        key = {"id": connector.id, "brand_id": connector.brand_id}
        async with self._db.transaction() as conn:
            await store.lock(conn, connector.brand_id, connector.id)
            await Sql.number_templates.run(conn, **key)
            failpoint("connector.before_numbers")
        async with self._db.read() as conn:
            rows = await Sql.templates.tuples(conn, **key)
        apps = {one.number: one.app_id for one in connector.channels}
        there = {number: await hub.template_numbers(number) for number in apps}
        for channel in sorted({row[0] for row in rows}):
            ours = {number: (name, told) for of, number, name, told in rows if of == channel}
            known = there.get(channel, set())
            added = {
                number: name
                for number, (name, told) in ours.items()
                if name is not None and channel in apps and (name != told or number not in known)
            }
            gone = [number for number, (name, told) in ours.items() if name is None and (told is not None)]
            if added:
                await hub.add_templates(channel, added, apps[channel])
            if gone:
                await hub.delete_templates(channel, gone)
            async with self._db.transaction() as conn:
                names = {**added, **dict.fromkeys(gone)}
                await Sql.note_templates.run(conn, **key, numbers=list(names), names=list(names.values()))
                failpoint("connector.before_templates")
