"""What happened to one person, newest first: runs that meant them, what they chose, and what callers told of them.

A run stands where it was started, with all that became of it for this person, whenever that was: what was held and went out in the
morning is told where it was decided. Runs are found by index from the newest on, and looked through until a page is full.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from stentor.audience import customer_store
from stentor.audience.customers import missing_customer
from stentor.audience.model import ConsentEvent
from stentor.campaigns.steps import STEPS_MAX
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.report.recipients import DeliveryAnswer

PAGE_MAX = 100
RUNS_LOOKED_AT_MAX = 2_000
"""Runs that are looked through for one page: of a topic's runs somebody may have been in none for years."""
MERGED_MAX = 100
"""People who were merged into one, whose history is told along: the last of them."""
ANSWERS_MAX = 100
"""Of a provider about one person in one run."""

_RUNS_AT_ONCE = 200
_UUID_TIME_SHIFT = 80  # below the 48 bits of a UUIDv7's milliseconds
_FIRST = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)
_RUN, _TOLD, _CONSENT = 0, 1, 2


class Sql(QuerySet, file="timeline.sql", package=__package__):
    family: Statement
    naming: Statement
    casting: Statement
    of_topics: Statement
    topics_chosen: Statement
    runs: Statement
    sends: Statement
    answers: Statement
    waits: Statement
    consents: Statement
    told: Statement


class Position(NamedTuple):
    """Where an entry stands: its time, and what tells those of the same time apart."""

    at: datetime
    rank: int
    id: UUID


class TimelineSend(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided on one channel, and what was answered, oldest first."""

    channel: ChannelKind
    state: SendState
    reason: Reason
    tries: int
    decided_at: datetime
    held_until: datetime | None
    answers: list[DeliveryAnswer]


class StepDue(msgspec.Struct, frozen=True):
    """When somebody falls due for a step of a run, or fell due."""

    step: int
    due_at: datetime


class TimelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that meant the person. `step` is 0 for the run itself; `parent_id` is what a step, or a winner's run, goes on from."""

    campaign_id: UUID
    campaign: str
    state: str
    is_test: bool
    step: int
    parent_id: UUID | None
    generator_id: str
    topic_key: str
    sends: list[TimelineSend]
    waits: list[StepDue]


class TimelineEvent(msgspec.Struct, frozen=True):
    """What a caller told of the person."""

    name: str
    properties: dict[str, Any]


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened; of `run`, `consent` and `event` it has the one that `kind` says.

    `id` is the execution's, or the line's of the ledger, or the event's. `external_id` is under which of the person's ids it is
    kept: that of somebody merged into them stays as it was.
    """

    kind: Literal["run", "consent", "event"]
    id: UUID
    at: datetime
    external_id: str
    run: TimelineRun | None = None
    consent: ConsentEvent | None = None
    event: TimelineEvent | None = None

    @property
    def position(self) -> Position:
        """Where it stands."""
        rank = {"run": _RUN, "event": _TOLD, "consent": _CONSENT}[self.kind]
        return Position(self.at, rank, self.id)


class TimelinePage(msgspec.Struct, frozen=True):
    """Some entries, newest first; `before`: from where it goes on, None at its end. A page may be short though it goes on."""

    entries: list[TimelineEntry]
    before: Position | None


class TimelineService:
    """Tells what happened to people; every call names its brand."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(
        self, brand_id: UUID, customer: UUID, *, before: Position | None = None, limit: int = PAGE_MAX
    ) -> TimelinePage:
        """Up to 100 entries from before that position. Raises NotFound for a person who is not there, or was merged."""
        limit, ahead = min(limit, PAGE_MAX), before or Position(_END_OF_TIME, _CONSENT, _LAST)
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            names = await _family(conn, brand_id, customer)
            people = {"parts": [part_of(each) for each in names], "customer_ids": list(names), "brand_id": brand_id}
            entries = await _consents(conn, people, names, ahead, limit + 1)
            entries += await _told(conn, people, names, ahead, limit + 1)
            runs, horizon = await _runs(conn, people, names, _run_before(ahead), limit + 1)
        entries = sorted([*entries, *runs], key=lambda entry: entry.position, reverse=True)
        if horizon is not None:
            # What lies further back waits for the runs that nobody has looked at.
            entries = [entry for entry in entries if entry.position >= horizon]
        if len(entries) <= limit:
            return TimelinePage(entries, horizon)
        last = entries[limit - 1].position
        # One run of two ids of the same person stands twice in the same place.
        return TimelinePage([entry for entry in entries if entry.position >= last], last)


async def _family(conn: Connection, brand_id: UUID, customer: UUID) -> dict[UUID, str]:
    """The person and whoever was merged into them, by id, each with the external id."""
    person = await customer_store.customer_by_id(conn, brand_id, customer)
    if person is None:
        raise missing_customer(customer)
    merged = await Sql.family.tuples(conn, brand_id=brand_id, customer_id=customer, limit=MERGED_MAX)
    return {customer: person.external_id, **dict(merged)}


async def _consents(
    conn: Connection, people: Mapping[str, Any], names: Mapping[UUID, str], ahead: Position, limit: int
) -> list[TimelineEntry]:
    rows = await Sql.consents.rows(conn, ConsentEvent, **people, **_until(ahead, _CONSENT), limit=limit)
    return [
        TimelineEntry(
            kind="consent", id=event.event_id, at=event.at, external_id=names[event.customer_id], consent=event
        )
        for event in rows
    ]


async def _told(
    conn: Connection, people: Mapping[str, Any], names: Mapping[UUID, str], ahead: Position, limit: int
) -> list[TimelineEntry]:
    rows = await Sql.told.tuples(conn, **people, **_until(ahead, _TOLD), limit=limit)
    return [
        TimelineEntry(
            kind="event", id=event_id, at=at, external_id=names[customer], event=TimelineEvent(name, properties)
        )
        for customer, event_id, at, name, properties in rows
    ]


async def _runs(
    conn: Connection, people: Mapping[str, Any], names: Mapping[UUID, str], before: UUID, limit: int
) -> tuple[list[TimelineEntry], Position | None]:
    """The newest runs before that id, and the last one that was looked at; None where there are no more."""
    topics = await Sql.topics_chosen.column(conn, **people)
    found: list[TimelineEntry] = []
    looked_at = 0
    while looked_at < RUNS_LOOKED_AT_MAX:
        page = {"brand_id": people["brand_id"], "before": before, "limit": _RUNS_AT_ONCE}
        some = {
            *await Sql.naming.column(conn, **people, before=before, limit=_RUNS_AT_ONCE),
            *await Sql.casting.column(conn, **people, before=before, limit=_RUNS_AT_ONCE),
            *(await Sql.of_topics.column(conn, **page, topic_ids=topics) if topics else ()),
        }
        # Each has its newest ones, so that the newest of all are among them.
        ids: list[UUID] = sorted(some, reverse=True)[:_RUNS_AT_ONCE]
        found += await _told_of(conn, people, names, ids)
        looked_at += len(ids)
        if len(ids) < _RUNS_AT_ONCE:
            return found, None
        before = ids[-1]
        if len(found) >= limit:
            break
    return found, Position(_made_at(before), _RUN, before)


async def _told_of(
    conn: Connection, people: Mapping[str, Any], names: Mapping[UUID, str], ids: Sequence[UUID]
) -> list[TimelineEntry]:
    """What became of the person in those of these runs that did anything about them."""
    if not ids:
        return []
    asked = {**people, "execution_ids": list(ids)}
    sends = _by_run(await Sql.sends.tuples(conn, **asked, held=int(SendState.HELD)))
    waits = _by_run(await Sql.waits.tuples(conn, **asked, steps=list(range(1, STEPS_MAX + 1))))
    meant = sends.keys() | waits.keys()
    if not meant:
        return []
    there = list({run for run, _ in meant})
    asked["execution_ids"] = there
    answers = _by_run(await Sql.answers.tuples(conn, **asked, limit=ANSWERS_MAX))
    runs = {row[0]: row[1:] for row in await Sql.runs.tuples(conn, brand_id=people["brand_id"], execution_ids=there)}
    return [
        _entry(
            run,
            runs[run],
            names[customer],
            sends=sends[run, customer],
            answers=answers[run, customer],
            waits=waits[run, customer],
        )
        for run, customer in meant
        if run in runs
    ]


def _by_run(rows: Iterable[tuple[Any, ...]]) -> defaultdict[tuple[UUID, UUID], list[tuple[Any, ...]]]:
    found: defaultdict[tuple[UUID, UUID], list[tuple[Any, ...]]] = defaultdict(list)
    for run, customer, *rest in rows:
        found[run, customer].append(tuple(rest))
    return found


def _entry(
    run_id: UUID,
    run: tuple[Any, ...],
    external_id: str,
    *,
    sends: Sequence[tuple[Any, ...]],
    answers: Sequence[tuple[Any, ...]],
    waits: Sequence[tuple[Any, ...]],
) -> TimelineEntry:
    state, is_test, step, parent_id, generator_id, topic_key, campaign_id, campaign = run
    told = [DeliveryAnswer(ChannelKind(channel), *rest) for channel, *rest in answers]
    return TimelineEntry(
        kind="run",
        id=run_id,
        at=_made_at(run_id),
        external_id=external_id,
        run=TimelineRun(
            campaign_id=campaign_id,
            campaign=campaign,
            state=state,
            is_test=is_test,
            step=step,
            parent_id=parent_id,
            generator_id=generator_id,
            topic_key=topic_key,
            sends=[
                TimelineSend(
                    channel=ChannelKind(channel),
                    state=SendState(send_state),
                    reason=Reason(reason),
                    tries=tries,
                    decided_at=decided_at,
                    held_until=held_until,
                    answers=[one for one in told if one.channel == channel],
                )
                for channel, send_state, reason, tries, decided_at, held_until in sends
            ],
            waits=[StepDue(number, due_at) for number, due_at in waits],
        ),
    )


def _until(ahead: Position, rank: int) -> dict[str, Any]:
    """The bounds of entries of that rank before the position."""
    if rank == ahead.rank:
        return {"until": ahead.at, "until_id": ahead.id}
    return {"until": ahead.at, "until_id": _LAST if rank < ahead.rank else _FIRST}


def _run_before(ahead: Position) -> UUID:
    """The id that the runs before the position are below."""
    if ahead.rank == _RUN:
        return ahead.id
    # Runs come last of what has the same time, so that those of this millisecond are still to come.
    milliseconds = (ahead.at - _EPOCH) // timedelta(milliseconds=1) + 1
    return UUID(int=min(milliseconds << _UUID_TIME_SHIFT, _LAST.int))


def _made_at(made: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=made.int >> _UUID_TIME_SHIFT)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
