"""An execution that a partner carries out, as the flow leaves it, for tests of what the partner reports about it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.world import Someone, World

CHANNEL = 505
TEMPLATES = (7, 8)


class Carried(msgspec.Struct, frozen=True):
    """The execution `number` of a brand, sent by the partner channel 505 with the templates 7 and 8."""

    db: Database
    brand_id: UUID
    execution_id: UUID
    number: int
    published_at: datetime

    async def rows(self, text: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """What the statement finds; its first value is the brand."""
        async with self.db.read() as conn:
            found = await conn.execute(text, [self.brand_id, *values])
            return await found.fetchall()

    async def history(self) -> list[tuple[str, str]]:
        """Who has which fact, by name."""
        return [
            (name, kind)
            for name, kind in await self.rows(
                "SELECT c.external_id, e.kind FROM delivery_event e JOIN customer c USING (part, customer_id)"
                " WHERE e.brand_id = %s ORDER BY 1, 2"
            )
        ]

    async def listed(self) -> dict[str, str]:
        """The built-in list: addresses and why they are on it."""
        rows = await self.rows("SELECT address, cause FROM optout_recent WHERE brand_id = %s")
        return dict(rows)

    async def masks(self, name: str) -> tuple[int, int, int]:
        """Of a person the channels refused, bounced and complained of."""
        (row,) = await self.rows(
            "SELECT refused_mask, bounced_mask, complained_mask FROM customer WHERE brand_id = %s AND external_id = %s",
            name,
        )
        return row[0], row[1], row[2]


async def carried(
    db: Database,
    brand_id: UUID,
    sent_to: Sequence[str],
    *,
    number: int = 324,
    kind: ChannelKind = ChannelKind.SMS,
    ago: timedelta = timedelta(hours=1),
) -> Carried:
    """Such an execution, handed over to these people so long ago; channel and templates are made with the first one."""
    now = datetime.now(UTC)
    published = now - ago
    execution_id = new_id(published)
    publication_id = await World(db, brand_id, new_id()).publication([kind])
    async with db.transaction() as conn:
        made = await conn.execute(
            "SELECT sender_id FROM partner_channel WHERE brand_id = %s AND number = %s", [brand_id, CHANNEL]
        )
        if await made.fetchone() is None:
            sender_id = new_id()
            await conn.execute(
                "INSERT INTO sender (id, brand_id, name, kind, channel, created_at, updated_at)"
                " VALUES (%s, %s, 'Partner', 'listener', %s, %s, %s)",
                [sender_id, brand_id, int(kind), now, now],
            )
            await conn.execute(
                "INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at)"
                " VALUES (%s, %s, 'Texts', %s, %s, %s, %s)",
                [brand_id, CHANNEL, int(kind), sender_id, now, now],
            )
        for template in TEMPLATES:
            await conn.execute(
                "INSERT INTO partner_template (brand_id, channel_number, number, id, name, created_at, updated_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [brand_id, CHANNEL, template, new_id(), f"Welcome {template}", now, now],
            )
        await conn.execute(
            "INSERT INTO execution (id, brand_id, publication_id, context, lane, state, created_at, status_at, published_at)"
            " VALUES (%s, %s, %s, '{}', 2, 'sending', %s, %s, %s)",
            [execution_id, brand_id, publication_id, published, published, published],
        )
        await conn.execute(
            "INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels) VALUES (%s, %s, %s, %s, %s)",
            [brand_id, number, execution_id, published, [CHANNEL]],
        )
        await conn.execute(
            "INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at, done_at)"
            " SELECT %s, 0, %s, sender_id, channel, 2, %s, %s, %s, %s, %s FROM partner_channel WHERE brand_id = %s AND number = %s",
            [
                execution_id,
                brand_id,
                UUID(int=0),
                UUID(int=2**128 - 1),
                len(sent_to),
                published,
                published,
                brand_id,
                CHANNEL,
            ],
        )
        people = [customer_id(brand_id, name) for name in sent_to]
        await conn.execute(
            "INSERT INTO send (execution_id, customer_id, brand_id, decided_at, chunk, part, channel, state)"
            " SELECT %s, p.customer_id, %s, %s, 0, p.part, %s, 2 FROM unnest(%s::uuid[], %s::smallint[])"
            " AS p (customer_id, part)",
            [execution_id, brand_id, published, int(kind), people, [part_of(person) for person in people]],
        )
    return Carried(db, brand_id, execution_id, number, published)


async def reporting_brand(db: Database, *names: str) -> World:
    """A brand with these people, each with an e-mail address, and a phone number by their place."""
    world = await World.made(db)
    masks = ChannelKind.EMAIL.bit | ChannelKind.SMS.bit
    await world.people(
        [
            Someone(name, phone=f"+35840111{place:04}", address_mask=masks, valid_mask=masks)
            for place, name in enumerate(names)
        ]
    )
    return world
