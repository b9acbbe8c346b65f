"""Totals, tallies and the ids of facts in the database, and the executions that they are about."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.metrics.model import TOTAL_MAX, FactKind, Run


class Sql(QuerySet, file="queries.sql", package=__package__):
    runs: Statement
    lock_runs: Statement
    sent_templates: Statement
    templates: Statement
    replace_totals: Statement
    add_totals: Statement
    count_call: Statement
    count_people: Statement
    remember: Statement
    forget_ids: Statement
    forget_told: Statement
    totals_of: Statement
    people_of: Statement
    calls_of: Statement
    names: Statement
    runs_until: Statement
    execution_exists: Statement


class Counted(NamedTuple):
    """What is counted together: an execution's metric on one partner channel by one template."""

    execution_id: UUID
    channel: int
    template: int
    kind: FactKind


class Call(NamedTuple):
    """A call of interactions, as it is counted: how many people it named, and how many of those nothing was sent to."""

    execution_id: UUID
    channel: int
    template: int
    kind: FactKind
    day: date
    group: int
    customers: int
    unknown: int


class TotalRow(NamedTuple):
    """A total as it was reported last."""

    channel: int
    template: int
    kind: int
    value: int
    reported_at: datetime


async def runs(conn: Connection, brand_id: UUID, numbers: Collection[int]) -> dict[int, Run]:
    """The executions of these run numbers; a number that is none is absent."""
    rows = await Sql.runs.tuples(conn, brand_id=brand_id, numbers=sorted(numbers))
    found: dict[int, Run] = {}
    for number, execution_id, published_at, channel, kind in rows:
        found.setdefault(number, Run(number, execution_id, published_at, {})).channels[channel] = ChannelKind(kind)
    return found


async def lock_runs(conn: Connection, brand_id: UUID, numbers: Collection[int]) -> None:
    """Locks these executions' books of facts until the transaction ends, in the order of their numbers."""
    await Sql.lock_runs.run(conn, brand_id=brand_id, numbers=sorted(numbers))


async def templates(conn: Connection, brand_id: UUID, named: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Which of these templates, each (channel, template), there are or were."""
    wanted = list(named)
    rows = await Sql.templates.tuples(
        conn, brand_id=brand_id, channels=[one[0] for one in wanted], templates=[one[1] for one in wanted]
    )
    return {(channel, template) for channel, template in rows}


async def sent_templates(
    conn: Connection, brand_id: UUID, execution_ids: Collection[UUID]
) -> dict[tuple[UUID, int, int], int]:
    """The templates of sends by execution, partner channel and the send's number for its route and language."""
    rows = await Sql.sent_templates.tuples(conn, brand_id=brand_id, execution_ids=list(execution_ids))
    return {
        (execution_id, channel, variant): template
        for execution_id, channel, variant_from, variant_to, template in rows
        for variant in range(variant_from, variant_to)
    }


async def put_totals(conn: Connection, brand_id: UUID, totals: Mapping[Counted, int], *, are_added: bool) -> None:
    """Stores the totals, in the place of earlier ones or added to them."""
    columns = _columns(totals)
    if are_added:
        await Sql.add_totals.run(
            conn, brand_id=brand_id, **columns, metrics=_kinds(totals), values=list(totals.values()), most=TOTAL_MAX
        )
    else:
        await Sql.replace_totals.run(
            conn, brand_id=brand_id, **columns, metrics=_kinds(totals), values=list(totals.values())
        )


async def count_call(conn: Connection, brand_id: UUID, call: Call) -> None:
    """Adds a call to those that said the same."""
    await Sql.count_call.run(
        conn,
        brand_id=brand_id,
        execution_id=call.execution_id,
        channel=call.channel,
        template=call.template,
        event=int(call.kind),
        day=call.day,
        group=call.group,
        customers=call.customers,
        unknown=call.unknown,
    )


async def count_people(conn: Connection, brand_id: UUID, people: Counter[Counted]) -> None:
    """Adds people to the tallies of facts."""
    if people:
        await Sql.count_people.run(
            conn, brand_id=brand_id, **_columns(people), kinds=_kinds(people), people=list(people.values())
        )


async def remember(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> set[bytes]:
    """Keeps these ids of facts, 16 bytes each, and returns those that were not known."""
    return set(await Sql.remember.column(conn, brand_id=brand_id, **_keys(digests)))


async def forget_ids(conn: Connection, brand_id: UUID, digests: Sequence[bytes]) -> None:
    """Forgets ids of facts that this transaction remembered."""
    if digests:
        await Sql.forget_ids.run(conn, brand_id=brand_id, **_keys(digests))


async def forget_told(conn: Connection, *, days: int, limit: int) -> int:
    """Deletes the oldest ids of more than so many days, at most `limit`, and returns how many."""
    return await Sql.forget_told.run(conn, days=days, limit=limit)


async def totals_of(conn: Connection, brand_id: UUID, execution_id: UUID) -> list[TotalRow]:
    """What partners reported of the execution."""
    rows = await Sql.totals_of.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return [TotalRow(*row) for row in rows]


async def people_of(conn: Connection, brand_id: UUID, execution_id: UUID) -> list[tuple[int, int, int, int]]:
    """Of how many people facts were told: (channel, template, kind, people)."""
    rows = await Sql.people_of.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return [(channel, template, kind, people) for channel, template, kind, people in rows]


async def calls_of(conn: Connection, brand_id: UUID, execution_id: UUID) -> dict[tuple[int, int], tuple[int, int, int]]:
    """By (channel, template): calls of interactions, people named in them, and those of them nothing was sent to."""
    rows = await Sql.calls_of.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return {(channel, template): (calls, named, unknown) for channel, template, calls, named, unknown in rows}


async def names(
    conn: Connection, brand_id: UUID, named: Collection[tuple[int, int]]
) -> dict[tuple[int, int], tuple[str, str]]:
    """The names of channel and template of each (channel, template)."""
    wanted = list(named)
    rows = await Sql.names.tuples(
        conn, brand_id=brand_id, channels=[one[0] for one in wanted], templates=[one[1] for one in wanted]
    )
    return {(channel, template): (channel_name, name) for channel, channel_name, template, name in rows}


async def runs_until(
    conn: Connection, brand_id: UUID, until: datetime, channels: Collection[int], *, limit: int
) -> dict[UUID, tuple[int, UUID | None]]:
    """The newest executions on these channels that were published before that time: run numbers and campaigns."""
    rows = await Sql.runs_until.tuples(conn, brand_id=brand_id, until=until, channels=sorted(channels), limit=limit)
    return {execution_id: (number, campaign_id) for number, execution_id, campaign_id in rows}


async def execution_exists(conn: Connection, brand_id: UUID, execution_id: UUID) -> bool:
    """Whether the brand has that execution."""
    return bool(await Sql.execution_exists.value(conn, brand_id=brand_id, execution_id=execution_id))


def _keys(digests: Sequence[bytes]) -> dict[str, list[int] | list[bytes]]:
    return {"shards": [digest[0] << 4 | digest[1] >> 4 for digest in digests], "digests": list(digests)}


def _columns(counted: Mapping[Counted, int]) -> dict[str, list[UUID] | list[int]]:
    return {
        "execution_ids": [one.execution_id for one in counted],
        "channels": [one.channel for one in counted],
        "templates": [one.template for one in counted],
    }


def _kinds(counted: Mapping[Counted, int]) -> list[int]:
    return [int(one.kind) for one in counted]
