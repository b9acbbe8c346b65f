"""Connectors in the database."""

from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.connector.model import Connector, ConnectorChannel, Draft, Sealed


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_connector: Statement
    update_connector: Statement
    forget_told_templates: Statement
    tell_anew: Statement
    retire_connector: Statement
    delete_connector: Statement
    run_ids: Statement
    delete_runs: Statement
    delete_people: Statement
    delete_refused: Statement
    insert_channel: Statement
    delete_other_channels: Statement
    find_connector: Statement
    lock_connector: Statement
    sealed: Statement
    page_of_connectors: Statement
    count_connectors: Statement
    channels_of: Statement
    campaign_of: Statement
    routed_channels: Statement
    by_id: Statement
    note_well: Statement
    note_failed: Statement


async def insert(conn: Connection, brand_id: UUID, connector_id: UUID, draft: Draft, secret: bytes) -> bool:
    """Makes the connector; False when the name is taken."""
    return (
        await Sql.insert_connector.run(
            conn,
            id=connector_id,
            brand_id=brand_id,
            name=draft.name,
            url=draft.url,
            username=draft.username,
            secret=secret,
            zone=draft.zone,
            attributes=Jsonb(dict(draft.attributes)),
            push_every_s=draft.push_every_s,
            push_days=draft.push_days,
        )
        > 0
    )


async def update(
    conn: Connection,
    brand_id: UUID,
    connector_id: UUID,
    draft: Draft,
    *,
    enabled: bool,
    secret: bytes | None,
    anew: bool,
) -> None:
    """Replaces what was set up; `secret` None keeps it. `anew`: the hub is told everything again."""
    await Sql.update_connector.run(
        conn,
        id=connector_id,
        brand_id=brand_id,
        name=draft.name,
        url=draft.url,
        username=draft.username,
        secret=secret,
        zone=draft.zone,
        attributes=Jsonb(dict(draft.attributes)),
        push_every_s=draft.push_every_s,
        push_days=draft.push_days,
        enabled=enabled,
        anew=anew,
    )
    if anew:
        await tell_anew(conn, brand_id, connector_id)
        await Sql.forget_told_templates.run(conn, id=connector_id, brand_id=brand_id)


async def tell_anew(conn: Connection, brand_id: UUID, connector_id: UUID) -> None:
    """Its hub is told of the listeners and apps again when it is synced next. Of templates the hub's own list says what it has."""
    await Sql.tell_anew.run(conn, id=connector_id, brand_id=brand_id)


async def retire(conn: Connection, brand_id: UUID, connector_id: UUID) -> None:
    """The connector is nobody's any more, and whom it knew is forgotten. It goes when its hub has been told."""
    run_ids = await Sql.run_ids.column(conn, id=connector_id, brand_id=brand_id)
    await Sql.delete_people.run(conn, run_ids=run_ids, brand_id=brand_id)
    await Sql.delete_refused.run(conn, run_ids=run_ids, brand_id=brand_id)
    await Sql.delete_runs.run(conn, id=connector_id, brand_id=brand_id)
    await Sql.retire_connector.run(conn, id=connector_id, brand_id=brand_id)


async def delete(conn: Connection, brand_id: UUID, connector_id: UUID) -> None:
    """Removes one that was retired."""
    await Sql.delete_connector.run(conn, id=connector_id, brand_id=brand_id)


async def set_channels(
    conn: Connection, brand_id: UUID, connector_id: UUID, channels: Collection[ConnectorChannel]
) -> None:
    """Replaces its channels; those that stay keep what the hub was told of them."""
    await Sql.delete_other_channels.run(
        conn, connector_id=connector_id, brand_id=brand_id, numbers=[one.number for one in channels]
    )
    for one in channels:
        await Sql.insert_channel.run(
            conn,
            connector_id=connector_id,
            number=one.number,
            brand_id=brand_id,
            campaign_id=one.campaign_id,
            channel=one.channel.value,
            app_id=one.app_id,
            app_name=one.app_name,
        )


async def find(conn: Connection, brand_id: UUID, connector_id: UUID, *, deleted_too: bool = False) -> Connector | None:
    """The connector, if it is this brand's."""
    found = await Sql.find_connector.first(conn, Connector, id=connector_id, brand_id=brand_id, deleted_too=deleted_too)
    return None if found is None else (await _whole(conn, brand_id, [found]))[0]


async def lock(conn: Connection, brand_id: UUID, connector_id: UUID) -> Connector | None:
    """The connector, which nobody changes or deletes before the transaction ends."""
    await Sql.lock_connector.value(conn, id=connector_id, brand_id=brand_id)
    return await find(conn, brand_id, connector_id)


async def sealed(conn: Connection, brand_id: UUID, connector_id: UUID) -> Sealed | None:
    """What opens the hub, sealed."""
    return await Sql.sealed.first(conn, Sealed, id=connector_id, brand_id=brand_id)


async def page(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[Connector]:
    """The brand's connectors in the order of their making, from behind the id `after`."""
    found = await Sql.page_of_connectors.rows(conn, Connector, brand_id=brand_id, after=after, limit=limit)
    return await _whole(conn, brand_id, found)


async def count(conn: Connection, brand_id: UUID) -> int:
    """How many the brand has."""
    return await Sql.count_connectors.value(conn, brand_id=brand_id)


async def brand_of(conn: Connection, connector_id: UUID) -> UUID | None:
    """Whose connector that is, unless it is switched off."""
    return await Sql.by_id.value(conn, id=connector_id)


async def campaign_channels(
    conn: Connection, brand_id: UUID, campaign_id: UUID
) -> tuple[str, list[ChannelKind]] | None:
    """The campaign's kind and the channels that its publication sends on; none while it was never published."""
    found = await Sql.campaign_of.tuples(conn, id=campaign_id, brand_id=brand_id)
    if not found:
        return None
    channels = await Sql.routed_channels.column(conn, id=campaign_id, brand_id=brand_id)
    return found[0][1], [ChannelKind(number) for number in channels]


async def note_well(
    conn: Connection, brand_id: UUID, connector_id: UUID, what: Literal["noticed", "pulled", "pushed", "synced"]
) -> None:
    """Something went well: trouble before it is over."""
    await Sql.note_well.run(conn, id=connector_id, brand_id=brand_id, what=what)


async def note_failed(conn: Connection, brand_id: UUID, connector_id: UUID, error: str) -> None:
    """Something did not go; `error` says what to do next."""
    await Sql.note_failed.run(conn, id=connector_id, brand_id=brand_id, error=error)


async def _whole(conn: Connection, brand_id: UUID, found: Sequence[Connector]) -> list[Connector]:
    channels: dict[UUID, list[ConnectorChannel]] = {one.id: [] for one in found}
    rows = await Sql.channels_of.tuples(conn, brand_id=brand_id, connector_ids=list(channels))
    for connector_id, number, campaign_id, channel, app_id, app_name in rows:
        channels[connector_id].append(
            ConnectorChannel(
                number=number,
                campaign_id=campaign_id,
                channel=ChannelKind(channel),
                app_id=app_id,
                app_name=app_name,
            )
        )
    return [msgspec.structs.replace(one, channels=tuple(channels[one.id])) for one in found]
