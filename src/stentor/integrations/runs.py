"""What partners ask about executions: which there were, by which channels, and for whom.

A client is told of the executions that go out by a channel of its own, and of people on those channels alone.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec

from stentor.channels.partners.model import HubCaller
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import customer_id, part_of
from stentor.errors import NotFound
from stentor.integrations.marks import Mark

RUNS_MAX = 10_000
"""Executions that one question is about, the youngest."""
RECENT_MAX = 1_000
"""The youngest executions among which somebody's last is looked for."""

_ROWS_AT_ONCE = 5_000
_HANDED_OVER = (2,)
_WAITING_TOO = (0, 1, 2)
_EXPORT_TIMEOUT = timedelta(minutes=10)


class Sql(QuerySet, file="runs.sql", package=__package__):
    runs: Statement
    tag_names: Statement
    held_out: Statement
    people_of_run: Statement
    runs_of_person: Statement
    channels_of_person: Statement


class Run(msgspec.Struct, frozen=True):
    """An execution as partners know it: `number` is its CampaignID.

    `route_channels` and `route_templates` are what goes out: a channel's number and a template's, pair by pair.
    """

    number: int
    execution_id: UUID
    published_at: datetime
    channels: list[int]
    campaign_id: UUID
    campaign_name: str
    segment_id: UUID | None
    tag_id: UUID | None
    state: str
    error_code: str
    audience_size: int
    is_recurrent: bool
    is_cancelled: bool
    started_at: datetime
    deadline_at: datetime | None
    has_arms: bool
    route_channels: list[int]
    route_templates: list[int]

    @property
    def is_failed(self) -> bool:
        return self.state in {"failed", "cancelled"}

    def templates_on(self, channel: int) -> list[int]:
        """The templates that it sends on a channel, each once."""
        pairs = zip(self.route_channels, self.route_templates, strict=True)
        return list(dict.fromkeys(template for number, template in pairs if number == channel))


class Reached(msgspec.Struct, frozen=True):
    """Somebody of a run, on one of its channels. `fields` and `attributes` are empty unless they were asked for."""

    run: Run
    external_id: str
    channel: int
    fields: dict[str, Any]
    attributes: dict[str, Any]


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are meant: what is left out narrows nothing. `channel` is a partner channel's number.

    `day` is that on which they were published, `over_on` that on which they ended.
    """

    number: int | None = None
    day: date | None = None
    over_on: date | None = None
    channel: int | None = None
    campaign_id: UUID | None = None
    is_going_on: bool = False


class RunBook:
    """Answers about executions of a client's channels."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def runs(self, client: HubCaller, query: RunQuery) -> list[Run]:
        """The runs that are meant, in the order of their numbers, 10,000 at most."""
        async with self._db.read() as conn:
            return await _runs(conn, client, query)

    async def run(self, client: HubCaller, number: int) -> Run:
        """The run of that number. Raises NotFound, also for one that goes out by channels of other clients alone."""
        found = await self.runs(client, RunQuery(number=number))
        if not found:
            raise NotFound(f"This client has no campaign {number}.")
        return found[0]

    async def tags(self, brand_id: UUID, run: Run) -> list[str]:
        """The names of the tags whose people it reaches."""
        if run.tag_id is None:
            return []
        async with self._db.read() as conn:
            return await Sql.tag_names.column(conn, brand_id=brand_id, tag_ids=[run.tag_id])

    async def held_out(self, brand_id: UUID, run: Run) -> int:
        """How many people were kept out of it, to be compared with."""
        async with self._db.read() as conn:
            count: int = await Sql.held_out.value(conn, brand_id=brand_id, execution_id=run.execution_id)
            return count

    async def people(
        self,
        client: HubCaller,
        runs: Sequence[Run],
        *,
        channel: int | None = None,
        with_attributes: bool,
        waiting: bool,
        after: Mark | None = None,
    ) -> AsyncGenerator[list[Reached], None]:
        """Whom these runs reached, some thousand at a time, run by run in the order of their external ids, from behind `after`.

        `channel` is one partner channel's number; `waiting` adds those who are still to be pulled.
        """
        async with self._db.read(statement_timeout=_EXPORT_TIMEOUT) as conn:
            for run in runs:
                if after is not None and run.number < after.run_number:
                    continue
                begun = after if after is not None and run.number == after.run_number else None
                numbers = _theirs(client, run.channels if channel is None else [channel])
                rows = Sql.people_of_run.batches(
                    conn,
                    _ROWS_AT_ONCE,
                    execution_id=run.execution_id,
                    brand_id=client.brand_id,
                    numbers=numbers,
                    states=list(_WAITING_TOO if waiting else _HANDED_OVER),
                    with_attributes=with_attributes,
                    after=None if begun is None else begun.external_id,
                    after_number=0 if begun is None else begun.channel_number,
                )
                async with aclosing(rows):
                    async for page in rows:
                        yield [Reached(run, row[0], row[1], row[2] or {}, row[3] or {}) for row in page]

    async def last_of(self, client: HubCaller, external_id: str) -> Run:
        """The last run that reached somebody. Raises NotFound where none of the last thousand did."""
        recent, found = await self._of_person(Sql.runs_of_person, client, external_id)
        reached = set(found)
        for run in reversed(recent):
            if run.execution_id in reached:
                return run
        raise NotFound("Nothing reached this person.")

    async def channels_of(self, client: HubCaller, external_id: str) -> set[int]:
        """The client's channels by which the last thousand runs reached somebody; none for whom there is not."""
        try:
            _, found = await self._of_person(Sql.channels_of_person, client, external_id)
        except NotFound:
            return set()
        return set(found)

    async def _of_person(
        self, statement: Statement, client: HubCaller, external_id: str
    ) -> tuple[list[Run], list[Any]]:
        try:
            customer = customer_id(client.brand_id, external_id)
        except ValueError:
            raise NotFound("There is no such person.") from None
        async with self._db.read() as conn:
            recent = (await _runs(conn, client, RunQuery()))[-RECENT_MAX:]
            return recent, await statement.column(
                conn,
                execution_ids=[run.execution_id for run in recent],
                part=part_of(customer),
                customer_id=customer,
                brand_id=client.brand_id,
                numbers=_theirs(client, [each for run in recent for each in run.channels]),
            )


async def _runs(conn: Connection, client: HubCaller, query: RunQuery) -> list[Run]:
    channels = list(client.channels) if query.channel is None else _theirs(client, [query.channel])
    since, until = _day(query.day)
    over_since, over_until = _day(query.over_on)
    found = await Sql.runs.rows(
        conn,
        Run,
        brand_id=client.brand_id,
        channels=channels,
        number=query.number,
        since=since,
        until=until,
        over_since=over_since,
        over_until=over_until,
        campaign_id=query.campaign_id,
        is_going_on=query.is_going_on,
        limit=RUNS_MAX,
    )
    return found[::-1]


def _day(day: date | None) -> tuple[datetime | None, datetime | None]:
    """From when until when a day of UTC is."""
    if day is None:
        return None, None
    since = datetime.combine(day, time(), UTC)
    return since, since + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)


def _theirs(client: HubCaller, channels: Collection[int]) -> list[int]:
    return sorted({number for number in channels if client.executes(number)})
