"""What partners reported, for those who look: beside what is known of people, where both are there."""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from stentor.audience.customer_store import survivor_of
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.errors import NotFound
from stentor.integrations.metrics import store
from stentor.integrations.metrics.model import FactKind, Figure, PastInteraction, ReportedTemplate
from stentor.report import partner_facts
from stentor.report.partner_facts import PersonTold

PAGE_MAX = 10_000
RUNS_MAX = 10_000
"""The newest executions that a question about one person looks through."""
ANSWERS_MAX = 10_000

_LAST_DAY = date.max - timedelta(days=1)
_KINDS = {kind.label: kind for kind in FactKind}


class ReportedService:
    """Shows what partners reported."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_execution(self, brand_id: UUID, execution_id: UUID) -> list[ReportedTemplate]:
        """By partner channel and template, in their order: the totals, and of how many people facts were told.

        Raises NotFound for an execution that the brand does not have.
        """
        async with self._db.read() as conn:
            if not await store.execution_exists(conn, brand_id, execution_id):
                raise NotFound("There is no such execution in this group.")
            totals = await store.totals_of(conn, brand_id, execution_id)
            people = await store.people_of(conn, brand_id, execution_id)
            calls = await store.calls_of(conn, brand_id, execution_id)
            named = {(one.channel, one.template) for one in totals} | {one[:2] for one in people} | calls.keys()
            names = await store.names(conn, brand_id, named)
        reported: defaultdict[tuple[int, int], dict[FactKind, tuple[int, datetime]]] = defaultdict(dict)
        for one in totals:
            reported[one.channel, one.template][FactKind(one.kind)] = (one.value, one.reported_at)
        told: defaultdict[tuple[int, int], dict[FactKind, int]] = defaultdict(dict)
        for channel, template, kind, count in people:
            told[channel, template][FactKind(kind)] = count
        return [
            ReportedTemplate(
                key[0],
                names[key][0],
                key[1],
                names[key][1],
                _figures(reported[key], told[key]),
                *calls.get(key, (0, 0, 0)),
            )
            for key in sorted(named)
        ]

    async def people(
        self,
        brand_id: UUID,
        execution_id: UUID,
        kind: FactKind,
        *,
        channels: Collection[int],
        template: int | None = None,
        after: UUID | None = None,
        limit: int = PAGE_MAX,
    ) -> list[PersonTold]:
        """People of whom a partner of these channels told that in the execution, each once.

        In the order of their ids, from behind `after`, at most 10,000 at a time.
        """
        async with self._db.read() as conn:
            return await partner_facts.people_of(
                conn,
                brand_id,
                execution_id,
                numbers=sorted(channels),
                kind=kind.label,
                template=template,
                after=after,
                limit=min(limit, PAGE_MAX),
            )

    async def of_person(
        self, brand_id: UUID, external_id: str, first: date, last: date, *, channels: Collection[int]
    ) -> list[PastInteraction]:
        """What partners of these channels told of one person between those days, both included, in the order of time.

        At most 10,000, of the newest 10,000 executions until then. None for somebody whom the brand does not know.
        """
        try:
            person = customer_id(brand_id, external_id)
        except ValueError:
            return []
        since, until = _midnight(first), _midnight(min(last, _LAST_DAY) + timedelta(days=1))
        async with self._db.read() as conn:
            runs = await store.runs_until(conn, brand_id, until, channels, limit=RUNS_MAX)
            # What was sent to somebody before they were merged stays under who they were then.
            told = [
                one
                for each in dict.fromkeys((person, await survivor_of(conn, brand_id, person)))
                for one in await partner_facts.told_of(
                    conn,
                    brand_id,
                    each,
                    execution_ids=list(runs),
                    numbers=sorted(channels),
                    since=since,
                    until=until,
                    limit=ANSWERS_MAX,
                )
            ]
        return [
            PastInteraction(
                one.day,
                *runs[one.execution_id],
                1 if one.group is None else one.group,
                one.number,
                one.template,
                int(_KINDS[one.kind]),
            )
            for one in sorted(told, key=lambda one: one.day)
        ]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _figures(reported: dict[FactKind, tuple[int, datetime]], told: dict[FactKind, int]) -> list[Figure]:
    figures: list[Figure] = []
    for kind in FactKind:
        value, at = reported.get(kind, (None, None))
        people = told.get(kind)
        if value is not None or people is not None:
            figures.append(Figure.of(kind, value, people, at))
    return figures
