"""Changing what people chose: each change is written together with its line in the ledger, under a lock on the person.

Who would change is found out first, without a lock, so that saying the same again costs no write.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import msgspec

from stentor.audience import consent_store
from stentor.audience.consent_store import COUNTER_SHARDS, Entry, Moves, Person
from stentor.audience.model import BY_THE_PERSON, Act, Choice, FlagChoice
from stentor.audience.upsert import Overtaken
from stentor.db.connection import Connection
from stentor.domain.ids import part_of


class Change(msgspec.Struct, frozen=True):
    """One subscription as it was and as it is, in masks. `before` is None where there was none."""

    choice: Choice
    before: int | None
    after: int
    withheld: int = 0
    """Channels that the person has withdrawn; because of them none was added."""

    @property
    def is_change(self) -> bool:
        return self.after != (self.before or 0)


class Chosen(msgspec.Struct, frozen=True):
    """What became of choices, by their place: changes (also those that change nothing), and choices of nobody we know."""

    changes: dict[int, Change]
    unknown: list[int]


async def choose(
    conn: Connection, brand_id: UUID, choices: Sequence[Choice], act: Act, *, keep_withdrawals: bool = False
) -> Chosen:
    """Changes subscriptions, each at most once among the choices; the topics are the brand's.

    With `keep_withdrawals`, a choice that would bring back a channel which the person took back themselves adds none at
    all, so that what is refused is refused as a whole; what it takes away is gone in any case. Raises Overtaken when somebody
    is gone, merged or erased, between the look and the lock.
    """
    present = await consent_store.subscribed_channels(conn, brand_id, _pairs(choices))
    changes = {place: _change(choices[place], before) for place, before in present.items()}
    unknown = [place for place in range(len(choices)) if place not in present]
    wanted = [place for place, change in changes.items() if change.is_change]
    if wanted:
        people = {choices[place].customer_id for place in wanted}
        if len(await consent_store.lock_people(conn, brand_id, list(people))) < len(people):
            raise Overtaken
        chosen = [choices[place] for place in wanted]
        now = await consent_store.subscribed_channels(conn, brand_id, _pairs(chosen))
        made = {wanted[place]: _change(choice, now.get(place)) for place, choice in enumerate(chosen)}
        if keep_withdrawals:
            made = await _without_withdrawn(conn, brand_id, made)
        await _write(conn, brand_id, [change for change in made.values() if change.is_change], act)
        changes |= made
    return Chosen(changes, unknown)


async def set_flags(conn: Connection, brand_id: UUID, choices: Sequence[FlagChoice], act: Act) -> dict[UUID, Person]:
    """Changes channel flags, each person at most once; answers with the people who exist, as they were before."""
    people = await consent_store.lock_people(conn, brand_id, [choice.customer_id for choice in choices])
    flags: list[tuple[UUID, int, int]] = []
    entries: list[Entry] = []
    for choice in choices:
        person = people.get(choice.customer_id)
        if person is None:
            continue
        agreed = person.agreed_mask & ~(choice.refuse | choice.unset) | choice.agree
        refused = person.refused_mask & ~(choice.agree | choice.unset) | choice.refuse
        if (agreed, refused) != (person.agreed_mask, person.refused_mask):
            flags.append((person.customer_id, agreed, refused))
            entries += _flag_entries(person, agreed, refused)
    if flags:
        await consent_store.write_flags(conn, brand_id, flags)
        await consent_store.append_events(conn, brand_id, entries, act)
    return people


def _pairs(choices: Sequence[Choice]) -> list[tuple[UUID, UUID]]:
    return [(choice.customer_id, choice.topic_id) for choice in choices]


def _change(choice: Choice, before: int | None, withheld: int = 0) -> Change:
    withheld &= choice.add
    after = (before or 0) & ~choice.remove | (0 if withheld else choice.add)
    return Change(choice, before, after, withheld)


async def _without_withdrawn(conn: Connection, brand_id: UUID, changes: Mapping[int, Change]) -> dict[int, Change]:
    # Somebody who never had this subscription cannot have withdrawn it: most of an import asks the ledger nothing.
    doubtful = [change.choice for change in changes.values() if change.before is not None]
    withdrawn = await _withdrawn(conn, brand_id, doubtful) if doubtful else {}
    return {
        place: _change(
            change.choice, change.before, withdrawn.get((change.choice.customer_id, change.choice.topic_id), 0)
        )
        for place, change in changes.items()
    }


async def _withdrawn(conn: Connection, brand_id: UUID, choices: Sequence[Choice]) -> dict[tuple[UUID, UUID], int]:
    """The channels that people took back themselves and have not chosen again since, by person and topic."""
    past = await consent_store.choices_by_topic(
        conn,
        brand_id,
        list({choice.customer_id for choice in choices}),
        list({choice.topic_id for choice in choices}),
    )
    withdrawn: dict[tuple[UUID, UUID], int] = {}
    for event in past:
        key = (event.customer_id, event.topic_id)
        if event.kind == "subscribed":
            withdrawn[key] = withdrawn.get(key, 0) & ~event.channels
        elif event.kind == "unsubscribed" and event.source in BY_THE_PERSON:
            withdrawn[key] = withdrawn.get(key, 0) | event.channels
    return withdrawn


async def _write(conn: Connection, brand_id: UUID, changes: Sequence[Change], act: Act) -> None:
    if not changes:
        return
    await consent_store.write_subscriptions(
        conn,
        brand_id,
        [(change.choice.customer_id, change.choice.topic_id, change.after) for change in changes],
    )
    entries = [entry for change in changes for entry in _entries(change)]
    await consent_store.append_events(conn, brand_id, entries, act)
    moves = Moves()
    for change in changes:
        moves.note(change.choice.topic_id, change.before or 0, change.after)
    await moves.count(conn, brand_id, shard=part_of(changes[0].choice.customer_id) % COUNTER_SHARDS)


def _entries(change: Change) -> Iterator[Entry]:
    choice, before = change.choice, change.before or 0
    if added := change.after & ~before:
        yield Entry(choice.customer_id, "subscribed", choice.topic_id, added)
    if removed := before & ~change.after:
        yield Entry(choice.customer_id, "unsubscribed", choice.topic_id, removed)


def _flag_entries(person: Person, agreed: int, refused: int) -> Iterator[Entry]:
    if more := agreed & ~person.agreed_mask:
        yield Entry(person.customer_id, "agreed", None, more)
    if more := refused & ~person.refused_mask:
        yield Entry(person.customer_id, "refused", None, more)
    if gone := (person.agreed_mask | person.refused_mask) & ~(agreed | refused):
        yield Entry(person.customer_id, "unset", None, gone)
