"""Storing one block of an import: what its lines say, in one transaction together with how far the import is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from stentor.audience import tag_store, topic_store
from stentor.audience.admitting import admit, recognise
from stentor.audience.consent import Change, choose
from stentor.audience.customer_events import EventRow, EventTimes, add_events, event_id, lock_people, properties_of
from stentor.audience.import_lines import (
    CustomerColumns,
    SubscriptionColumns,
    Wish,
    customers_of_objects,
    events_of_objects,
    wishes_of_objects,
)
from stentor.audience.import_store import Resume, Tally
from stentor.audience.intake import Refusal, Rows, take_in
from stentor.audience.lines import Block
from stentor.audience.model import Act, Choice, Fate, ImportKind, Reject, Topic
from stentor.audience.profiles import Entrants, ProfileReader
from stentor.audience.repeats import fold
from stentor.audience.tables import Table, read_csv, read_ndjson
from stentor.audience.upsert import upsert
from stentor.db.connection import Connection
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, channels_in
from stentor.errors import Conflict, Violation

REASON_CHARS_MAX = 500


class Outcome(msgspec.Struct, frozen=True):
    """What became of a block's lines."""

    tally: Tally
    rejects: list[Reject]


class Prepared(Protocol):
    """A block that is ready to be stored, `consumed` lines of it; the rest belongs to the next one."""

    @property
    def consumed(self) -> int: ...

    async def store(self, conn: Connection) -> Outcome:
        """Stores it; the caller commits. May be run again after a rollback."""
        ...


class Preparer:
    """Reads the blocks of one import: pure computing, fit for a thread. Raises Invalid for a header that does not do."""

    def __init__(self, brand_id: UUID, kind: ImportKind, resume: Resume, act: Act, *, times: EventTimes) -> None:
        self._brand_id = brand_id
        self._layout = layout = resume.layout
        self._region = resume.region
        self._tag_id = resume.tag_id
        self._act = act
        self._customers = CustomerColumns(layout) if layout and kind == "customers" else None
        self._subscriptions = SubscriptionColumns(layout) if layout and kind == "subscriptions" else None
        self._kind = kind
        self._times = times

    def prepare(self, block: Block, *, skip: int = 0) -> Prepared:
        """The block behind its first `skip` lines."""
        table = read_ndjson(block) if self._layout is None else read_csv(self._layout, block, skip=skip)
        match self._kind:
            case "customers":
                return self._customer_block(table)
            case "subscriptions":
                return self._subscription_block(table)
            case "events":
                return self._event_block(table)
            case "profiles":
                return self._profile_block(table)

    def _customer_block(self, table: Table) -> "CustomerBlock":
        given, unread = self._customers.given(table) if self._customers else customers_of_objects(table)
        intake = take_in(self._brand_id, given, region=self._region)
        folded = fold(intake.rows)
        refused = [*table.refused, *unread, *intake.refused, *folded.refused]
        return CustomerBlock(
            self._brand_id, table.consumed, folded.rows, len(folded.lines), refused, len(intake.warnings), self._act
        )

    def _subscription_block(self, table: Table) -> "SubscriptionBlock":
        wishes, unread = self._subscriptions.wishes(table) if self._subscriptions else wishes_of_objects(table)
        return SubscriptionBlock(self._brand_id, table.consumed, wishes, [*table.refused, *unread], self._act)

    def _event_block(self, table: Table) -> "EventBlock":
        told, refused = events_of_objects(table)
        rows: list[EventRow] = []
        people: dict[UUID, str] = {}
        for line, event in told:
            try:
                person = customer_id(self._brand_id, event.external_id)
            except ValueError as error:
                refused.append(Refusal(line, Violation("/external_id", "invalid-external-id", str(error))))
                continue
            written = properties_of(event)
            if isinstance(written, Violation):
                refused.append(Refusal(line, written))
                continue
            if objection := self._times.objection(event.at):
                refused.append(Refusal(line, objection))
                continue
            people[person] = event.external_id
            rows.append(EventRow(line, person, event.at, event_id(self._brand_id, event), event.name, written))
        return EventBlock(self._brand_id, table.consumed, rows, people, [*table.refused, *refused])

    def _profile_block(self, table: Table) -> "ProfileBlock":
        reader = ProfileReader()
        for line, value in zip(table.numbers, table.values, strict=True):
            reader.read(value, line)
        entrants = reader.entrants(self._brand_id, region=self._region)
        if self._tag_id is None:
            raise RuntimeError("An import of profiles has no tag.")
        return ProfileBlock(self._brand_id, table.consumed, entrants, table.refused, self._tag_id, self._act)


class CustomerBlock(msgspec.Struct, frozen=True):
    """A block of customers. `repeated` lines were folded into another line about the same person."""

    brand_id: UUID
    consumed: int
    rows: Rows
    repeated: int
    refused: list[Refusal]
    bad_addresses: int
    act: Act

    async def store(self, conn: Connection) -> Outcome:
        fates: list[Fate] = []
        refused = self.refused
        if self.rows:
            stored = await upsert(conn, self.brand_id, self.rows, self.act)
            fates = list(stored.fates.values())
            refused = [*self.refused, *stored.refused]
        tally = Tally(
            added=fates.count(Fate.ADDED),
            changed=fates.count(Fate.CHANGED),
            unchanged=fates.count(Fate.UNCHANGED) + self.repeated,
            rejected=len(refused),
            bad_addresses=self.bad_addresses,
        )
        return Outcome(tally, _rejects(refused))


class ProfileBlock(msgspec.Struct, frozen=True):
    """A block of a batch's stream: people are found again or made, tagged, and said to have agreed where they are new."""

    brand_id: UUID
    consumed: int
    entrants: Entrants
    refused: list[Refusal]
    tag_id: UUID
    act: Act

    async def store(self, conn: Connection) -> Outcome:
        if not await tag_store.hold(conn, self.brand_id, self.tag_id):
            raise Conflict("The batch's profile tag was deleted while its stream came in. Make a new batch.")
        recognised = await recognise(conn, self.brand_id, self.entrants.intake.rows, self.entrants.unnamed)
        # Folding writes into its rows, and a transaction that was overtaken runs again.
        folded = fold(recognised.rows.copy())
        admitted = await admit(
            conn, self.brand_id, msgspec.structs.replace(recognised, rows=folded.rows), self.tag_id, self.act
        )
        fates = list(admitted.fates.values())
        refused = [*self.refused, *self.entrants.refused, *folded.refused, *admitted.refused]
        lines = {refusal.line for refusal in refused}
        tally = Tally(
            added=fates.count(Fate.ADDED),
            changed=fates.count(Fate.CHANGED),
            unchanged=fates.count(Fate.UNCHANGED) + len(folded.lines),
            rejected=len(lines),
        )
        return Outcome(tally, _rejects(refused))


class _Line(NamedTuple):
    number: int
    adds: bool


class SubscriptionBlock(msgspec.Struct, frozen=True):
    """A block of subscriptions. What a person withdrew, no line of it brings back."""

    brand_id: UUID
    consumed: int
    wishes: list[Wish]
    refused: list[Refusal]
    act: Act

    async def store(self, conn: Connection) -> Outcome:
        topics = await topic_store.find_topics(conn, self.brand_id, {wish.topic for wish in self.wishes})
        tally = Tally()
        rejects = _rejects(self.refused)
        choices: dict[tuple[UUID, UUID], Choice] = {}
        lines: dict[tuple[UUID, UUID], list[_Line]] = {}
        for wish in self.wishes:
            choice = _choice(self.brand_id, wish, topics.get(wish.topic))
            if isinstance(choice, str):
                rejects.append(Reject(wish.line, choice))
                continue
            key = (choice.customer_id, choice.topic_id)
            choices[key] = _then(choices[key], choice) if key in choices else choice
            lines.setdefault(key, []).append(_Line(wish.line, bool(choice.add)))
        chosen = await choose(conn, self.brand_id, list(choices.values()), self.act, keep_withdrawals=True)
        for place, key in enumerate(choices):
            change = chosen.changes.get(place)
            # What one line takes away holds, also where another about the same subscription asks for too much.
            refused = [line for line in lines[key] if change is None or (change.withheld and line.adds)]
            rejects += [Reject(line.number, _problem(change)) for line in refused]
            if change is not None and (taken := len(lines[key]) - len(refused)):
                _count(tally, change, taken)
        tally.rejected = len(rejects)
        return Outcome(tally, rejects)


class EventBlock(msgspec.Struct, frozen=True):
    """A block of events; `people` are the external ids that they are told of. One that was told before is unchanged."""

    brand_id: UUID
    consumed: int
    rows: list[EventRow]
    people: dict[UUID, str]
    refused: list[Refusal]

    async def store(self, conn: Connection) -> Outcome:
        rejects = _rejects(self.refused)
        there = await lock_people(conn, self.brand_id, sorted(self.people))
        taken: list[EventRow] = []
        for row in self.rows:
            if row.customer_id not in there:
                who = self.people[row.customer_id]
                rejects.append(Reject(row.place, f"This brand has no customer {who!r}; import the customers first."))
            else:
                taken.append(row)
        added = len(await add_events(conn, self.brand_id, taken)) if taken else 0
        return Outcome(Tally(added=added, unchanged=len(taken) - added, rejected=len(rejects)), rejects)


def _choice(brand_id: UUID, wish: Wish, topic: Topic | None) -> Choice | str:
    if topic is None:
        return f"This brand has no topic {wish.topic!r}; make it first."
    try:
        customer = customer_id(brand_id, wish.external_id)
    except ValueError as error:
        return str(error)
    if not wish.subscribed:
        return Choice(customer, topic.id, remove=wish.channels or ALL_CHANNELS_MASK)
    wanted = wish.channels or topic.channels
    if missing := wanted & ~topic.channels:
        return f"The topic {topic.key!r} is not offered on {channels_in(missing)[0].label}."
    return Choice(customer, topic.id, add=wanted)


def _then(earlier: Choice, later: Choice) -> Choice:
    add = earlier.add & ~later.remove | later.add
    return Choice(later.customer_id, later.topic_id, add, earlier.remove | later.remove)


def _problem(change: Change | None) -> str:
    if change is None:
        return "This brand has no such customer; import customers first."
    names = ", ".join(kind.label for kind in channels_in(change.withheld))
    return f"The person withdrew this subscription on {names}, and only the person can subscribe again."


def _count(tally: Tally, change: Change, lines: int) -> None:
    # Of several lines about one subscription the first counts for what became of it, the others for nothing new.
    if not change.is_change:
        tally.unchanged += 1
    elif change.before is None:
        tally.added += 1
    else:
        tally.changed += 1
    tally.unchanged += lines - 1


def _rejects(refused: Sequence[Refusal]) -> list[Reject]:
    # A reason may quote what it is about, and that may be anything.
    return [
        Reject(refusal.line, refusal.violation.message.replace("\x00", "\ufffd")[:REASON_CHARS_MAX])
        for refusal in refused
    ]
