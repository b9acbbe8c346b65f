"""What people did with an execution's messages, as far as providers and partners told: of how many people, each once."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind

REACTIONS = [
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "dropped",
    "complained",
    "unsubscribed",
    "replied",
    "answered",
]
"""The kinds of events in a send's history that are counted by people."""


class Sql(QuerySet, file="reactions.sql", package=__package__):
    reactions: Statement
    untold: Statement
    count_reactions: Statement


class Told(NamedTuple):
    """That something was told of a person's message."""

    execution_id: UUID
    customer_id: UUID
    channel: int
    kind: str


class ChannelReactions(msgspec.Struct, frozen=True):
    """On one channel: of how many people each thing was told. Opens are estimates: mail programs load pictures unasked."""

    channel: str
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    bounced: int = 0
    dropped: int = 0
    complained: int = 0
    unsubscribed: int = 0
    replied: int = 0
    answered: int = 0


async def reactions(conn: Connection, brand_id: UUID, execution_id: UUID) -> list[ChannelReactions]:
    """What was told of the execution's people, by channel; channels of which nothing was told are absent."""
    counted: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for channel, kind, people in await Sql.reactions.tuples(conn, brand_id=brand_id, execution_id=execution_id):
        counted[channel][kind] = people
    return [ChannelReactions(ChannelKind(channel).label, **counts) for channel, counts in counted.items()]


async def count(conn: Connection, brand_id: UUID, told: Iterable[Told]) -> None:
    """Counts those of whom it was not told before; to be called before the histories are added to, in the same transaction."""
    people = sorted({one for one in told if one.kind in REACTIONS})
    if not people:
        return
    places = await Sql.untold.column(
        conn,
        brand_id=brand_id,
        execution_ids=[one.execution_id for one in people],
        parts=[part_of(one.customer_id) for one in people],
        customer_ids=[one.customer_id for one in people],
        channels=[one.channel for one in people],
        kinds=[one.kind for one in people],
    )
    counted = Counter((people[place].execution_id, people[place].channel, people[place].kind) for place in places)
    if counted:
        await Sql.count_reactions.run(
            conn,
            brand_id=brand_id,
            execution_ids=[execution_id for execution_id, _, _ in counted],
            channels=[channel for _, channel, _ in counted],
            kinds=[kind for _, _, kind in counted],
            people=list(counted.values()),
        )
