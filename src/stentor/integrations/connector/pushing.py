"""Pushing what became of a run to its hub: totals that take each other's place, and people by event, each told once.

A call that was answered and not written down, for the process died, is made again: totals are the same then, and a hub
counts a person once however often it is told of them.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.failpoints import failpoint
from stentor.integrations.connector import runs, store
from stentor.integrations.connector.hub import Hub, Interaction, Metric
from stentor.integrations.connector.model import TOLD_MAX, Connector
from stentor.integrations.connector.runs import Claimed

SENT, DROPPED = 0, 5
_METRICS = {"delivered": 1, "opened": 2, "clicked": 3, "unsubscribed": 4, "complained": 6, "bounced": 9}

LOOKED_AT_ONCE = 10_000
"""People who are looked through for news at a time."""

_BEFORE = -1
_FIRST = UUID(int=0)


class Sql(QuerySet, file="pushing.sql", package=__package__):
    executions: Statement
    reported: Statement
    people: Statement
    note_told: Statement
    refused: Statement
    note_refused_told: Statement


class _Standing(msgspec.Struct, frozen=True):
    """How a group's execution stands."""

    number: int
    template_number: int
    people: int
    start_at: datetime
    is_over: bool
    handed_over: int
    unknown: int
    dropped: int

    @property
    def left_out(self) -> int:
        """Who got nothing and will get nothing. Once it is over: everybody who was not sent to, and is not in doubt."""
        return self.people - self.handed_over - self.unknown if self.is_over else self.dropped


class Due(NamedTuple):
    """How the groups of a run stand, whether all of it is sent, and when to look again once that is told."""

    standing: Sequence[_Standing]
    is_over: bool
    tick: timedelta


class _Told(NamedTuple):
    """Something that happened on a day to people with one template."""

    template: int
    event: int
    day: date


class Pusher:
    """Tells hubs what became of their campaigns."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def due(self, connector: Connector, run: Claimed, now: datetime) -> Due | None:
        """What is to be pushed now; None where nothing is, and the run rests.

        That is when the last of it was sent, then several times a day, and a last time at the end of its days.
        """
        async with self._db.read() as conn:
            standing = await Sql.executions.rows(conn, _Standing, brand_id=run.brand_id, run_id=run.id)
        every = timedelta(seconds=connector.push_every_s)
        is_over = all(one.is_over for one in standing)
        next_at = run.noticed_at + every if run.pushed_at is None else run.pushed_at + every
        is_last = run.push_until is not None and now >= run.push_until
        if next_at <= now or is_last or (is_over and not run.is_settled):
            return Due(standing, is_over, every if is_over else min(every, _look_again(standing, now)))
        tick = next_at - now if is_over else min(_look_again(standing, now), next_at - now)
        async with self._db.transaction() as conn:
            await runs.Sql.rest.run(conn, id=run.id, brand_id=run.brand_id, tick=_until_end(tick, run, now))
            failpoint("connector.before_rest")
        return None

    async def push(self, hub: Hub, run: Claimed, due: Due, now: datetime) -> None:
        """Tells the hub how the run stands. Raises HubRefused."""
        await self._push_totals(hub, run, due.standing)
        await self._push_people(hub, run)
        await self._push_refused(hub, run)
        async with self._db.transaction() as conn:
            await runs.Sql.note_pushed.run(
                conn, id=run.id, brand_id=run.brand_id, settled=due.is_over, tick=_until_end(due.tick, run, now)
            )
            await store.note_well(conn, run.brand_id, run.connector_id, "pushed")
            failpoint("connector.before_pushed")
        failpoint("connector.after_pushed")

    async def _push_totals(self, hub: Hub, run: Claimed, standing: Sequence[_Standing]) -> None:
        totals: Counter[tuple[int, int]] = Counter()
        templates = {one.number: one.template_number for one in standing}
        for one in standing:
            totals[one.template_number, SENT] += one.handed_over
            totals[one.template_number, DROPPED] += one.left_out
        async with self._db.read() as conn:
            rows = await Sql.reported.tuples(conn, brand_id=run.brand_id, run_id=run.id)
        for number, kind, people in rows:
            totals[templates[number], _METRICS[kind]] += people
        said = [
            Metric(run.channel_number, run.campaign_number, template, metric, totals[template, metric])
            for template in sorted(set(templates.values()))
            for metric in (SENT, *_METRICS.values(), DROPPED)
        ]
        await hub.update_metrics(said)
        failpoint("connector.totals_told")

    async def _push_people(self, hub: Hub, run: Claimed) -> None:
        after_part, after = _BEFORE, _FIRST
        while True:
            async with self._db.read() as conn:
                rows = await Sql.people.tuples(
                    conn,
                    brand_id=run.brand_id,
                    run_id=run.id,
                    after_part=after_part,
                    after=after,
                    limit=LOOKED_AT_ONCE,
                )
            if not rows:
                return
            after_part, after = rows[-1][0], rows[-1][1]
            news: defaultdict[_Told, list[tuple[int, UUID, str]]] = defaultdict(list)
            for part, customer, external_id, template, event, at in rows:
                if event is not None:
                    news[_Told(template, event, at.astimezone(UTC).date())].append((part, customer, external_id))
            for told, people in sorted(news.items()):
                for start in range(0, len(people), TOLD_MAX):
                    await self._tell(hub, run, told, people[start : start + TOLD_MAX])

    async def _push_refused(self, hub: Hub, run: Claimed) -> None:
        """Tells of the rows that no customer was made of: they were dropped."""
        while True:
            async with self._db.read() as conn:
                rows = await Sql.refused.tuples(conn, brand_id=run.brand_id, run_id=run.id, limit=TOLD_MAX)
            if not rows:
                return
            news: defaultdict[_Told, list[tuple[int, str]]] = defaultdict(list)
            for number, external_id, template, at in rows:
                news[_Told(template, DROPPED, at.astimezone(UTC).date())].append((number, external_id))
            for told, lost in sorted(news.items()):
                names = [external_id for _, external_id in lost]
                await hub.update_interactions(
                    Interaction(run.channel_number, run.campaign_number, told.template, told.event, told.day, names)
                )
                failpoint("connector.refused_told")
                async with self._db.transaction() as conn:
                    numbers = [number for number, _ in lost]
                    await Sql.note_refused_told.run(conn, run_id=run.id, brand_id=run.brand_id, row_numbers=numbers)
                    failpoint("connector.before_refused_told")
                failpoint("connector.after_refused_told")

    async def _tell(self, hub: Hub, run: Claimed, told: _Told, people: Sequence[tuple[int, UUID, str]]) -> None:
        named = [external_id for _, _, external_id in people]
        await hub.update_interactions(
            Interaction(run.channel_number, run.campaign_number, told.template, told.event, told.day, named)
        )
        failpoint("connector.people_told")
        async with self._db.transaction() as conn:
            await Sql.note_told.run(
                conn,
                run_id=run.id,
                brand_id=run.brand_id,
                event=told.event,
                parts=[part for part, _, _ in people],
                customer_ids=[customer for _, customer, _ in people],
            )
            failpoint("connector.before_told")
        failpoint("connector.after_told")


def _look_again(standing: Sequence[_Standing], now: datetime) -> timedelta:
    """Soon while something is being sent, and right before the next of it begins."""
    waiting = [one.start_at for one in standing if not one.is_over]
    if any(at <= now for at in waiting):
        return runs.FIRST_TICK
    until_next = min((at - now for at in waiting), default=runs.SLOW_TICK)
    return min(runs.SLOW_TICK, max(until_next - runs.FIRST_TICK, runs.FIRST_TICK))


def _until_end(tick: timedelta, run: Claimed, now: datetime) -> timedelta:
    """That long, and not beyond the end of the run's days."""
    if run.push_until is None or now >= run.push_until:
        return tick
    return max(min(tick, run.push_until - now), timedelta(seconds=1))
