"""How a person stood at a moment of the past, from what is only ever added to: the consent ledger, and what a person was."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.audience.model import ConsentKind
from stentor.audience.reach import digest_on
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import PARTS, part_of
from stentor.domain.vocabulary import ChannelKind

STEPS = 128
"""In how many steps of the keeper everybody is looked at."""

_STEP_PARTS = PARTS // STEPS
_OF_TOPIC: frozenset[ConsentKind] = frozenset({"subscribed", "unsubscribed"})
_OF_BREAKS: frozenset[ConsentKind] = frozenset({"break", "break_over"})


class Sql(QuerySet, file="past.sql", package=__package__):
    versions: Statement
    choices: Statement
    forget_past: Statement


class Version(NamedTuple):
    """What the guard asks of a person beside their choices, until `until`; the present has none, and says since when they are."""

    until: datetime | None
    created_at: datetime | None
    address_mask: int
    valid_mask: int
    bounced_mask: int
    complained_mask: int
    email_digest: bytes | None
    phone_digest: bytes | None
    place: str


class Entry(NamedTuple):
    """One entry of the consent ledger; `channels` is a mask."""

    at: datetime
    kind: ConsentKind
    channels: int
    source: str
    until: datetime | None = None
    """Of a break: when it ends."""

    @property
    def is_of_topic(self) -> bool:
        """Whether it is about the topic, and not about the person's channels altogether."""
        return self.kind in _OF_TOPIC


class PersonThen(msgspec.Struct, frozen=True):
    """A person at a moment, as the guard asks about them."""

    topic_channels: int
    agreed_mask: int
    refused_mask: int
    complained_mask: int
    bounced_mask: int
    address_mask: int
    valid_mask: int
    is_on_a_break: bool
    email_digest: bytes | None
    phone_digest: bytes | None
    place: str

    def digest_on(self, channel: ChannelKind) -> bytes | None:
        """The digest that opt-out lists know the address by; None on channels that have no such lists."""
        return digest_on(channel, self.email_digest, self.phone_digest)


class Past:
    """One person's, as far as one topic goes."""

    def __init__(self, versions: Sequence[Version], entries: Sequence[Entry]) -> None:
        self._versions = versions
        self.entries = entries

    @property
    def is_erased(self) -> bool:
        """Whether the person is not there any more."""
        return not self._versions or self._versions[-1].until is not None

    @property
    def made_at(self) -> datetime | None:
        """Since when the person is there; None when they are not."""
        return None if self.is_erased else self._versions[-1].created_at

    def at(self, instant: datetime) -> PersonThen | None:
        """How they stood; None when they were not there, or are erased since."""
        if self.is_erased or (self._versions[-1].created_at or instant) > instant:
            return None
        topic = agreed = refused = 0
        for entry in self.until(instant):
            if entry.kind == "subscribed":
                topic |= entry.channels
            elif entry.kind == "unsubscribed":
                topic &= ~entry.channels
            elif entry.kind not in _OF_BREAKS:
                agreed = agreed & ~entry.channels | (entry.channels if entry.kind == "agreed" else 0)
                refused = refused & ~entry.channels | (entry.channels if entry.kind == "refused" else 0)
        was = self._version(instant)
        return PersonThen(
            topic_channels=topic,
            agreed_mask=agreed,
            refused_mask=refused,
            complained_mask=was.complained_mask,
            bounced_mask=was.bounced_mask,
            address_mask=was.address_mask,
            valid_mask=was.valid_mask,
            is_on_a_break=self.last_break(instant) is not None,
            email_digest=was.email_digest,
            phone_digest=was.phone_digest,
            place=was.place,
        )

    def digests(self, channel: ChannelKind) -> set[bytes]:
        """Of all the addresses that they ever had on that channel."""
        found = {digest_on(channel, version.email_digest, version.phone_digest) for version in self._versions}
        return {digest for digest in found if digest is not None}

    def until(self, instant: datetime) -> list[Entry]:
        """What the ledger said by then, oldest first."""
        return [entry for entry in self.entries if entry.at <= instant]

    def last(self, instant: datetime, *, of_topic: bool, channel: ChannelKind | None = None) -> Entry | None:
        """What it said last by then, of the topic or of the person's channels; of that channel, if one is named."""
        said = [
            entry
            for entry in self.until(instant)
            if entry.is_of_topic is of_topic
            and entry.kind not in _OF_BREAKS
            and (channel is None or entry.channels & channel.bit)
        ]
        return said[-1] if said else None

    def last_break(self, instant: datetime) -> Entry | None:
        """The break that they were on then; None for none."""
        said = [entry for entry in self.until(instant) if entry.kind in _OF_BREAKS]
        return said[-1] if said and said[-1].until is not None and said[-1].until > instant else None

    def changes(self, after: datetime, until: datetime) -> list[datetime]:
        """When anything of it changed in that time."""
        ends = [each.until for each in (*self._versions, *self.entries) if each.until is not None]
        return sorted(at for at in {*ends, *(entry.at for entry in self.entries)} if after < at <= until)

    def marked_since(self, instant: datetime, channel: ChannelKind, *, complained: bool) -> datetime | None:
        """Since when their address on the channel is known to be dead, or its owner to have complained; None: not known."""
        since: datetime | None = None
        for version in self._versions:
            if version.until is not None and version.until <= instant:
                mask = version.complained_mask if complained else version.bounced_mask
                if not mask & channel.bit:
                    since = version.until
        return since

    def _version(self, instant: datetime) -> Version:
        return next(version for version in self._versions if version.until is None or instant < version.until)


async def past_of(conn: Connection, brand_id: UUID, customer: UUID, topic_id: UUID | None) -> Past:
    """All that is kept of that person's past."""
    key = {"brand_id": brand_id, "part": part_of(customer), "customer_id": customer}
    versions = await Sql.versions.tuples(conn, **key)
    entries = await Sql.choices.tuples(conn, **key, topic_id=topic_id)
    return Past([Version(*row) for row in versions], [Entry(*row) for row in entries])


class PastKeeper:
    """Forgets how people were before the history of executions began: a slice of the people at each step."""

    def __init__(self, db: Database, *, days: int) -> None:
        """`days`: how long history is kept."""
        self._db = db
        self._days = days
        self._part = 0

    async def forget(self, brand_ids: Collection[UUID]) -> int:
        """Takes the next step for these brands; returns how much was forgotten."""
        first, self._part = self._part, (self._part + _STEP_PARTS) % PARTS
        forgotten = 0
        for brand_id in brand_ids:
            async with self._db.transaction() as conn:
                forgotten += await Sql.forget_past.run(
                    conn, brand_id=brand_id, part_from=first, part_to=first + _STEP_PARTS - 1, days=self._days
                )
        return forgotten
