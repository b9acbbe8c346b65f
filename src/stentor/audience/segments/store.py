"""Segments in the database."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from stentor.audience.model import Customer
from stentor.audience.segments.compiling import Compiled
from stentor.audience.segments.expressions import Expression
from stentor.audience.segments.model import AttributeSeen, Seen, Segment
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS, part_of
from stentor.domain.vocabulary import ChannelKind

VALUES_SHOWN_MAX = 20
ATTRIBUTES_SHOWN_MAX = 500
EVENTS_SHOWN_MAX = 200
SAMPLE_PEOPLE_MAX = 2000
SHOWN_VALUE_CHARS_MAX = 100

# Of a sample: who has a value that fewer have is told from the others by it.
_COMMON_SHARE = 0.02
_MASKS_OF = "{0}.refused_mask, {0}.complained_mask, {0}.bounced_mask, {0}.address_mask, {0}.valid_mask"
_PERSON = (
    "customer_id, external_id, email, phone, push_tokens, locale, time_zone, attributes, address_mask, valid_mask, agreed_mask,"
    " refused_mask, bounced_mask, complained_mask, shared_address, break_until, created_at, updated_at"
)


class Sql(QuerySet, file="queries.sql", package=__package__):
    insert_segment: Statement
    find_segment: Statement
    page_of_segments: Statement
    is_named: Statement
    lock_segment: Statement
    update_segment: Statement
    count_segments: Statement
    delete_segment: Statement
    unknown_zones: Statement
    sampled_people: Statement
    attributes_of: Statement
    values_of: Statement
    events_of: Statement


async def insert_segment(conn: Connection, brand_id: UUID, segment_id: UUID, name: str, expression: Expression) -> bool:
    """Makes the segment; False when the name is taken."""
    text = _text(expression)
    return await Sql.insert_segment.run(conn, brand_id=brand_id, id=segment_id, name=name, expression=text) > 0


async def count_segments(conn: Connection, brand_id: UUID) -> int:
    """How many segments the brand has."""
    return await Sql.count_segments.value(conn, brand_id=brand_id)


async def lock_segment(conn: Connection, brand_id: UUID, segment_id: UUID) -> None:
    """Keeps others from changing or deleting the segment until the transaction ends."""
    await Sql.lock_segment.run(conn, id=segment_id, brand_id=brand_id)


async def find_segment(conn: Connection, brand_id: UUID, segment_id: UUID) -> Segment | None:
    """The segment, if the brand has it."""
    rows = await Sql.find_segment.tuples(conn, brand_id=brand_id, id=segment_id)
    return _segment(rows[0]) if rows else None


async def page_of_segments(conn: Connection, brand_id: UUID, *, after: UUID | None, limit: int) -> list[Segment]:
    """Segments in the order of their making, from behind `after`."""
    rows = await Sql.page_of_segments.tuples(conn, brand_id=brand_id, after=after, limit=limit)
    return [_segment(row) for row in rows]


async def is_named(conn: Connection, brand_id: UUID, segment_id: UUID, name: str) -> bool:
    """Whether another segment of the brand has that name."""
    return await Sql.is_named.value(conn, brand_id=brand_id, id=segment_id, name=name)


async def update_segment(
    conn: Connection, brand_id: UUID, segment_id: UUID, *, name: str | None, expression: Expression | None
) -> bool:
    """Changes what is said; False when there is no such segment."""
    text = None if expression is None else _text(expression)
    return await Sql.update_segment.run(conn, brand_id=brand_id, id=segment_id, name=name, expression=text) > 0


async def delete_segment(conn: Connection, brand_id: UUID, segment_id: UUID) -> bool:
    """Removes the segment; False when there is none."""
    return await Sql.delete_segment.run(conn, brand_id=brand_id, id=segment_id) > 0


async def unknown_zones(conn: Connection, zones: Sequence[str]) -> set[str]:
    """Which of these time zones the database server does not know."""
    return set(await Sql.unknown_zones.column(conn, zones=list(zones)))


async def count(
    conn: Connection, brand_id: UUID, compiled: Compiled, *, parts: int = PARTS
) -> tuple[int, dict[str, int]]:
    """How many people are meant in the first so many parts, and how many of them can be reached on each channel."""
    reached = [
        sql.SQL("coalesce(sum(g.people) FILTER (WHERE person_objection({}, {}) = 0), 0)::bigint").format(
            sql.SQL(_MASKS_OF.format("g")), sql.Literal(kind.bit)
        )
        for kind in ChannelKind
    ]
    # Of a million people few have masks that nobody else has; asked of each person, the nine channels took longer than the rest.
    statement = sql.SQL(
        "SELECT coalesce(sum(g.people), 0)::bigint, {reached} FROM (SELECT {masks}, count(*) AS people FROM customer c"
        " WHERE c.brand_id = %(brand_id)s AND NOT c.anonymous AND {parts} AND {condition} GROUP BY {masks}) g"
    ).format(
        reached=sql.SQL(", ").join(reached),
        masks=sql.SQL(_MASKS_OF.format("c")),
        parts=sql.SQL("true") if parts == PARTS else sql.SQL("c.part < {}").format(sql.Literal(parts)),
        condition=compiled.sql,
    )
    [(people, *numbers)] = await _asked(conn, brand_id, statement, compiled.parameters)
    return people, {kind.label: number for kind, number in zip(ChannelKind, numbers, strict=True)}


async def members(
    conn: Connection, brand_id: UUID, compiled: Compiled, *, after: UUID | None, limit: int
) -> list[Customer]:
    """People who are meant, in the order of their ids, from behind `after`."""
    behind = UUID(int=0) if after is None else after
    statement = sql.SQL(
        "SELECT {} FROM customer c WHERE c.brand_id = %(brand_id)s AND NOT c.anonymous"
        " AND (c.part, c.customer_id) > (%(after_part)s::smallint, %(after)s::uuid) AND {}"
        " ORDER BY c.brand_id, c.part, c.customer_id LIMIT %(limit)s"
    ).format(sql.SQL(_PERSON), compiled.sql)
    place = {"after": behind, "after_part": part_of(behind), "limit": limit}
    rows = await _asked(conn, brand_id, statement, {**compiled.parameters, **place})
    return [Customer(**dict(zip(_PERSON.split(", "), row, strict=True))) for row in rows]


async def seen(conn: Connection, brand_id: UUID, part: int) -> Seen:
    """What people have of whom the first one is in that part or behind it."""
    people = await Sql.sampled_people.tuples(conn, brand_id=brand_id, part=part, limit=SAMPLE_PEOPLE_MAX)
    if len(people) < SAMPLE_PEOPLE_MAX and part:
        people = await Sql.sampled_people.tuples(conn, brand_id=brand_id, part=0, limit=SAMPLE_PEOPLE_MAX)
    sample = {"parts": [row[0] for row in people], "customer_ids": [row[1] for row in people]}
    attributes = await Sql.attributes_of.tuples(conn, brand_id=brand_id, limit=ATTRIBUTES_SHOWN_MAX, **sample)
    values = await Sql.values_of.tuples(
        conn,
        brand_id=brand_id,
        people=max(2, round(len(people) * _COMMON_SHARE)),
        chars=SHOWN_VALUE_CHARS_MAX,
        limit=ATTRIBUTES_SHOWN_MAX * VALUES_SHOWN_MAX,
        **sample,
    )
    events = await Sql.events_of.column(conn, brand_id=brand_id, limit=EVENTS_SHOWN_MAX, **sample)
    types: dict[str, dict[str, float]] = {}
    for name, kind, number in attributes:
        types.setdefault(name, {})[kind] = number / len(people)
    common: dict[str, list[str]] = {}
    for name, value in values:
        common.setdefault(name, []).append(value)
    return Seen(
        sampled=len(people),
        attributes=[
            AttributeSeen(name=name, types=shares, values=common.get(name, [])[:VALUES_SHOWN_MAX])
            for name, shares in types.items()
        ],
        events=events,
    )


async def _asked(
    conn: Connection, brand_id: UUID, statement: sql.Composed, parameters: dict[str, Any]
) -> list[tuple[Any, ...]]:
    bound = {"brand_id": brand_id, "shift": conn.shift, **parameters}
    # Made for this expression alone: a plan for any would be none for it.
    cursor = await conn.execute(statement, bound, prepare=False)
    return await cursor.fetchall()


def _text(expression: Expression) -> str:
    return msgspec.json.encode(expression).decode()


def _segment(row: tuple[Any, ...]) -> Segment:
    segment_id, name, expression, version, created_at, updated_at = row
    return Segment(
        id=segment_id,
        name=name,
        expression=_DECODER.decode(expression),
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


_DECODER = msgspec.json.Decoder(Expression)
