"""Runs in the database: noticed once, claimed for a while, kept page by page."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id, part_of
from stentor.errors import Unavailable
from stentor.integrations.connector.model import SAID_CHARS_MAX, Connector, ConnectorRun, RefusedRow, RunState

RUN_DAYS_MAX = 60
"""So long a run whose figures are told is shown, and is known to have been executed."""

LEASE = timedelta(seconds=20)
"""For as long one process alone works on a run; it is renewed while the process works, and what a dead one held is taken after it."""

_RENEWALS = 4
_RENEW_S_MIN = 1.0

FIRST_TICK = timedelta(seconds=2)
"""How soon after its start a run is looked at again."""

SLOW_TICK = timedelta(seconds=60)
"""How often a run is looked at until all of it is sent."""

_FORGOTTEN_AT_ONCE = 5_000
_RUNS_AT_ONCE = 100


class Sql(QuerySet, file="runs.sql", package=__package__):
    notice: Statement
    cancel: Statement
    anything_due: Statement
    claim: Statement
    renew: Statement
    lock_run: Statement
    note_page: Statement
    note_pulled: Statement
    note_started: Statement
    note_pushed: Statement
    rest: Statement
    put_off: Statement
    give_up: Statement
    page: Statement
    executions_of: Statement
    groups: Statement
    insert_group: Statement
    count_in_group: Statement
    note_execution: Statement
    known_people: Statement
    insert_people: Statement
    insert_refused: Statement
    refused_page: Statement
    connector_of: Statement
    time_zones: Statement
    template_of: Statement
    over: Statement
    forget_people: Statement
    forget_refused: Statement
    forget_run: Statement


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A run that this process works on until its lease ends."""

    id: UUID
    connector_id: UUID
    brand_id: UUID
    campaign_number: int
    channel_number: int
    state: RunState
    rows_read: int
    failures: int
    noticed_at: datetime
    cancelled_at: datetime | None
    pulled_at: datetime | None
    pushed_at: datetime | None
    push_until: datetime | None
    is_settled: bool
    heard_to: int
    is_deaf: bool


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Those of a run who get the same template at the same time. `problem`: why no execution is theirs."""

    number: int
    template_number: int
    start_at: datetime
    tag_id: UUID
    people: int
    execution_id: UUID | None
    problem: str


def window(connector: Connector) -> timedelta:
    """How long after its last start a run's figures are pushed."""
    return timedelta(days=connector.push_days)


async def notice(conn: Connection, brand_id: UUID, connector_id: UUID, campaign: int, channels: Sequence[int]) -> int:
    """Writes a run for each channel, unless it is known; returns how many are new."""
    return await Sql.notice.run(
        conn,
        brand_id=brand_id,
        connector_id=connector_id,
        campaign=campaign,
        ids=[new_id() for _ in channels],
        channels=list(channels),
    )


async def cancel(conn: Connection, brand_id: UUID, connector_id: UUID, campaign: int, channel: int | None) -> int:
    """Notes that the hub cancelled the campaign; returns of how many runs."""
    return await Sql.cancel.run(conn, brand_id=brand_id, connector_id=connector_id, campaign=campaign, channel=channel)


async def claim(db: Database, lease: timedelta) -> Claimed | None:
    """The run that has waited longest for its next step, for so long; None where none is due."""
    async with db.read() as conn:
        if not await Sql.anything_due.value(conn):
            return None
    async with db.autocommit() as conn:
        return await Sql.claim.first(conn, Claimed, lease=lease)


@asynccontextmanager
async def renewed(db: Database, run: Claimed, lease: timedelta) -> AsyncIterator[None]:
    """Within the block the run stays the caller's, however slow its hub is, until its next state begins."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(max(lease.total_seconds() / _RENEWALS, _RENEW_S_MIN))
            # An outage of the database ends the run's step as well.
            with suppress(Unavailable):
                async with db.autocommit() as conn:
                    await Sql.renew.run(conn, id=run.id, brand_id=run.brand_id, state=run.state, lease=lease)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def lock(conn: Connection, run: Claimed) -> tuple[RunState, int, datetime | None] | None:
    """Its state, how many rows were read, and since when it is cancelled, until the transaction ends; None where it is gone."""
    found = await Sql.lock_run.tuples(conn, id=run.id, brand_id=run.brand_id)
    return (found[0][0], found[0][1], found[0][2]) if found else None


async def groups(conn: Connection, brand_id: UUID, run_id: UUID) -> list[Group]:
    """The run's groups in the order of their making."""
    return await Sql.groups.rows(conn, Group, brand_id=brand_id, run_id=run_id)


async def known_people(conn: Connection, brand_id: UUID, run_id: UUID, customers: Sequence[UUID]) -> set[UUID]:
    """Those of these people who are in the run already."""
    return set(
        await Sql.known_people.column(
            conn,
            brand_id=brand_id,
            run_id=run_id,
            parts=[part_of(customer) for customer in customers],
            customer_ids=list(customers),
        )
    )


async def insert_people(conn: Connection, brand_id: UUID, run_id: UUID, group: int, people: Mapping[UUID, str]) -> None:
    """Writes people, with their ids at the hub, into a group."""
    keys = sorted(people, key=lambda customer: (part_of(customer), customer))
    await Sql.insert_people.run(
        conn,
        brand_id=brand_id,
        run_id=run_id,
        group_number=group,
        parts=[part_of(customer) for customer in keys],
        customer_ids=keys,
        external_ids=[people[customer] for customer in keys],
    )


class Lost(NamedTuple):
    """A row of a hub's list that no customer was made of. `customer`: made of the id that was said, whoever may have it."""

    row_number: int
    template_number: int
    customer: UUID
    external_id: str
    why: str


async def insert_refused(conn: Connection, brand_id: UUID, run_id: UUID, lost: Sequence[Lost]) -> None:
    """Writes them down. Those whose id cannot be said again as it came count as told: the hub would not know them."""
    said = [storable(one.external_id)[:SAID_CHARS_MAX] for one in lost]
    await Sql.insert_refused.run(
        conn,
        brand_id=brand_id,
        run_id=run_id,
        row_numbers=[one.row_number for one in lost],
        template_numbers=[one.template_number for one in lost],
        parts=[part_of(one.customer) for one in lost],
        customer_ids=[one.customer for one in lost],
        are_told=[not name or name != one.external_id for name, one in zip(said, lost, strict=True)],
        external_ids=said,
        whys=[storable(one.why)[:SAID_CHARS_MAX] for one in lost],
    )


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot keep."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


async def connector_of(conn: Connection, brand_id: UUID, run_id: UUID) -> UUID | None:
    """Whose run that is; None where there is none."""
    return await Sql.connector_of.value(conn, id=run_id, brand_id=brand_id)


async def refused(conn: Connection, brand_id: UUID, run_id: UUID, *, after: int, limit: int) -> list[RefusedRow]:
    """Rows of the run that no customer was made of, in the hub's order, from behind that row."""
    return await Sql.refused_page.rows(conn, RefusedRow, brand_id=brand_id, run_id=run_id, after=after, limit=limit)


async def time_zones(conn: Connection, brand_id: UUID, customers: Sequence[UUID]) -> dict[UUID, str]:
    """Where those of these people are of whom that is known."""
    rows = await Sql.time_zones.tuples(
        conn, brand_id=brand_id, parts=[part_of(one) for one in customers], customer_ids=list(customers)
    )
    return dict(rows)


async def page(
    conn: Connection, brand_id: UUID, connector_id: UUID, *, before: UUID | None, limit: int
) -> list[ConnectorRun]:
    """A connector's runs, newest first, from before the id `before`."""
    found = await Sql.page.rows(
        conn, ConnectorRun, brand_id=brand_id, connector_id=connector_id, before=before, limit=limit
    )
    executions: dict[UUID, list[UUID]] = {}
    for run_id, execution_id in await Sql.executions_of.tuples(
        conn, brand_id=brand_id, run_ids=[one.id for one in found]
    ):
        executions.setdefault(run_id, []).append(execution_id)
    return [msgspec.structs.replace(one, executions=tuple(executions.get(one.id, ()))) for one in found]


async def forget_runs(db: Database) -> int:
    """Forgets runs, and whom they named, 60 days after they were noticed; the keeper's chore. Returns how many rows."""
    async with db.read() as conn:
        over = await Sql.over.tuples(conn, days=RUN_DAYS_MAX, limit=_RUNS_AT_ONCE)
    forgotten = 0
    for run_id, brand_id in over:

        async def forget(run_id: UUID = run_id, brand_id: UUID = brand_id) -> int:
            async with db.transaction() as conn:
                key = {"run_id": run_id, "brand_id": brand_id}
                people = await Sql.forget_people.run(conn, **key, limit=_FORGOTTEN_AT_ONCE)
                if people < _FORGOTTEN_AT_ONCE:
                    people += await Sql.forget_refused.run(conn, **key, limit=_FORGOTTEN_AT_ONCE - people)
                if people < _FORGOTTEN_AT_ONCE:
                    await Sql.forget_run.run(conn, **key)
                return people

        forgotten += 1 + await until_short(forget, _FORGOTTEN_AT_ONCE)
    return forgotten
