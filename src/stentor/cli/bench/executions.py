"""Executions of the bench's club: called, watched to their end, looked for afterwards."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from stentor.cli.bench.club import GENERATOR, Club
from stentor.cli.bench.fixtures import CONTEXT
from stentor.cli.client import Called, Client
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.db.sql import QuerySet, Statement
from stentor.executions.service import Progress
from stentor.report.funnel import ChannelFunnel

_LOOK_EVERY_S = 0.1  # what is looked for carries its own time
_WITHIN_S = 900.0
_ASKED_AT_ONCE = 5_000


class Sql(QuerySet, file="queries.sql", package=__package__):
    found: Statement
    backlog: Statement
    ends: Statement


async def call(premises: Premises, club: Club, topic_key: str, *, generator_id: str = GENERATOR) -> Called:
    """Runs the generator for the topic, over HTTP as any client does."""
    await premises.until_listening()
    client = Client(premises.url, club.brand, club.key)
    try:
        return await client.run(generator_id, topic_key, CONTEXT)
    finally:
        client.close()


class Ended(msgspec.Struct, frozen=True):
    """When an execution was over, and how many messages were accepted."""

    at: datetime
    handed_over: int


async def until_published(premises: Premises, club: Club, execution_id: UUID) -> timedelta:
    """How long after its acceptance everybody was planned, by the database's clock. Ends the command when it fails."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            found = await premises.services.executions.find(club.brand.id, execution_id)
            if found.state == "failed":
                fail(f"The execution failed with {found.error_code}: {found.error_message}")
            if found.published_at is not None:
                return found.published_at - found.created_at
            await asyncio.sleep(_LOOK_EVERY_S)


async def until_over(premises: Premises, club: Club, execution_id: UUID) -> None:
    """Returns when nothing of it is pending any more, also of a cancelled one."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            found = await premises.services.executions.find(club.brand.id, execution_id)
            if found.ended_at is not None:
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def until_ended(premises: Premises, club: Club, execution_id: UUID) -> Ended:
    """The end, when all sends are settled. Ends the command when numbers do not add up or somebody is in doubt."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            found = await premises.services.executions.progress(club.brand.id, execution_id)
            if found.execution.ended_at is not None:
                return Ended(found.execution.ended_at, _accepted(found))
            await asyncio.sleep(_LOOK_EVERY_S)


async def check_found(premises: Premises, club: Club, execution_ids: Sequence[UUID]) -> None:
    """Ends the command unless every acknowledged execution is on disk, each with an id of its own."""
    if len(set(execution_ids)) != len(execution_ids):
        fail("Two acknowledged calls were given one execution.")
    for some in _blocks(execution_ids):
        async with premises.core.db.read() as conn:
            found = await Sql.found.value(conn, brand_id=club.brand.id, execution_ids=some)
        if found != len(some):
            fail(f"{len(some) - found} acknowledged calls of {len(some)} are not in the database.")


async def backlog(premises: Premises, club: Club) -> int:
    """How many of the club's executions are not over."""
    async with premises.core.db.read() as conn:
        return await Sql.backlog.value(conn, brand_id=club.brand.id)


async def ends(premises: Premises, club: Club, execution_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When those of these executions that are over were over."""
    async with premises.core.db.read() as conn:
        rows = await Sql.ends.tuples(conn, brand_id=club.brand.id, execution_ids=list(execution_ids))
    return dict(rows)


def _accepted(progress: Progress) -> int:
    counts = next(iter(progress.channels), ChannelFunnel("email"))
    if not counts.balanced or counts.audience != progress.execution.audience_size or counts.unknown:
        fail(f"The execution's numbers do not add up: {counts}")
    return counts.handed_over


def _blocks(execution_ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    rest = iter(execution_ids)
    while block := list(islice(rest, _ASKED_AT_ONCE)):
        yield block
