"""Emptying what is left of people who are gone: their messages in the sandbox, what providers said, what calls told, late tags.

A pass follows each erasure at once, and another one when nothing is on the wire any more that had been read before: a message
that was being handed over is handed over, and its traces come later.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.erasures import store
from stentor.erasures.store import Claimed, SweepSql
from stentor.failpoints import failpoint

SWEPT_AT_ONCE_MAX = 100
"""Erasures of one brand that are swept together."""

EXECUTIONS_PAGE = 500
"""Executions of one transaction: with 100 people up to 50,000 look-ups, about a quarter of a second."""

REST = timedelta(minutes=2)
"""How long after an erasure, at the earliest, its last pass begins: whoever read the person before has opened a wave by then."""

_ON_THE_WIRE = timedelta(minutes=1)
_PAUSE = timedelta(seconds=15)
_FIRST = UUID(int=0)


async def sweep(db: Database) -> int:
    """Takes the next step of the erasures that are due; the keeper's chore. Returns how many that step was for."""
    async with db.transaction() as conn:
        claimed = await store.claim(conn, rest=REST, limit=SWEPT_AT_ONCE_MAX)
        if claimed:
            await _step(conn, claimed)
        failpoint("sweep.before_commit")
    failpoint("sweep.after_commit")
    return len(claimed)


async def sweep_all(db: Database, *, while_: Callable[[], bool] = lambda: True) -> None:
    """All steps that are due by now."""
    while while_() and await sweep(db):
        continue


async def waiting(db: Database) -> int:
    """How many erasures are not complete yet."""
    async with db.read() as conn:
        return await SweepSql.waiting.value(conn)


async def _step(conn: Connection, claimed: Sequence[Claimed]) -> None:
    brand_id, swept_to = claimed[0].brand_id, claimed[0].swept_to
    people = await _people(conn, brand_id, claimed)
    await go_by_keys(conn)
    if swept_to is None:
        await _of_the_person(conn, brand_id, claimed, people)
    executions = await store.page_of_executions(
        conn, brand_id, people["customer_ids"], after=swept_to or _FIRST, limit=EXECUTIONS_PAGE
    )
    if executions:
        touched = await SweepSql.blank_events.column(conn, brand_id=brand_id, execution_ids=executions, **people)
        _count(claimed, "events", touched)
        await _of_pulls(conn, brand_id, executions, people)
    if len(executions) == EXECUTIONS_PAGE:
        await store.go_on(conn, brand_id, claimed, swept_to=executions[-1])
        return
    await store.go_on(conn, brand_id, claimed, swept_to=None)
    await _end(conn, brand_id, claimed)


async def _people(conn: Connection, brand_id: UUID, claimed: Sequence[Claimed]) -> dict[str, Any]:
    """The people as statements take them, each with the time up to which what there is was theirs."""
    customers = [one.customer_id for one in claimed]
    found = await SweepSql.made_anew.tuples(conn, brand_id=brand_id, **store.keys(customers))
    anew = dict(found)
    return {**store.keys(customers), "untils": [anew.get(customer, "infinity") for customer in customers]}


async def _of_the_person(conn: Connection, brand_id: UUID, claimed: Sequence[Claimed], people: dict[str, Any]) -> None:
    """What is found by the person, whatever execution it is of."""
    for what, statement in (
        ("messages", SweepSql.drop_messages),
        ("messages", SweepSql.drop_shown),
        ("contacts", SweepSql.drop_contacts),
        ("runs", SweepSql.drop_connector_people),
        ("runs", SweepSql.drop_connector_refused),
        ("told", SweepSql.drop_told),
        ("tags", SweepSql.drop_tags),
        ("reports", SweepSql.blank_reports),
    ):
        _count(claimed, what, await statement.column(conn, brand_id=brand_id, **people))
    await SweepSql.drop_skeletons.run(conn, brand_id=brand_id)
    keys = {name: people[name] for name in ("parts", "customer_ids")}
    named = await SweepSql.named_in.column(conn, brand_id=brand_id, **keys)
    if named:
        last = max(one.erased_at for one in claimed)
        left = await SweepSql.left_of.column(conn, brand_id=brand_id, execution_ids=named, erased_at=last)
        gone = sorted(set(named) - set(left))
        await SweepSql.blank_executions.run(conn, brand_id=brand_id, execution_ids=gone)


async def _of_pulls(conn: Connection, brand_id: UUID, executions: Sequence[UUID], people: dict[str, Any]) -> None:
    lists = await SweepSql.pulled_lists.tuples(conn, brand_id=brand_id, execution_ids=executions)
    if lists:
        of, ids, starts = zip(*lists, strict=True)
        await SweepSql.blank_pulled.run(
            conn, brand_id=brand_id, lists_of=list(of), lists=list(ids), starts=list(starts), **people
        )


async def _end(conn: Connection, brand_id: UUID, claimed: Sequence[Claimed]) -> None:
    """After a pass: those that are old enough, and of whom nothing is on the wire, are complete."""
    ended: list[UUID] = []
    if old := [one for one in claimed if one.may_end]:
        until = max(one.erased_at for one in old) + _ON_THE_WIRE
        if not await SweepSql.is_on_the_wire.value(conn, brand_id=brand_id, until=until):
            ended = [one.id for one in old]
    again = [one.id for one in claimed if one.id not in ended]
    if ended:
        await SweepSql.complete.run(conn, brand_id=brand_id, ids=ended)
    if again:
        await SweepSql.again_later.run(conn, brand_id=brand_id, ids=again, rest=REST, pause=_PAUSE)


def _count(claimed: Sequence[Claimed], what: str, touched: Sequence[UUID]) -> None:
    found = Counter(touched)
    for one in claimed:
        if number := found.get(one.customer_id):
            one.counts[what] = one.counts.get(what, 0) + number
