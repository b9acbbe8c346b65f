"""The sandbox's messages, skeletons and chaos rules in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.channels.sandbox.model import ChaosRule, SandboxMessage
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of, send_keys
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="queries.sql", package=__package__):
    keep_skeletons: Statement
    keep_messages: Statement
    report_later: Statement
    chaos_rules: Statement
    lock_chaos_rules: Statement
    set_chaos_rules: Statement
    newest_entries: Statement
    message: Statement
    delete_message: Statement
    first_surplus: Statement
    delete_from: Statement
    delete_aged: Statement
    delete_unused_skeletons: Statement


class Place(NamedTuple):
    """Where a message stands in a brand's inbox: its key, in the order of the list."""

    at: datetime
    part: int
    customer_id: UUID
    execution_id: UUID
    channel: int


class EntryRow(NamedTuple):
    execution_id: UUID
    customer_id: UUID
    channel: int
    at: datetime
    recipient: str
    subject: str


class MessageRow(NamedTuple):
    entry: EntryRow
    skeleton: bytes
    parts: bytes


class LaterReport(NamedTuple):
    """What the sandbox will report about a message: an event of the provider, `after_s` seconds from now."""

    send_id: str
    digest: bytes | None
    kind: str
    after_s: float
    answer: str


_BEGINNING_CHARS = 160
_BEFORE_ALL = ("infinity", 32767, UUID(int=(1 << 128) - 1), UUID(int=(1 << 128) - 1), 32767)


async def keep_skeletons(conn: Connection, brand_id: UUID, contents: Mapping[bytes, bytes]) -> None:
    """Stores the contents by their skeleton's id; one that is there is marked as used."""
    await Sql.keep_skeletons.run(conn, brand_id=brand_id, skeleton_ids=list(contents), contents=list(contents.values()))


async def keep_messages(
    conn: Connection, brand_id: UUID, channel: ChannelKind, messages: Sequence[SandboxMessage]
) -> None:
    """Stores the messages; one whose send id is stored already is left as it is.

    Where a channel has no subject, the list shows the beginning of the message.
    """
    keys = send_keys([message.send_id for message in messages])
    await Sql.keep_messages.run(
        conn,
        brand_id=brand_id,
        channel=int(channel),
        execution_ids=[execution_id for execution_id, _ in keys],
        customer_ids=[customer_id for _, customer_id in keys],
        skeleton_ids=[message.skeleton_id for message in messages],
        recipients=[message.address for message in messages],
        subjects=[message.subject or _beginning(channel, message) for message in messages],
        parts=[message.parts() for message in messages],
    )


def _beginning(channel: ChannelKind, message: SandboxMessage) -> str:
    if channel is ChannelKind.EMAIL:
        return ""
    # Cut in bytes first: a webhook's body may have 256 KB, of which a list shows one line.
    start = message.wire()[: 4 * _BEGINNING_CHARS].decode("utf-8", "ignore").replace("\x00", "")
    return " ".join(start.split())[:_BEGINNING_CHARS]


async def report_later(conn: Connection, brand_id: UUID, channel: ChannelKind, reports: Sequence[LaterReport]) -> None:
    """Stores provider events that fall due later; one that is stored already is left as it is."""
    keys = send_keys([report.send_id for report in reports])
    await Sql.report_later.run(
        conn,
        brand_id=brand_id,
        channel=int(channel),
        event_ids=[f"{report.send_id}.{report.kind}" for report in reports],
        execution_ids=[execution_id for execution_id, _ in keys],
        customer_ids=[customer_id for _, customer_id in keys],
        digests=[report.digest for report in reports],
        kinds=[report.kind for report in reports],
        afters_s=[report.after_s for report in reports],
        answers=[report.answer for report in reports],
    )


async def chaos_rules(conn: Connection, brand_id: UUID) -> list[ChaosRule]:
    rules = await Sql.chaos_rules.value(conn, brand_id=brand_id)
    return msgspec.convert(rules or [], list[ChaosRule])


async def lock_chaos_rules(conn: Connection, brand_id: UUID) -> list[ChaosRule]:
    """The same, which nobody else replaces until the transaction ends."""
    return msgspec.convert(await Sql.lock_chaos_rules.value(conn, brand_id=brand_id), list[ChaosRule])


async def set_chaos_rules(conn: Connection, brand_id: UUID, rules: Sequence[ChaosRule]) -> None:
    await Sql.set_chaos_rules.run(conn, brand_id=brand_id, rules=Jsonb(list(rules)))


async def newest_entries(
    conn: Connection, brand_id: UUID, *, before: Place | None, channel: ChannelKind | None, search: str, limit: int
) -> list[EntryRow]:
    """The newest entries behind `before`; `search` is a part of the recipient or the subject, whatever its case."""
    at, part, customer_id, execution_id, before_channel = before or _BEFORE_ALL
    rows = await Sql.newest_entries.tuples(
        conn,
        brand_id=brand_id,
        before_at=at,
        before_part=part,
        before_customer_id=customer_id,
        before_execution_id=execution_id,
        before_channel=before_channel,
        channel=channel,
        search=search,
        limit=limit,
    )
    return [EntryRow(*row) for row in rows]


async def message(
    conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID, channel: ChannelKind
) -> MessageRow | None:
    rows = await Sql.message.tuples(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        part=part_of(customer_id),
        customer_id=customer_id,
        channel=int(channel),
    )
    if not rows:
        return None
    *entry, skeleton, parts = rows[0]
    return MessageRow(EntryRow(*entry), skeleton, parts)


async def delete_message(
    conn: Connection, brand_id: UUID, execution_id: UUID, customer_id: UUID, channel: ChannelKind
) -> bool:
    deleted = await Sql.delete_message.run(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        part=part_of(customer_id),
        customer_id=customer_id,
        channel=int(channel),
    )
    return deleted == 1


async def first_surplus(conn: Connection, brand_id: UUID, *, messages_max: int) -> Place | None:
    """Where the messages begin that are not among the newest so many."""
    rows = await Sql.first_surplus.tuples(conn, brand_id=brand_id, messages_max=messages_max)
    return Place(*rows[0]) if rows else None


async def delete_from(conn: Connection, brand_id: UUID, place: Place, *, batch: int) -> int:
    """Deletes the message at that place and those behind it, `batch` or one wave more; fewer are the last ones."""
    return await Sql.delete_from.run(conn, brand_id=brand_id, batch=batch, **place._asdict())


async def delete_aged(conn: Connection, brand_id: UUID, *, days: int, batch: int) -> int:
    """Deletes messages older than so many days, `batch` or one wave more; fewer are the last ones."""
    return await Sql.delete_aged.run(conn, brand_id=brand_id, days=days, batch=batch)


async def delete_unused_skeletons(conn: Connection, brand_id: UUID) -> int:
    """Deletes skeletons that no message needs any more, and returns how many."""
    return await Sql.delete_unused_skeletons.run(conn, brand_id=brand_id)
