"""The cast of an execution: whom a source holds at this moment, each with the routes that are meant for them.

One INSERT … SELECT writes it, so that it is a snapshot; its text is put together here, because sources and conditions are made
of parts. Whoever is known by a bare address alone is nobody's customer, and in no cast but that of a call that names them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from psycopg import sql

from stentor.audience.segments.compiling import Compiled
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement

ARMS_MAX = 8
HELD_OUT, WAITING = 8, 9
"""Where an experiment puts people besides its arms, which have the numbers below."""


class Sql(QuerySet, file="casting.sql", package=__package__):
    moment: Statement
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


class RowsSource(msgspec.Struct, frozen=True):
    """Everybody whom these rows hold: `text` joins them as `a` to their customers `c` and ends with AND, as the other sources do.

    `of_topic`: `a.channels` are the channels that they chose, and routes on others are not meant for them.
    """

    text: sql.Composable
    parameters: dict[str, Any]
    of_topic: bool


Source: TypeAlias = TagSource | TopicSource | NamedSource | ConditionSource | RowsSource


class Split(msgspec.Struct, frozen=True):
    """How an experiment parts people: each place (an arm, HELD_OUT or WAITING) with the point of 2^32 that it ends before.

    `masks`: of each arm, the ordinals of its routes as bits.
    """

    campaign_id: UUID
    bounds: Sequence[tuple[int, int]]
    masks: Sequence[int]


class Waited(msgspec.Struct, frozen=True):
    """Who waits in the cast of that execution for the arm that won, and the routes of that arm as a mask.

    Their conditions were decided when that cast was made.
    """

    execution_id: UUID
    arm: int
    mask: int


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
    " FROM (SELECT c.part, c.customer_id, {routes} AS routes FROM {source} c.brand_id = %(brand_id)s {known}"
    " AND c.created_at <= %(cast_at)s) v"
    # In the order of the key: planning reads it so, slice by slice.
    " WHERE v.routes <> 0 ORDER BY v.part, v.customer_id"
)


_INSERT_SPLIT = sql.SQL(
    "INSERT INTO cast_member (execution_id, part, customer_id, brand_id, routes, arm)"
    " SELECT %(cast_execution_id)s, v.part, v.customer_id, %(brand_id)s, v.routes, v.arm"
    " FROM ("
    "SELECT w.part, w.customer_id, w.arm, CASE WHEN w.arm < {arms} THEN"
    " first_routes(w.held & (%(cast_masks)s::bigint[])[w.arm + 1], %(cast_channels)s::bigint[]) ELSE w.held END AS routes"
    " FROM ("
    "SELECT c.part, c.customer_id, {held} AS held, (%(cast_places)s::smallint[])["
    "width_bucket(arm_point(%(cast_campaign_id)s, c.customer_id), %(cast_ends)s::bigint[]) + 1] AS arm"
    " FROM {source} c.brand_id = %(brand_id)s {known} AND c.created_at <= %(cast_at)s) w"
    ") v"
    " WHERE v.routes <> 0 ORDER BY v.part, v.customer_id"
)
_INSERT_REST = sql.SQL(
    "INSERT INTO cast_member (execution_id, part, customer_id, brand_id, routes, arm)"
    " SELECT %(cast_execution_id)s, v.part, v.customer_id, %(brand_id)s, v.routes, %(cast_arm)s"
    " FROM ("
    "SELECT m.part, m.customer_id, first_routes(m.routes & %(cast_mask)s::bigint, %(cast_channels)s::bigint[]) AS routes"
    " FROM cast_member m"
    " WHERE m.execution_id = %(cast_parent_id)s AND m.brand_id = %(brand_id)s AND m.arm = {waiting}"
    ") v"
    " WHERE v.routes <> 0 ORDER BY v.part, v.customer_id"
).format(waiting=sql.Literal(WAITING))


async def tag_is_there(conn: Connection, brand_id: UUID, tag_id: UUID) -> bool:
    """Whether the brand has that tag."""
    return bool(await Sql.tag_is_there.value(conn, id=tag_id, brand_id=brand_id))


class Cast(NamedTuple):
    """A cast as it was made: how many people are in it, all of whom were made by `at`."""

    at: datetime
    people: int


class TakesLong(Exception):
    """The database expects the cast to cost more than was allowed; nothing was written."""


async def casting(
    conn: Connection,
    brand_id: UUID,
    execution_id: UUID,
    source: Source,
    choices: Sequence[Choice],
    *,
    split: Split | None = None,
    cost_max: float | None = None,
) -> Cast:
    """Writes the execution's cast: nobody for whom no route is meant.

    With a `split` those are in it too who are in no arm, with all routes whose conditions hold. Raises TakesLong where the database
    expects it to cost more than `cost_max`, in PostgreSQL's unit of cost: the time of reading one page in order.
    """
    # Before the snapshot: who is erased and made anew from now on is nobody whom the cast holds.
    at = await Sql.moment.value(conn)
    of_topic = isinstance(source, TopicSource) or (isinstance(source, RowsSource) and source.of_topic)
    text, parameters = _people(source)
    parameters |= {"cast_execution_id": execution_id, "brand_id": brand_id, "shift": conn.shift, "cast_at": at}
    for choice in choices:
        if choice.condition is not None:
            parameters |= choice.condition.parameters
    known = sql.SQL("" if isinstance(source, NamedSource) else "AND NOT c.anonymous")
    if split is None:
        statement = _INSERT.format(routes=_mask(choices, of_topic=of_topic), source=text, known=known)
    else:
        held = _held(choices, of_topic=of_topic)
        statement = _INSERT_SPLIT.format(arms=sql.Literal(ARMS_MAX), held=held, source=text, known=known)
        parameters |= _split_parameters(split) | _channel_parameters(choices)
    if cost_max is not None and await _cost_of(conn, statement, parameters) > cost_max:
        raise TakesLong
    # Made for these conditions alone: a plan for any would be none for them.
    return Cast(at, (await conn.execute(statement, parameters, prepare=False)).rowcount)


async def _cost_of(conn: Connection, statement: sql.Composed, parameters: dict[str, Any]) -> float:
    explained = await conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(statement), parameters, prepare=False)
    [(plans,)] = await explained.fetchall()
    return plans[0]["Plan"]["Total Cost"]


async def casting_rest(
    conn: Connection, brand_id: UUID, execution_id: UUID, waited: Waited, choices: Sequence[Choice]
) -> int:
    """Writes the cast of who waited for a winner, for its routes; returns how many people are in it."""
    parameters: dict[str, Any] = {
        "cast_execution_id": execution_id,
        "brand_id": brand_id,
        "cast_parent_id": waited.execution_id,
        "cast_arm": waited.arm,
        "cast_mask": waited.mask,
        **_channel_parameters(choices),
    }
    return (await conn.execute(_INSERT_REST, parameters, prepare=False)).rowcount


def _people(source: Source) -> tuple[sql.Composable, dict[str, Any]]:
    """The people of a source as the rows `c` of `customer`, up to the AND before what else is asked of them."""
    match source:
        case TagSource(tag_id):
            return _TAGGED, {"cast_tag_id": tag_id}
        case TopicSource(topic_id):
            return _SUBSCRIBED, {"cast_topic_id": topic_id}
        case NamedSource():
            return _NAMED, {}
        case RowsSource(rows, bound, _):
            return rows, {**bound}
        case ConditionSource(condition):
            return sql.SQL("customer c WHERE ({condition}) AND").format(condition=condition.sql), {
                **condition.parameters
            }


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


def _held(choices: Sequence[Choice], *, of_topic: bool) -> sql.Composable:
    """The mask of all routes whose conditions hold for a person."""
    return sql.SQL(" | ").join(_first([choice], of_topic=of_topic) for choice in choices)


def _split_parameters(split: Split) -> dict[str, Any]:
    return {
        "cast_campaign_id": split.campaign_id,
        "cast_places": [place for place, _ in split.bounds],
        # Whoever is behind the last of them is in the last place.
        "cast_ends": [end for _, end in split.bounds[:-1]],
        "cast_masks": list(split.masks),
    }


def _channel_parameters(choices: Sequence[Choice]) -> dict[str, Any]:
    by_channel: dict[int, int] = {}
    for choice in choices:
        by_channel[choice.channel_bit] = by_channel.get(choice.channel_bit, 0) | 1 << choice.ordinal
    return {"cast_channels": list(by_channel.values())}
