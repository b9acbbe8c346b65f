"""Partner channels, templates and apps in the database."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.channels.partners.model import (
    FIRST_NUMBER,
    AppKey,
    NewApp,
    NewTemplate,
    PartnerApp,
    PartnerChannel,
    PartnerTemplate,
    TemplateKey,
)
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_channel: Statement
    next_number: Statement
    count_channels: Statement
    count_numbers: Statement
    former_channel: Statement
    channel_by_number: Statement
    channel_by_sender: Statement
    lock_channels: Statement
    channels_of_brand: Statement
    rename_channel: Statement
    delete_channel: Statement
    delete_grants: Statement
    delete_templates_of: Statement
    delete_apps_of: Statement
    templates_among: Statement
    count_templates: Statement
    count_template_numbers: Statement
    upsert_templates: Statement
    delete_templates: Statement
    templates_of_channel: Statement
    template_by_id: Statement
    count_apps: Statement
    apps_among: Statement
    upsert_apps: Statement
    delete_apps: Statement
    apps_of_channel: Statement


class FormerChannel(msgspec.Struct, frozen=True):
    """A partner channel by its number, be it deleted or not."""

    number: int
    name: str
    channel: ChannelKind
    sender_id: UUID
    is_deleted: bool


async def insert_channel(
    conn: Connection, brand_id: UUID, number: int, *, name: str, channel: ChannelKind, sender_id: UUID
) -> bool:
    """Makes the channel, or brings a deleted one back under that name. False where the number is in use."""
    made = await Sql.insert_channel.run(
        conn, brand_id=brand_id, number=number, name=name, channel=int(channel), sender_id=sender_id
    )
    return made == 1


async def next_number(conn: Connection, brand_id: UUID) -> int:
    """The first number behind all that the brand ever gave by itself; the quota's lock keeps others from giving it too."""
    return await Sql.next_number.value(conn, brand_id=brand_id, first=FIRST_NUMBER)


async def count_channels(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_channels.value(conn, brand_id=brand_id)


async def count_numbers(conn: Connection, brand_id: UUID) -> int:
    """Of channels, also of those that were deleted."""
    return await Sql.count_numbers.value(conn, brand_id=brand_id)


async def former_channel(conn: Connection, brand_id: UUID, number: int) -> FormerChannel | None:
    """What has that number, or had it; locked until the transaction ends."""
    rows = await Sql.former_channel.tuples(conn, brand_id=brand_id, number=number)
    if not rows:
        return None
    number, name, channel, sender_id, is_deleted = rows[0]
    return FormerChannel(number, name, ChannelKind(channel), sender_id, is_deleted)


async def channel_by_number(conn: Connection, brand_id: UUID, number: int) -> PartnerChannel | None:
    rows = await Sql.channel_by_number.tuples(conn, brand_id=brand_id, number=number)
    return _channel(rows[0]) if rows else None


async def channel_by_sender(conn: Connection, brand_id: UUID, sender_id: UUID) -> PartnerChannel | None:
    rows = await Sql.channel_by_sender.tuples(conn, brand_id=brand_id, sender_id=sender_id)
    return _channel(rows[0]) if rows else None


async def lock_channels(conn: Connection, brand_id: UUID, numbers: Sequence[int]) -> list[PartnerChannel]:
    """Those that there are of these numbers, locked in their order until the transaction ends."""
    rows = await Sql.lock_channels.tuples(conn, brand_id=brand_id, numbers=list(numbers))
    return [_channel(row) for row in rows]


async def channels_of_brand(conn: Connection, brand_id: UUID, *, after: int, limit: int) -> list[PartnerChannel]:
    """In the order of their numbers, from behind `after` on."""
    rows = await Sql.channels_of_brand.tuples(conn, brand_id=brand_id, after=after, limit=limit)
    return [_channel(row) for row in rows]


async def rename_channel(conn: Connection, brand_id: UUID, number: int, name: str) -> None:
    await Sql.rename_channel.run(conn, brand_id=brand_id, number=number, name=name)


async def delete_channel(conn: Connection, brand_id: UUID, number: int) -> None:
    """Deletes it with what belongs to it alone: templates, apps, and that clients execute it."""
    await Sql.delete_grants.run(conn, brand_id=brand_id, number=number)
    await Sql.delete_templates_of.run(conn, brand_id=brand_id, number=number)
    await Sql.delete_apps_of.run(conn, brand_id=brand_id, number=number)
    await Sql.delete_channel.run(conn, brand_id=brand_id, number=number)


async def templates_among(
    conn: Connection, brand_id: UUID, channel_number: int, numbers: Sequence[int]
) -> list[PartnerTemplate]:
    return await Sql.templates_among.rows(
        conn, PartnerTemplate, brand_id=brand_id, channel_number=channel_number, numbers=list(numbers)
    )


async def count_templates(conn: Connection, brand_id: UUID, channel_number: int) -> int:
    return await Sql.count_templates.value(conn, brand_id=brand_id, channel_number=channel_number)


async def count_template_numbers(conn: Connection, brand_id: UUID, channel_number: int) -> int:
    """Also of those that were deleted."""
    return await Sql.count_template_numbers.value(conn, brand_id=brand_id, channel_number=channel_number)


async def upsert_templates(
    conn: Connection, brand_id: UUID, channel_number: int, templates: Sequence[NewTemplate]
) -> None:
    """Adds them, each number once; a known one gets the name and the app that it has now."""
    await Sql.upsert_templates.run(
        conn,
        brand_id=brand_id,
        channel_number=channel_number,
        numbers=[one.number for one in templates],
        ids=[new_id() for _ in templates],
        names=[one.name for one in templates],
        app_ids=[one.app_id for one in templates],
    )


async def delete_templates(conn: Connection, brand_id: UUID, keys: Sequence[TemplateKey]) -> list[tuple[int, int, str]]:
    """Channel, number and name of those that were there."""
    return await Sql.delete_templates.tuples(
        conn,
        brand_id=brand_id,
        channel_numbers=[key.channel_number for key in keys],
        numbers=[key.number for key in keys],
    )


async def templates_of_channel(
    conn: Connection, brand_id: UUID, channel_number: int, *, after: int, limit: int
) -> list[PartnerTemplate]:
    """In the order of their numbers, from behind `after` on."""
    return await Sql.templates_of_channel.rows(
        conn, PartnerTemplate, brand_id=brand_id, channel_number=channel_number, after=after, limit=limit
    )


async def template_by_id(conn: Connection, brand_id: UUID, template_id: UUID) -> PartnerTemplate | None:
    return await Sql.template_by_id.first(conn, PartnerTemplate, brand_id=brand_id, id=template_id)


async def count_apps(conn: Connection, brand_id: UUID, channel_number: int) -> int:
    return await Sql.count_apps.value(conn, brand_id=brand_id, channel_number=channel_number)


async def apps_among(conn: Connection, brand_id: UUID, channel_number: int, app_ids: Sequence[str]) -> list[PartnerApp]:
    return await Sql.apps_among.rows(
        conn, PartnerApp, brand_id=brand_id, channel_number=channel_number, app_ids=list(app_ids)
    )


async def upsert_apps(conn: Connection, brand_id: UUID, channel_number: int, apps: Sequence[NewApp]) -> None:
    """Adds them, each id once; a known one gets the name that it has now."""
    await Sql.upsert_apps.run(
        conn,
        brand_id=brand_id,
        channel_number=channel_number,
        app_ids=[one.app_id for one in apps],
        names=[one.name for one in apps],
    )


async def delete_apps(conn: Connection, brand_id: UUID, keys: Sequence[AppKey]) -> list[tuple[int, str, str]]:
    """Channel, id and name of those that were there."""
    return await Sql.delete_apps.tuples(
        conn,
        brand_id=brand_id,
        channel_numbers=[key.channel_number for key in keys],
        app_ids=[key.app_id for key in keys],
    )


async def apps_of_channel(
    conn: Connection, brand_id: UUID, channel_number: int, *, after: str, limit: int
) -> list[PartnerApp]:
    """In the order of their ids' bytes, from behind `after` on."""
    return await Sql.apps_of_channel.rows(
        conn, PartnerApp, brand_id=brand_id, channel_number=channel_number, after=after, limit=limit
    )


def _channel(row: tuple[Any, ...]) -> PartnerChannel:
    brand_id, number, name, channel, *rest = row
    return PartnerChannel(brand_id, number, name, ChannelKind(channel), *rest)
