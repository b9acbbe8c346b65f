"""What a run left behind outside the database: the chronicle of clients and nemesis, and the ledgers of who got what."""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from stentor.testing.torture.watching import Watching

_SEND_ID_CHARS = 60
_PADDING = "===="  # 37 bytes in base32 end in a group of four characters


class SendKey(NamedTuple):
    """One message of one execution to one person, in 33 bytes."""

    execution: bytes
    customer: bytes
    channel: int


class Taken(NamedTuple):
    """A message that a provider took, on the monotonic clock."""

    at_ns: int
    send: SendKey
    recipient: str


class Departure(NamedTuple):
    """Somebody opted out: when it was asked for (seconds since the epoch), and the monotonic time of its acknowledgement."""

    asked_at_s: float
    acknowledged_ns: int | None


class Cap(NamedTuple):
    """A frequency cap that is in force from the beginning: so many messages per person about these topics together."""

    at_most: int
    per_s: float
    topics: Sequence[str]


@dataclass
class Workload:
    """What the clients asked for and were promised, and what was done to the engine meanwhile."""

    audiences: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    called: dict[str, str] = field(default_factory=dict)
    """Topics by idempotency key; a call without one has a name of its own here."""
    accepted: dict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))
    """Acknowledged executions by idempotency key: one each, if the engine keeps its word."""
    departures: dict[tuple[str, str], Departure] = field(default_factory=dict)
    """By (person, topic)."""
    faults: Counter[str] = field(default_factory=Counter)
    fault_kinds: list[str] = field(default_factory=list)
    """Every kind that the nemesis knows, struck or not."""
    kills: int = 0
    kills_on_wire: int = 0
    unknown_allowed: int = 0
    repeats_allowed: int = 0
    """So many webhooks may have been in doubt, and come once more."""
    rules: Mapping[str, list[Any]] = field(default_factory=dict)
    """The caps and quiet hours that were in force."""
    watched: list[tuple[float, float]] = field(default_factory=list)
    """From when to when a watcher lived and nothing kept it from its work, in seconds since the epoch."""
    began_s: float = 0.0
    """Seconds since the epoch at `began_ns`, which joins the ledgers' clock to the database's."""
    began_ns: int = 0
    ended_ns: int = 0

    @property
    def caps(self) -> list[Cap]:
        """The frequency caps that were in force."""
        return [Cap(**cap) for cap in self.rules.get("caps", [])]

    def at_s(self, at_ns: int) -> float:
        """A monotonic time as seconds since the epoch."""
        return self.began_s + (at_ns - self.began_ns) / 1e9

    @property
    def minutes(self) -> float:
        """How long the clients called."""
        return (self.ended_ns - self.began_ns) / 60e9


def read_chronicle(path: Path) -> Workload:
    """The workload as its clients and the nemesis wrote it down."""
    workload, watching = Workload(), Watching()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            note = json.loads(line)
            watching.take(note)
            if note["what"] != "watched":
                _take_note(workload, note)
    workload.watched = watching.intervals()
    return workload


def _take_note(workload: Workload, note: Mapping[str, Any]) -> None:
    match note["what"]:
        case "began":
            workload.began_ns = note["at_ns"]
            workload.began_s = note["at_s"]
            workload.rules = note["rules"]
            workload.fault_kinds = note["fault_kinds"]
        case "ended":
            workload.ended_ns = note["at_ns"]
        case "people":
            workload.audiences[note["topic"]].update(note["people"])
        case "called":
            workload.called[note["key"]] = note["topic"]
        case "accepted":
            workload.accepted[note["key"]].add(UUID(note["execution"]))
        case "leaving":
            workload.departures.setdefault((note["person"], note["topic"]), Departure(note["at_s"], None))
        case "left":
            place = note["person"], note["topic"]
            asked = workload.departures[place]
            if asked.acknowledged_ns is None:
                workload.departures[place] = Departure(asked.asked_at_s, note["at_ns"])
        case "fault":
            workload.faults[note["kind"]] += 1
            workload.kills += note["kills"]
            workload.kills_on_wire += note["on_wire"]
            workload.unknown_allowed += note["allows"]
            workload.repeats_allowed += note["repeats"]
        case unknown:
            raise ValueError(f"The chronicle has a note of {unknown!r}, which this verdict cannot weigh.")


def read_ledgers(indexes: Iterable[Path]) -> Iterator[Taken]:
    """Every message in the ledgers (`testing/smtp_sink.py` has their form).

    Raises ValueError for one whose Message-ID is no send id: nobody else sends to these servers.
    """
    for index in indexes:
        with index.open(encoding="utf-8") as lines:
            for line in lines:
                at_ns, _, _, message_id, recipient = line.rstrip("\n").split(" ", 4)
                yield Taken(int(at_ns), send_of(message_id), recipient)


def send_of(message_id: str) -> SendKey:
    """The send that a Message-ID names. Raises ValueError for one that is none of a send's."""
    send_id = message_id.partition("@")[0]
    if len(send_id) != _SEND_ID_CHARS:
        raise ValueError(f"The ledger has a message {message_id!r} that is none of a send's.")
    raw = base64.b32decode(send_id.upper() + _PADDING)
    return SendKey(raw[:16], raw[16:32], raw[32])
