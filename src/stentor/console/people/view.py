"""What the pages of people call things: sources of a choice, kinds of it, checks, and who somebody is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import msgspec

from stentor.audience.model import Act, ConsentEvent, Customer, Source, Subscription, Topic
from stentor.console.brand import Place
from stentor.domain.vocabulary import ChannelKind, channels_in
from stentor.executions.timeline import Position

TOPICS_SHOWN_MAX = 50
"""Topics in the matrix of a person: theirs first."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SOURCES: Mapping[str, str] = {
    "api": "by API",
    "batch": "in a batch",
    "import": "in an import",
    "console": "here in the console",
    "unauthenticated": "in the Preference Centre, without a key",
    "preference_page": "on the preference page",
    "unsubscribe_link": "by the link of a message",
    "one_click": "by one click in their mail program",
    "reply": "by a reply",
    "partner": "at an outside service",
    "erasure": "by an erasure",
    "merge": "when two profiles became one",
}
"""Through which door a choice came."""

CHOICES: Mapping[str, str] = {
    "subscribed": "Opted in",
    "unsubscribed": "Left",
    "requested": "Asked to opt in",
    "agreed": "Said yes",
    "refused": "Said no",
    "unset": "Choice taken away",
    "break": "Asked for a break",
    "break_over": "Ended their break",
}
"""What the ledger says, to a reader."""

CAUSES: Mapping[str, str] = {
    "unsubscribe": "unsubscribed",
    "stop": "replied STOP",
    "bounce": "the address bounced",
    "complaint": "complained",
    "api": "somebody wrote it down",
    "import": "came in a file",
    "collect": "opted out by a link",
}
"""Why an address is on a list."""

ZONES_FROM: Mapping[str, str] = {
    "time_zone": "by their time zone",
    "phone": "by their phone number",
    "group": "by the brand's default: nothing is known of where they are",
}

ANSWERS: Mapping[str, str] = {
    "accepted": "accepted",
    "deferred": "put off",
    "rejected": "refused",
    "in_doubt": "in doubt",
    "delivered": "delivered",
    "bounced": "bounced",
    "complained": "complained",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "template_error": "could not be written",
}
"""What became of a send after it left."""

NODES: Mapping[str, tuple[str, str]] = {
    "handed_over": ("go", "check"),
    "pending": ("", "clock"),
    "held": ("night", "moon"),
    "skipped": ("", "minus"),
    "failed": ("bad", "x"),
    "unknown": ("odd", "help"),
}
"""The tone and the icon of a state of a send."""


class Cell(msgspec.Struct, frozen=True):
    """One topic on one channel: `offered`, `subscribed`, or neither."""

    channel: str
    is_offered: bool
    is_in: bool
    is_refused: bool


class TopicRow(msgspec.Struct, frozen=True, kw_only=True):
    """A topic with its channels; `changed_at` is None where nobody was ever asked."""

    id: UUID
    key: str
    name: str
    is_enabled: bool
    cells: list[Cell]
    changed_at: datetime | None
    proof: ConsentEvent | None


def name_of(person: Customer) -> str:
    """What a reader calls the person: by name where it is known."""
    names = [str(person.attributes[key]).strip() for key in ("first_name", "last_name") if person.attributes.get(key)]
    return " ".join(filter(None, names)) or person.external_id


def matrix(
    person: Customer, topics: Sequence[Topic], chosen: Sequence[Subscription], ledger: Sequence[ConsentEvent]
) -> list[TopicRow]:
    """The topics by channel: those that the person ever chose first, then others that are offered."""
    by_topic = {one.topic_id: one for one in chosen}
    newest: dict[UUID, ConsentEvent] = {}
    for event in ledger:
        if event.topic_id is not None:
            newest.setdefault(event.topic_id, event)
    ordered = sorted(topics, key=lambda topic: (topic.id not in by_topic, not topic.enabled, topic.name.casefold()))
    return [_row(person, topic, by_topic.get(topic.id), newest.get(topic.id)) for topic in ordered[:TOPICS_SHOWN_MAX]]


def shown_channels(rows: Sequence[TopicRow]) -> list[str]:
    """The channels on which any of these topics is offered or was chosen."""
    there = {cell.channel for row in rows for cell in row.cells if cell.is_offered or cell.is_in}
    return [kind.label for kind in ChannelKind if kind.label in there]


def by_operator(place: Place, ip: str, note: str = "") -> Act:
    """How a choice comes about that somebody makes here for the person, for the ledger."""
    return Act(source=Source.CONSOLE, actor=place.who.user.email, ip=ip_address(ip) if ip else None, note=note.strip())


def written(position: Position) -> str:
    """A place in the timeline as a link says it."""
    return f"{(position.at - EPOCH) // timedelta(microseconds=1)}_{position.rank}_{position.id}"


def addresses_of(person: Customer) -> list[tuple[str, str, list[str]]]:
    """The e-mail address and the phone number, each with the channel that stands for it, and what is wrong with it."""
    return [
        (kind.label, address, [word for mask, word in troubles if mask & kind.bit])
        for kind, address in ((ChannelKind.EMAIL, person.email), (ChannelKind.SMS, person.phone))
        if address
        for troubles in [
            (
                (person.address_mask & ~person.valid_mask, "cannot be an address"),
                (person.bounced_mask, "bounced"),
                (person.complained_mask, "complained"),
            )
        ]
    ]


def value_shown(value: Any) -> str:
    """An attribute's value as a line: text as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _row(person: Customer, topic: Topic, one: Subscription | None, proof: ConsentEvent | None) -> TopicRow:
    channels = 0 if one is None else one.channels
    return TopicRow(
        id=topic.id,
        key=topic.key,
        name=topic.name,
        is_enabled=topic.enabled,
        cells=[
            Cell(
                kind.label,
                bool(topic.channels & kind.bit),
                bool(channels & kind.bit),
                bool(person.refused_mask & kind.bit),
            )
            for kind in channels_in(topic.channels | channels)
        ],
        changed_at=None if one is None else one.changed_at,
        proof=proof,
    )
