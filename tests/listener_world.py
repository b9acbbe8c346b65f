"""A brand with partner channels, clients that execute them, and a listener's far side: the stage for tests of notices."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from aiohttp.abc import AbstractResolver

from stentor.channels.outbound import Outbound
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.integrations.listeners.delivery import NoticeDelivery
from stentor.integrations.listeners.model import Listener
from stentor.integrations.listeners.posting import Poster
from stentor.integrations.listeners.service import ListenerService
from stentor.integrations.listeners.signing_secrets import SigningSecrets
from stentor.integrations.listeners.telling import Teller
from stentor.testing.http_script import Request
from stentor.testing.http_sink import HttpProvider
from stentor.testing.world import World

HERE = Outbound(allow_loopback=True)
SECRETS = SigningSecrets(b"a key of 32 bytes, for tests only")


class Hub:
    """One brand's hub: its channels 505 and 506, and a client that executes both."""

    def __init__(self, db: Database, world: World, client_id: UUID) -> None:
        self.db = db
        self.world = world
        self.brand_id = world.brand_id
        self.client_id = client_id
        self.listeners = ListenerService(db, SECRETS, HERE)
        self.teller = Teller(db)

    @classmethod
    async def made(cls, db: Database, name: str = "Brand") -> "Hub":
        world = await World.made(db, name)
        async with db.transaction() as conn:
            for number in (505, 506):
                sender_id = new_id()
                await conn.execute(
                    "INSERT INTO sender (id, brand_id, name, channel, kind, settings, enabled, created_at, updated_at)"
                    " VALUES (%s, %s, %s, 2, 'listener', '{}', true, now(), now())",
                    [sender_id, world.brand_id, f"partner-{number}"],
                )
                await conn.execute(
                    "INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at)"
                    " VALUES (%s, %s, 'Texts', 2, %s, now(), now())",
                    [world.brand_id, number, sender_id],
                )
        hub = cls(db, world, UUID(int=0))
        hub.client_id = await hub.client("texter", [505, 506])
        return hub

    async def client(self, name: str, channels: Sequence[int]) -> UUID:
        """Another client, which executes these channels."""
        client_id = new_id()
        async with self.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO hub_client (id, brand_id, name, username, password, key_digest, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, 'x', %s, now(), now())",
                [client_id, self.brand_id, name, f"{name}-{client_id}", client_id.bytes * 2],
            )
            for number in channels:
                await conn.execute(
                    "INSERT INTO client_channel (client_id, number, brand_id) VALUES (%s, %s, %s)",
                    [client_id, number, self.brand_id],
                )
        return client_id

    async def listen(self, event: int, url: str, channel: int | None = None) -> Listener:
        return await self.listeners.register(self.brand_id, self.client_id, event, url, channel)

    async def published(self, number: int, channels: Sequence[int] = (505,)) -> UUID:
        """A run of that number, as its execution's publication writes it."""
        execution_id = await self.execution("sending")
        async with self.db.transaction() as conn:
            at = Clock(self.db.shift).now()
            await conn.execute(
                "INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels) VALUES (%s, %s, %s, %s, %s)",
                [self.brand_id, number, execution_id, at, list(channels)],
            )
        await self.happened(execution_id, "published")
        return execution_id

    async def execution(self, state: str) -> UUID:
        """An execution in that state, without people."""
        execution_id, at = new_id(), Clock(self.db.shift).now()
        async with self.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO execution (id, brand_id, publication_id, context, lane, state, created_at, start_at, status_at,"
                " published_at) VALUES (%s, %s, %s, '{}', 2, %s, %s, %s, %s, CASE WHEN %s = 'sending' THEN now() END)",
                [execution_id, self.brand_id, new_id(), state, at, at, at, state],
            )
        return execution_id

    async def happened(self, execution_id: UUID, kind: str) -> None:
        async with self.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO partner_event (id, brand_id, execution_id, kind, at) VALUES (%s, %s, %s, %s, %s)",
                [new_id(), self.brand_id, execution_id, kind, Clock(self.db.shift).now()],
            )

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.db.transaction() as conn:
            return await (await conn.execute(query, values)).fetchall()  # type: ignore[arg-type]


class Mail:
    """Delivers for a test: all that is due, by one round of the role's work."""

    def __init__(self, delivery: NoticeDelivery) -> None:
        self.delivery = delivery

    async def round(self) -> int:
        claimed = await self.delivery.claim(100)
        await asyncio.gather(*(self.delivery.deliver(notice) for notice in claimed))
        return len(claimed)

    async def all(self) -> int:
        delivered = 0
        while count := await self.round():
            delivered += count
        return delivered


@asynccontextmanager
async def delivering(
    db: Database, *, outbound: Outbound = HERE, resolver: AbstractResolver | None = None, sends_mail: bool = True
) -> AsyncIterator[Mail]:
    """Delivery over real connections, closed at the end."""
    poster = Poster(outbound, resolver=resolver)
    try:
        yield Mail(NoticeDelivery(db, SECRETS, poster, sends_mail=sends_mail))
    finally:
        await poster.aclose()


def url_of(provider: HttpProvider, path: str = "/hooks") -> str:
    return f"http://127.0.0.1:{provider.port}{path}"


def said(request: Request) -> dict[str, Any]:
    return msgspec.json.decode(request.body)


def later(db: Database, **by: float) -> None:
    """From now on it is that much later for this database's statements."""
    db.shift += timedelta(**by)
