"""The books of an execution at one of its ends: sends by channel, state and reason, counted from rows."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS
from stentor.domain.vocabulary import Reason
from stentor.report.funnel import ChannelFunnel, channel_funnels
from stentor.report.tally import AUDIENCE


class Sql(QuerySet, file="reconciliations.sql", package=__package__):
    count_rows: Statement
    counters: Statement
    insert_reconciliations: Statement
    insert_lines: Statement
    page: Statement
    lines: Statement


PIECE_PEOPLE = 20_000
"""How many people one statement counts: some 15 ms, so that the end of a large execution keeps nobody waiting."""

Place: TypeAlias = tuple[int, int, int]
"""Channel, state and reason; state -1 is the channel's audience."""

Books: TypeAlias = Mapping[UUID, Counter[Place]]
"""Sends of executions by place."""


class Piece(msgspec.Struct, frozen=True):
    """The parts of an execution that are counted at once."""

    execution_id: UUID
    brand_id: UUID
    part_from: int
    part_to: int
    people: int


class Line(msgspec.Struct, frozen=True):
    """How many sends there are in one place, and how many the counters said."""

    number: int
    channel: int
    state: int
    reason: int
    sends: int
    counted: int


class Reconciliation(msgspec.Struct, frozen=True):
    """The books at one end of an execution. `balanced`: the counters said the same as the rows."""

    number: int
    at: datetime
    balanced: bool
    channels: list[ChannelFunnel]


def pieces_of(execution_id: UUID, brand_id: UUID, people: int) -> Iterator[Piece]:
    """The execution, cut into ranges of parts with some 20,000 people each."""
    count = min(max(1, -(-people // PIECE_PEOPLE)), PARTS)
    bounds = [number * PARTS // count for number in range(count + 1)]
    for first, after in pairwise(bounds):
        yield Piece(execution_id, brand_id, first, after - 1, people // count)


def batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """The pieces as statements take them: together they have some 20,000 people, unless one alone has more."""
    batch: list[Piece] = []
    for piece in pieces:
        if batch and sum(one.people for one in batch) + piece.people > PIECE_PEOPLE:
            yield batch
            batch = []
        batch.append(piece)
    if batch:
        yield batch


async def count_rows(conn: Connection, pieces: Sequence[Piece], books: defaultdict[UUID, Counter[Place]]) -> None:
    """Adds what there is in these pieces to the books, audiences included."""
    rows = await Sql.count_rows.tuples(
        conn,
        execution_ids=[piece.execution_id for piece in pieces],
        brand_ids=[piece.brand_id for piece in pieces],
        parts_from=[piece.part_from for piece in pieces],
        parts_to=[piece.part_to for piece in pieces],
    )
    for execution_id, channel, state, reason, sends in rows:
        books[execution_id][channel, state, reason] += sends
        books[execution_id][channel, AUDIENCE, Reason.NONE] += sends


async def store(conn: Connection, ended: Mapping[UUID, UUID], books: Books) -> list[UUID]:
    """Stores the books of executions that end, given with their brands, beside what the counters say.

    Returns those whose counters say something else. Their rows must be locked until the transaction ends.
    """
    executions = {"execution_ids": list(ended), "brand_ids": list(ended.values())}
    counted: defaultdict[UUID, Counter[Place]] = defaultdict(Counter)
    for execution_id, channel, state, reason, sends in await Sql.counters.tuples(conn, **executions):
        counted[execution_id][channel, state, reason] = sends
    empty: Counter[Place] = Counter()
    lines = {
        execution_id: [
            (place, books.get(execution_id, empty)[place], counted[execution_id][place])
            for place in sorted(books.get(execution_id, empty).keys() | counted[execution_id].keys())
        ]
        for execution_id in ended
    }
    balanced = [all(found == said for _, found, said in lines[execution_id]) for execution_id in ended]
    numbers = dict(await Sql.insert_reconciliations.tuples(conn, **executions, balanced=balanced))
    rows = [
        (execution_id, numbers[execution_id], *place, ended[execution_id], found, said)
        for execution_id in ended
        for place, found, said in lines[execution_id]
        if found or said
    ]
    if rows:
        names = ("execution_ids", "numbers", "channels", "states", "reasons", "brand_ids", "sends", "counted")
        await Sql.insert_lines.run(
            conn, **{name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        )
    return [execution_id for execution_id, agrees in zip(ended, balanced, strict=True) if not agrees]


async def page(
    conn: Connection, brand_id: UUID, execution_id: UUID, *, before: int | None, limit: int
) -> list[Reconciliation]:
    """The execution's reconciliations, newest first, from the one numbered `before` on."""
    found = await Sql.page.tuples(conn, brand_id=brand_id, execution_id=execution_id, before=before, limit=limit)
    by_number: defaultdict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
    for line in await lines(conn, brand_id, execution_id, [number for number, _, _ in found]):
        by_number[line.number].append((line.channel, line.state, line.reason, line.sends))
    return [Reconciliation(number, at, balanced, channel_funnels(by_number[number])) for number, at, balanced in found]


async def lines(conn: Connection, brand_id: UUID, execution_id: UUID, numbers: Sequence[int]) -> list[Line]:
    """The lines of these reconciliations, newest first."""
    return await Sql.lines.rows(conn, Line, brand_id=brand_id, execution_id=execution_id, numbers=list(numbers))
