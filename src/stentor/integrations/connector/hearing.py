"""Hearing whom a hub revokes after the pull: they are left out of what is started, and of what is still to leave.

A hub that is a Stentor has a feed of them, which is read before a run starts and then every two seconds while something of it is
being sent; others have none, and are asked once.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import customer_id, part_of
from stentor.executions.revoked import revoke
from stentor.failpoints import failpoint
from stentor.integrations.connector import runs
from stentor.integrations.connector.hub import Hub, HubRefused
from stentor.integrations.connector.runs import Claimed
from stentor.integrations.connector.wire import Revoked

WAITED = timedelta(minutes=10)
"""For so long a run that was pulled waits for a hub that does not say whom it revoked since; then it starts without."""

ASKED_AT_ONCE = 1_000
_LOOKED_AT_ONCE = 10_000
_BEFORE = -1
_FIRST = UUID(int=0)

log = structlog.get_logger(__name__)


class Sql(QuerySet, file="hearing.sql", package=__package__):
    by_key: Statement
    by_external_id: Statement
    all_names: Statement
    mark: Statement
    marked: Statement
    note_heard: Statement
    note_deaf: Statement


class Ear:
    """Reads hubs' feeds of revocations."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def hear_before_start(self, hub: Hub, run: Claimed, now: datetime) -> None:
        """As `hear`; a hub that does not answer holds the start up for ten minutes at most. Raises HubRefused until then."""
        try:
            await self.hear(hub, run)
        except HubRefused:
            if run.pulled_at is None or now < run.pulled_at + WAITED:
                raise
            log.warning("connector.started_unheard", run=str(run.id))

    async def hear(self, hub: Hub, run: Claimed) -> None:
        """Reads what is new, and has these people skipped by executions that have begun. Raises HubRefused."""
        heard_to = run.heard_to
        while not run.is_deaf:
            found = await hub.revocations(run.campaign_number, run.channel_number, after=heard_to, top=ASKED_AT_ONCE)
            if found is None:
                await self._note_deaf(run)
                return
            if not found:
                return
            people = await self._meant(run, found)
            heard_to = max(one.number for one in found)
            async with self._db.transaction() as conn:
                if await runs.lock(conn, run) is None:
                    return
                count = await Sql.mark.run(
                    conn,
                    run_id=run.id,
                    brand_id=run.brand_id,
                    parts=[part_of(one) for one in people],
                    customer_ids=people,
                )
                await revoke_marked(conn, run)
                await Sql.note_heard.run(conn, id=run.id, brand_id=run.brand_id, heard_to=heard_to, count=count)
                failpoint("connector.before_heard")
            failpoint("connector.after_heard")

    async def _note_deaf(self, run: Claimed) -> None:
        async with self._db.transaction() as conn:
            await Sql.note_deaf.run(conn, id=run.id, brand_id=run.brand_id)
            failpoint("connector.before_deaf")

    async def _meant(self, run: Claimed, found: Sequence[Revoked]) -> list[UUID]:
        """Who of the run's people that is: by the ids that are theirs here as a rule, or else by those that they have at the hub."""
        key = {"run_id": run.id, "brand_id": run.brand_id}
        names = {one.external_id for one in found if one.external_id}
        guessed = {guess: name for name in names if (guess := _customer_here(run.brand_id, name)) is not None}
        async with self._db.read() as conn:
            known = dict(
                await Sql.by_key.tuples(
                    conn, **key, parts=[part_of(one) for one in guessed], customer_ids=list(guessed)
                )
            )
            meant = [customer for customer, name in known.items() if guessed[customer] == name]
            others = names - {guessed[customer] for customer in meant}
            if others:
                meant += await Sql.by_external_id.column(conn, **key, external_ids=sorted(others))
        erased = {one.profile_id: one.group_id for one in found if not one.external_id and one.profile_id is not None}
        return sorted({*meant, *(await self._erased(run, erased) if erased else ())})

    async def _erased(self, run: Claimed, erased: dict[UUID, UUID | None]) -> list[UUID]:
        """Who was erased at the hub has an id there alone, which is made of the one that we know."""
        groups = {group for group in erased.values() if group is not None}
        meant: list[UUID] = []
        after_part, after = _BEFORE, _FIRST
        while True:
            async with self._db.read() as conn:
                rows = await Sql.all_names.tuples(
                    conn,
                    run_id=run.id,
                    brand_id=run.brand_id,
                    after_part=after_part,
                    after=after,
                    limit=_LOOKED_AT_ONCE,
                )
            if not rows:
                return meant
            after_part, after = rows[-1][0], rows[-1][1]
            meant += await asyncio.to_thread(_theirs, rows, erased, groups)


async def revoke_marked(conn: Connection, run: Claimed) -> None:
    """Whoever of the run's people is marked as revoked gets nothing more of the executions that it has."""
    by_execution: dict[UUID, list[UUID]] = {}
    for execution_id, customer in await Sql.marked.tuples(conn, run_id=run.id, brand_id=run.brand_id):
        by_execution.setdefault(execution_id, []).append(customer)
    for execution_id in sorted(by_execution):
        await revoke(conn, run.brand_id, execution_id, by_execution[execution_id])


def _theirs(rows: Sequence[tuple[int, UUID, str]], erased: dict[UUID, UUID | None], groups: set[UUID]) -> list[UUID]:
    return [
        customer
        for _, customer, name in rows
        if any((there := _customer_here(group, name)) in erased and erased[there] == group for group in groups)
    ]


def _customer_here(group: UUID, name: str) -> UUID | None:
    try:
        return customer_id(group, name)
    except ValueError:
        return None
