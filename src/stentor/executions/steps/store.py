"""Waits, turns and how they stand, in the database."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from stentor.campaigns.model import PublishedContent
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.executions.steps.model import DueTurn, Exits, SettledChunk, Source


class Sql(QuerySet, file="queries.sql", package=__package__):
    begin: Statement
    begin_sources: Statement
    claim_sources: Statement
    unseen: Statement
    write_waits: Statement
    add_to_turns: Statement
    note_chunks: Statement
    look_again: Statement
    looked_at: Statement
    look_through_anew: Statement
    open_anew: Statement
    claim_turns: Statement
    start_executions: Statement
    turns_started: Statement
    note_exits: Statement
    park_turns: Statement
    lock_over: Statement
    end_steppings: Statement
    pause: Statement
    resume: Statement
    take_up_turns: Statement
    cancel: Statement
    stop_looking: Statement
    drop_turns: Statement
    under_way: Statement
    find: Statement
    sums: Statement
    executions: Statement
    wait_of: Statement


class Starting(NamedTuple):
    """A turn and the execution that it is given."""

    id: UUID
    turn: DueTurn
    publication_id: UUID
    deadline_s: int | None


class Look(NamedTuple):
    """What came of looking at a source: when to look again, or that nothing is left of it."""

    source: Source
    rest_s: int
    is_done: bool


async def begin(conn: Connection, brand_id: UUID, execution_ids: Sequence[UUID], content: PublishedContent) -> None:
    """Lets people of these executions wait for what follows; for those that nothing follows there is nothing to do.

    To be called by the transaction that plans them.
    """
    if content.steps and execution_ids:
        ids = sorted(set(execution_ids))
        await Sql.begin.run(conn, brand_id=brand_id, execution_ids=ids)
        await Sql.begin_sources.run(conn, brand_id=brand_id, execution_ids=ids, wait_s=content.steps[0].wait_s)


async def claim_sources(conn: Connection, limit: int) -> list[Source]:
    """Sources to look at, those that have waited longest first, locked until the transaction ends."""
    return await Sql.claim_sources.rows(conn, Source, limit=limit)


async def unseen(conn: Connection, brand_id: UUID, sources: Sequence[Source], limit: int) -> list[SettledChunk]:
    """Chunks of these sources of which something was settled that is not written down, at most so many."""
    ids = [source.execution_id for source in sources]
    return await Sql.unseen.rows(conn, SettledChunk, brand_id=brand_id, execution_ids=ids, limit=limit)


async def write_waits(
    conn: Connection,
    brand_id: UUID,
    chunks: Sequence[tuple[SettledChunk, Source]],
    *,
    grains_s: Mapping[UUID, int],
    margin_s: float,
) -> Counter[tuple[UUID, int, datetime]]:
    """Writes down who of these chunks waits, and answers how many were new, by run, step and due time.

    `grains_s`: by source, to which multiple of seconds due times are rounded up; none is nearer than `margin_s`.
    """
    await go_by_keys(conn)
    rows = await Sql.write_waits.tuples(
        conn,
        brand_id=brand_id,
        margin_s=margin_s,
        run_ids=[source.run_id for _, source in chunks],
        execution_ids=[source.execution_id for _, source in chunks],
        steps=[source.step for _, source in chunks],
        waits_s=[source.wait_s for _, source in chunks],
        grains_s=[grains_s[source.execution_id] for _, source in chunks],
        numbers=[chunk.number for chunk, _ in chunks],
        channels=[chunk.channel for chunk, _ in chunks],
        keys_from=[chunk.key_from for chunk, _ in chunks],
        keys_to=[chunk.key_to for chunk, _ in chunks],
        parts_from=[part_of(chunk.key_from) for chunk, _ in chunks],
        parts_to=[part_of(chunk.key_to) for chunk, _ in chunks],
    )
    return Counter((run_id, step, due_at) for run_id, step, due_at in rows)


async def add_to_turns(conn: Connection, brand_id: UUID, people: Mapping[tuple[UUID, int, datetime], int]) -> bool:
    """Adds the people to their turns; False when one of these was started meanwhile, and then nothing may be committed."""
    if not people:
        return True
    added = await Sql.add_to_turns.column(
        conn,
        brand_id=brand_id,
        run_ids=[run_id for run_id, _, _ in people],
        steps=[step for _, step, _ in people],
        dues_at=[due_at for _, _, due_at in people],
        people=list(people.values()),
    )
    return len(added) == len(people)


async def note_chunks(conn: Connection, brand_id: UUID, chunks: Sequence[SettledChunk]) -> None:
    """Remembers the chunks as they were seen: they are not looked at again until more of them is settled."""
    await Sql.note_chunks.run(
        conn,
        brand_id=brand_id,
        execution_ids=[chunk.execution_id for chunk in chunks],
        numbers=[chunk.number for chunk in chunks],
        settled_at=[chunk.settled_at for chunk in chunks],
    )


async def look_again(conn: Connection, brand_id: UUID, sources: Sequence[Source]) -> None:
    """Forgets which chunks of these sources were looked at."""
    await Sql.look_again.run(conn, brand_id=brand_id, execution_ids=[source.execution_id for source in sources])


async def looked_at(conn: Connection, brand_id: UUID, looks: Sequence[Look]) -> None:
    """Stores what came of looking."""
    await Sql.looked_at.run(
        conn,
        brand_id=brand_id,
        execution_ids=[look.source.execution_id for look in looks],
        rests_s=[look.rest_s for look in looks],
        # Of what is not over a remedy may still be under way.
        remedies=[look.source.ordered if look.source.is_over else look.source.remedies for look in looks],
        done=[look.is_done for look in looks],
    )


async def reopen(conn: Connection, brand_id: UUID, execution_id: UUID) -> None:
    """Looks through an execution anew, for which a remedy was ordered; for one that nothing follows there is nothing to do."""
    # The run's row first, as whoever cancels it locks them: neither waits for the other, and what is cancelled stays so.
    await Sql.open_anew.run(conn, brand_id=brand_id, execution_id=execution_id)
    await Sql.look_through_anew.run(conn, brand_id=brand_id, execution_id=execution_id)


async def claim_turns(conn: Connection, limit: int) -> list[DueTurn]:
    """Turns that fell due and that nothing holds, locked until the transaction ends."""
    return await Sql.claim_turns.rows(conn, DueTurn, limit=limit)


async def start(conn: Connection, starting: Sequence[Starting]) -> None:
    """Gives each of the turns its execution, queued."""
    turns = {
        "ids": [one.id for one in starting],
        "run_ids": [one.turn.run_id for one in starting],
        "steps": [one.turn.step for one in starting],
        "dues_at": [one.turn.due_at for one in starting],
    }
    await Sql.start_executions.run(
        conn,
        publication_ids=[one.publication_id for one in starting],
        deadlines_s=[one.deadline_s for one in starting],
        **turns,
    )
    await Sql.turns_started.run(conn, **turns)


async def note_exits(conn: Connection, brand_id: UUID, execution_id: UUID, exits: Exits) -> int:
    """Stores who of the turn of that execution left, and answers how many people the turn has."""
    people: int = await Sql.note_exits.value(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        gone=exits.gone,
        opted_out=exits.opted_out,
        unmet=exits.unmet,
    )
    return people


async def park_turns(conn: Connection, limit: int) -> int:
    """Sets aside turns that fell due while their run is paused, until it is resumed; returns how many."""
    return await Sql.park_turns.run(conn, limit=limit)


async def over(conn: Connection, limit: int) -> list[UUID]:
    """Runs with steps of which nobody seems to wait and nothing to be under way, locked until the transaction ends."""
    return await Sql.lock_over.column(conn, run_ids=None, limit=limit)


async def end_steppings(conn: Connection, run_ids: Sequence[UUID]) -> int:
    """Ends the steps of those of these runs that are over; returns how many they were.

    Locked first and asked again: a remedy that was committed between the look and the lock left what the look knew as it was.
    """
    ids = await Sql.lock_over.column(conn, run_ids=list(run_ids), limit=len(run_ids)) if run_ids else []
    return await Sql.end_steppings.run(conn, run_ids=ids) if ids else 0
