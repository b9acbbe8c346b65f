"""The providers' own words about what did not go out, told alike ones together, each with what to do about it."""

import re
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind, Reason, SendState

LOOKED_AT_MAX = 500
"""How many answers of each channel and kind are looked at: enough to name what goes wrong, and as quick for a million."""

TROUBLES_MAX = 20
"""How many different words are told at most, the most frequent first."""

# Addresses, and whatever names one message or one person: the rest is what providers say to everybody. An address is looked for at
# the beginnings of words alone, so that a long answer without one is read once.
_OWN = re.compile(r"(?<![^\s@])[^\s@]++@\S+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b(?=\w*\d)\w{8,}\b|\+?\d{5,}")
_REMEDIES = (
    (
        re.compile(
            r"\b5\.1\.\d|unregistered|does not exist|unknown user|no such user|invalid recipient", re.IGNORECASE
        ),
        "The address is dead. Trying again will not help; later runs leave it out once it is barred.",
    ),
    (
        re.compile(r"\b5\.2\.2|quota|mailbox full|out of storage", re.IGNORECASE),
        "Their mailbox is full. Worth one more try later.",
    ),
    (
        re.compile(r"\b5\.7\.\d|spam|blocked|blacklist|dmarc|spf|reputation", re.IGNORECASE),
        "The provider distrusts the sender or the content. Mend that before you try again.",
    ),
)
_OTHERWISE = {
    "rejected": "The provider refused it for good. Try again once its cause is mended.",
    "deferred": "It was put off as often as may be. Try again once the provider takes messages.",
    "in_doubt": "Its reply was lost as often as it may be tried. Try again once the provider answers.",
    "template_error": "Mend the template and publish it; the next run goes by it.",
}


class Sql(QuerySet, file="troubles.sql", package=__package__):
    troubles: Statement


class Trouble(msgspec.Struct, frozen=True):
    """Answers that say the same. `words` is one of them, as the provider wrote it; `sends` of those looked at have it."""

    channel: str
    kind: str
    state: str
    reason: str
    sender: str
    words: str
    sends: int
    advice: str


class Troubles(msgspec.Struct, frozen=True):
    """What was said about sends that are failed, in doubt, or could not be made, most frequent first, of `looked_at` answers.

    `is_all`: there are no more than those. Otherwise the shares hold, and the numbers are of a sample.
    """

    troubles: list[Trouble]
    looked_at: int
    is_all: bool


_KINDS = {
    (SendState.FAILED, Reason.PROVIDER_REJECTED): {"rejected"},
    (SendState.FAILED, Reason.RETRIES_EXHAUSTED): {"deferred", "in_doubt"},
    (SendState.FAILED, Reason.IN_DOUBT): {"in_doubt"},
    (SendState.SKIPPED, Reason.TEMPLATE_ERROR): {"template_error"},
    (SendState.SKIPPED, Reason.ABORT_BY_TEMPLATE): {"template_error"},
}
"""Which answers explain a state: a send that was put off and taken later is in no trouble. Doubt explains all that is unknown."""


async def troubles(conn: Connection, brand_id: UUID, execution_id: UUID, channels: Sequence[ChannelKind]) -> Troubles:
    """What providers said of the execution's sends on these channels that did not go out."""
    kinds = ["rejected", "in_doubt", "deferred", "template_error"]
    rows = await Sql.troubles.tuples(
        conn,
        brand_id=brand_id,
        execution_id=execution_id,
        channels=[int(channel) for channel in channels],
        kinds=kinds,
        limit=LOOKED_AT_MAX,
    )
    counted: Counter[tuple[int, str, str, int, int, str]] = Counter()
    examples: dict[tuple[int, str, str, int, int, str], str] = {}
    for channel, kind, answer, sender, state, reason in rows:
        if not _explains(kind, SendState(state), Reason(reason)):
            continue
        key = channel, kind, sender or "", state, reason, _OWN.sub("…", answer)
        counted[key] += 1
        examples.setdefault(key, answer)
    of_each = Counter((channel, kind) for channel, kind, *_ in rows)
    told = [
        Trouble(
            ChannelKind(key[0]).label,
            key[1],
            SendState(key[3]).label,
            Reason(key[4]).label,
            key[2],
            examples[key],
            sends,
            advice(key[1], SendState(key[3]), examples[key]),
        )
        for key, sends in counted.most_common(TROUBLES_MAX)
    ]
    is_all = all(answers < LOOKED_AT_MAX for answers in of_each.values()) and len(counted) <= TROUBLES_MAX
    return Troubles(told, len(rows), is_all)


def _explains(kind: str, state: SendState, reason: Reason) -> bool:
    if state is SendState.UNKNOWN:
        return kind == "in_doubt"
    return kind in _KINDS.get((state, reason), ())


def advice(kind: str, state: SendState, words: str) -> str:
    """What somebody can do about an answer like that."""
    if state is SendState.UNKNOWN:
        return "They may or may not have it. Nothing is sent again unless you say so."
    said = next((remedy for pattern, remedy in _REMEDIES if kind == "rejected" and pattern.search(words)), None)
    return said or _OTHERWISE[kind]
