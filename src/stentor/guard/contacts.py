"""Who was written to and when, as far as caps count it: reserved before a message leaves, settled when it was answered."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS, part_of
from stentor.domain.policy import PER_DAYS_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.guard.caps import Asked, CapRule, Counted, Counts, Subject, writes_twice


class Sql(QuerySet, file="contacts.sql", package=__package__):
    count_contacts: Statement
    contacts_of: Statement
    reserve_contacts: Statement
    settle_contacts: Statement
    give_back_contacts: Statement
    forget_contacts: Statement


SendKey: TypeAlias = tuple[UUID, UUID]
"""A send on a channel that is known: its execution and its customer."""


class Contact(NamedTuple):
    """A message that somebody got, or perhaps got: whose send it was, what it was, and when."""

    execution_id: UUID
    subject: Subject
    at: datetime


STEPS = 128
"""In how many steps of the keeper everybody is looked at: with one a minute, in about two hours."""

_FORGET_PARTS = PARTS // STEPS


async def count(
    conn: Connection, brand_id: UUID, channel: ChannelKind, asked: Sequence[Asked], rules: Sequence[CapRule]
) -> Counts:
    """What the rules count for these sends. Their people must be locked, until their reservations are committed."""
    rows = await Sql.count_contacts.tuples(
        conn,
        brand_ids=[brand_id] * len(asked),
        channel=int(channel),
        **_keys([(send.execution_id, send.customer_id) for send in asked]),
        **rules_as_arrays(rules),
        every=writes_twice(asked),
    )
    return {(place, rule): Counted(others, own) for place, rule, others, own in rows}


async def contacts_of(conn: Connection, brand_id: UUID, customer: UUID) -> list[Contact]:
    """What one person got lately, or perhaps got, as far as it is counted."""
    rows = await Sql.contacts_of.tuples(conn, brand_id=brand_id, part=part_of(customer), customer_id=customer)
    return [
        Contact(execution, Subject(ChannelKind(channel), campaign, topic, tuple(tags or ())), at)
        for execution, channel, at, campaign, topic, tags in rows
    ]


def rules_as_arrays(rules: Sequence[CapRule]) -> dict[str, Any]:
    """Rules as statements that count contacts take them."""
    return {
        "at_mosts": [rule.at_most for rule in rules],
        "pers_s": [rule.per_s for rule in rules],
        "masks": [rule.channels for rule in rules],
        "topics": [_array(map(str, sorted(rule.topics))) for rule in rules],
        "campaigns": [_array(map(str, sorted(rule.campaigns))) for rule in rules],
        "tags": [_array(sorted(rule.tags)) for rule in rules],
    }


async def reserve(conn: Connection, brand_id: UUID, channel: ChannelKind, asked: Sequence[Asked]) -> None:
    """Reserves a message for each of these sends, which counts from the commit on until it is settled."""
    if asked:
        await Sql.reserve_contacts.run(
            conn,
            brand_id=brand_id,
            channel=int(channel),
            **_keys([(send.execution_id, send.customer_id) for send in asked]),
            campaign_ids=[send.subject.campaign_id for send in asked],
            topic_ids=[send.subject.topic_id for send in asked],
            tags=[_array(send.subject.tags) for send in asked],
        )


async def settle(
    conn: Connection,
    brand_id: UUID,
    channel: ChannelKind,
    *,
    accepted: Sequence[SendKey] = (),
    in_doubt: Sequence[SendKey] = (),
    refused: Sequence[SendKey] = (),
    ages_s: Mapping[SendKey, float] = MappingProxyType({}),
) -> None:
    """Stamps what was accepted, and what was given up in doubt, with when it was; what was refused for sure counts no more.

    `ages_s`: how many seconds ago that was, where it was not at this moment. Sends that hold no reservation are passed over.
    """
    keys = [*accepted, *in_doubt, *refused]
    if keys:
        certain = len(keys) - len(refused)
        await Sql.settle_contacts.run(
            conn,
            brand_ids=[brand_id] * len(keys),
            channels=[int(channel)] * len(keys),
            **_keys(keys),
            refused=[place >= certain for place in range(len(keys))],
            doubted=[len(accepted) <= place < certain for place in range(len(keys))],
            ages_s=[ages_s.get(key, 0.0) for key in keys],
        )


async def give_back(conn: Connection, brand_id: UUID, channel: ChannelKind, sends: Sequence[SendKey]) -> None:
    """From now on none of these sends is counted, also none that was in doubt. Those that hold nothing are passed over."""
    await Sql.give_back_contacts.run(
        conn, brand_ids=[brand_id] * len(sends), channels=[int(channel)] * len(sends), **_keys(sends)
    )


class ContactKeeper:
    """Forgets contacts that no rule can look back to: a slice of the people at each step, everybody in `STEPS` of them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._part = 0

    async def forget(self, brand_ids: Collection[UUID]) -> int:
        """Takes the next step for these brands; returns how many contacts were forgotten."""
        first, self._part = self._part, (self._part + _FORGET_PARTS) % PARTS
        forgotten = 0
        for brand_id in brand_ids:
            async with self._db.transaction() as conn:
                forgotten += await Sql.forget_contacts.run(
                    conn, brand_id=brand_id, part_from=first, part_to=first + _FORGET_PARTS - 1, days=PER_DAYS_MAX
                )
        return forgotten


def _keys(sends: Sequence[SendKey]) -> dict[str, Any]:
    return {
        "parts": [part_of(customer) for _, customer in sends],
        "customer_ids": [customer for _, customer in sends],
        "execution_ids": [execution for execution, _ in sends],
    }


def _array(terms: Iterable[str]) -> str | None:
    """The terms as PostgreSQL writes an array, because arrays of arrays cannot be unnested; None where there are none."""
    quoted = ['"' + term.replace("\\", "\\\\").replace('"', '\\"') + '"' for term in terms]
    return "{" + ",".join(quoted) + "}" if quoted else None
