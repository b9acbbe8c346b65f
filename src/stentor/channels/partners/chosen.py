"""Partner templates as campaigns choose them, by the ids that their routes name."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind

OFFERED_MAX = 1_000
"""Partner templates that a form offers; the API takes any."""


class Sql(QuerySet, file="chosen.sql", package=__package__):
    chosen: Statement
    channels_by_sender: Statement
    apps_called: Statement
    promo_codes_known: Statement
    offered: Statement


class ChosenTemplate(msgspec.Struct, frozen=True):
    """A partner template with its channel. `is_deleted`: it, or its channel, is there no more and can be chosen no more."""

    id: UUID
    channel_number: int
    number: int
    name: str
    app_id: str | None
    channel: ChannelKind
    channel_name: str
    sender_id: UUID
    is_deleted: bool


async def chosen_templates(conn: Connection, brand_id: UUID, ids: Collection[UUID]) -> dict[UUID, ChosenTemplate]:
    """Those of the ids that are partner templates of the brand, or were."""
    if not ids:
        return {}
    rows = await Sql.chosen.tuples(conn, brand_id=brand_id, ids=sorted(ids))
    return {row[0]: _template(row) for row in rows}


async def channels_by_sender(conn: Connection, brand_id: UUID, sender_ids: Collection[UUID]) -> dict[UUID, int]:
    """Of those of the senders that are partner channels' listeners, the numbers of the channels."""
    if not sender_ids:
        return {}
    return dict(await Sql.channels_by_sender.tuples(conn, brand_id=brand_id, sender_ids=sorted(sender_ids)))


async def promo_codes_known(conn: Connection, brand_id: UUID, codes: Collection[str]) -> set[str]:
    """Those of the promo codes that the brand has as promotions."""
    if not codes:
        return set()
    return set(await Sql.promo_codes_known.column(conn, brand_id=brand_id, codes=list(codes)))


async def apps_called(
    conn: Connection, brand_id: UUID, said: Collection[tuple[int, str]]
) -> dict[tuple[int, str], str]:
    """The ids of synced apps by channel number and what they were called: their id, or else their name."""
    if not said:
        return {}
    pairs = sorted(said)
    rows = await Sql.apps_called.tuples(
        conn, brand_id=brand_id, numbers=[number for number, _ in pairs], said=[name for _, name in pairs]
    )
    return {(number, name): app_id for number, name, app_id in rows}


async def offered_templates(conn: Connection, brand_id: UUID) -> list[ChosenTemplate]:
    """The first `OFFERED_MAX` that can be chosen, by the numbers of their channels and their own."""
    return [_template(row) for row in await Sql.offered.tuples(conn, brand_id=brand_id, limit=OFFERED_MAX)]


def _template(row: tuple[Any, ...]) -> ChosenTemplate:
    template_id, channel_number, number, name, app_id, channel, *rest = row
    return ChosenTemplate(template_id, channel_number, number, name, app_id, ChannelKind(channel), *rest)
