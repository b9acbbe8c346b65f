"""The cast of an execution: whom a source holds at this moment, each with the routes that are meant for them.

One INSERT … SELECT writes it, so that it is a snapshot; its text is put together here, because sources and conditions are made
of parts. Whoever is known by a bare address alone is nobody's customer, and in no cast but that of a call that names them.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from psycopg import sql

from stentor.audience.segments.compiling import Compiled
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="casting.sql", package=__package__):
    tag_is_there: Statement


class TagSource(msgspec.Struct, frozen=True):
    """Everybody who has the tag."""

    tag_id: UUID


class TopicSource(msgspec.Struct, frozen=True):
    """Everybody who chose a channel of the topic, for the routes on the channels that they chose."""

    topic_id: UUID


class NamedSource(msgspec.Struct, frozen=True):
    """Whom the call of that execution named, also by a bare address alone."""

    execution_id: UUID


class ConditionSource(msgspec.Struct, frozen=True):
    """Everybody of whom the condition holds."""

    condition: Compiled


Source: TypeAlias = TagSource | TopicSource | NamedSource | ConditionSource


class Choice(msgspec.Struct, frozen=True):
    """A route that may be meant for somebody: of those on its channel, the first whose condition holds is."""

    ordinal: int
    channel_bit: int
    condition: Compiled | None = None


_TAGGED = sql.SQL(
    "customer_tag t JOIN customer c ON c.part = t.part AND c.customer_id = t.customer_id"
    " WHERE t.tag_id = %(cast_tag_id)s AND t.brand_id = %(brand_id)s AND"
)
_SUBSCRIBED = sql.SQL(
    "subscription a JOIN customer c ON c.part = a.part AND c.customer_id = a.customer_id"
    " WHERE a.topic_id = %(cast_topic_id)s AND a.brand_id = %(brand_id)s AND a.channels <> 0 AND"
)
_NAMED = sql.SQL(
    "send_context n JOIN customer c ON c.part = n.part AND c.customer_id = n.customer_id"
    " WHERE n.execution_id = %(cast_execution_id)s AND n.brand_id = %(brand_id)s AND"
)
_INSERT = sql.SQL(
    "INSERT INTO cast_member (execution_id, part, customer_id, brand_id, routes)"
    " SELECT %(cast_execution_id)s, v.part, v.customer_id, %(brand_id)s, v.routes"
    " FROM (SELECT c.part, c.customer_id, {routes} AS routes FROM {source} c.brand_id = %(brand_id)s {known}) v"
    # In the order of the key: planning reads it so, slice by slice.
    " WHERE v.routes <> 0 ORDER BY v.part, v.customer_id"
)


async def tag_is_there(conn: Connection, brand_id: UUID, tag_id: UUID) -> bool:
    """Whether the brand has that tag."""
    return bool(await Sql.tag_is_there.value(conn, id=tag_id, brand_id=brand_id))


async def casting(
    conn: Connection, brand_id: UUID, execution_id: UUID, source: Source, choices: Sequence[Choice]
) -> int:
    """Writes the execution's cast and returns how many people are in it; nobody for whom no route is meant."""
    parameters: dict[str, Any] = {"cast_execution_id": execution_id, "brand_id": brand_id, "shift": conn.shift}
    of_topic = isinstance(source, TopicSource)
    match source:
        case TagSource(tag_id):
            text = _TAGGED
            parameters["cast_tag_id"] = tag_id
        case TopicSource(topic_id):
            text = _SUBSCRIBED
            parameters["cast_topic_id"] = topic_id
        case NamedSource():
            text = _NAMED
        case ConditionSource(condition):
            text = sql.SQL("customer c WHERE ({condition}) AND").format(condition=condition.sql)
            parameters |= condition.parameters
    for choice in choices:
        if choice.condition is not None:
            parameters |= choice.condition.parameters
    known = sql.SQL("" if isinstance(source, NamedSource) else "AND NOT c.anonymous")
    statement = _INSERT.format(routes=_mask(choices, of_topic=of_topic), source=text, known=known)
    # Made for these conditions alone: a plan for any would be none for them.
    return (await conn.execute(statement, parameters, prepare=False)).rowcount


def _mask(choices: Sequence[Choice], *, of_topic: bool) -> sql.Composable:
    """The mask of the routes that are meant for a person: for each channel one at the most."""
    by_channel: dict[int, list[Choice]] = {}
    for choice in choices:
        by_channel.setdefault(choice.channel_bit, []).append(choice)
    return sql.SQL(" | ").join(_first(alternatives, of_topic=of_topic) for alternatives in by_channel.values())


def _first(alternatives: Sequence[Choice], *, of_topic: bool) -> sql.Composable:
    whens = [
        sql.SQL("WHEN {condition} THEN {mask}::bigint").format(
            condition=sql.SQL("true") if choice.condition is None else choice.condition.sql,
            mask=sql.Literal(1 << choice.ordinal),
        )
        for choice in alternatives
    ]
    if of_topic:
        bit = sql.Literal(alternatives[0].channel_bit)
        whens.insert(0, sql.SQL("WHEN a.channels & {bit} = 0 THEN 0::bigint").format(bit=bit))
    return sql.SQL("CASE {whens} ELSE 0::bigint END").format(whens=sql.SQL(" ").join(whens))
