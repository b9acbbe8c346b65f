"""An execution as its page shows it: everybody accounted for, how far they came, and why not. Pure sums over the counters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from stentor.executions.service import Overview
from stentor.report.funnel import ChannelFunnel
from stentor.report.reactions import ChannelReactions

OUTCOMES: dict[str, str] = {
    "handed_over": "handed over",
    "pending": "pending",
    "held": "held",
    "failed": "failed",
    "unknown": "unknown",
    "skipped": "skipped",
}
"""The terms of the equation, in its order, and what they are called."""

COLOURS = {"handed_over": "handed"}
"""The colours of outcomes that are not called as they are."""


class Ledger(msgspec.Struct, frozen=True):
    """`audience` = the sum of the six `terms`, pairs of a state and how many, on one channel or on all together."""

    channel: str
    audience: int
    terms: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, channels: Sequence[ChannelFunnel], channel: str = "") -> "Ledger":
        """Everybody on these channels: who is written to on two of them counts on both."""
        terms = tuple((state, sum(getattr(one, state) for one in channels)) for state in OUTCOMES)
        return cls(channel, sum(one.audience for one in channels), terms)

    def __getitem__(self, state: str) -> int:
        return dict(self.terms)[state]

    @property
    def balanced(self) -> bool:
        """Whether nobody is missing."""
        return self.audience == sum(count for _, count in self.terms)

    @property
    def stretches(self) -> list[tuple[str, int]]:
        """The terms by their colours, for a bar."""
        return [(COLOURS.get(state, state), count) for state, count in self.terms]

    @property
    def waiting(self) -> int:
        """Who is still to be written to."""
        return self["pending"] + self["held"]

    @property
    def words(self) -> str:
        """The equation, said."""
        said = ", ".join(f"{count:,} {OUTCOMES[state]}" for state, count in self.terms if count)
        return f"{said or 'nobody'}, of {self.audience:,}"


class Step(msgspec.Struct, frozen=True):
    """One step of the funnel. `before`: of the step before, None of the first; `is_estimated`: it may be too many or too few."""

    name: str
    people: int
    audience: int
    before: "Step | None" = None
    note: str = ""
    is_estimated: bool = False

    @property
    def top(self) -> float:
        """Where its shape begins, from 0 for everybody to 100 for nobody."""
        return round(100 - 100 * min(self.people, self.audience) / self.audience, 2) if self.audience else 100.0

    @property
    def height(self) -> float:
        """How high its shape is."""
        return round(100 - self.top, 2)


def funnel_of(ledger: Ledger, reactions: Sequence[ChannelReactions]) -> list[Step]:
    """Audience, eligible, handed over, delivered, opened, clicked."""
    told = told_of(reactions)
    audience = Step("Audience", ledger.audience, ledger.audience, note="one for each person and channel")
    eligible = Step(
        "Eligible",
        ledger.audience - ledger["skipped"],
        ledger.audience,
        audience,
        f"{ledger['skipped']:,} left out" if ledger["skipped"] else "",
    )
    handed = Step(
        "Handed over",
        ledger["handed_over"],
        ledger.audience,
        eligible,
        f"{ledger.waiting:,} still to come" if ledger.waiting else "",
    )
    delivered = Step("Delivered", told["delivered"], ledger.audience, handed, "confirmed by providers")
    opened = Step("Opened", told["opened"], ledger.audience, delivered, "estimated", is_estimated=True)
    clicked = Step("Clicked", told["clicked"], ledger.audience, opened)
    return [audience, eligible, handed, delivered, opened, clicked]


def told_of(reactions: Iterable[ChannelReactions], channel: str | None = None) -> Counter[str]:
    """Of how many people each thing was told, on that channel or on all."""
    told: Counter[str] = Counter()
    for one in reactions:
        if channel in {None, one.channel}:
            told.update({name: getattr(one, name) for name in one.__struct_fields__ if name != "channel"})
    return told


class Why(msgspec.Struct, frozen=True):
    """One reason, and how many people it keeps from getting the message."""

    state: str
    reason: str
    people: int


class Whys(msgspec.Struct, frozen=True):
    """The reasons of those who stand in that state, the most frequent first; `rest` stands so without one."""

    state: Literal["skipped", "held", "failed", "unknown"]
    title: str
    people: int
    whys: list[Why]

    @property
    def most(self) -> int:
        """The most frequent one's people: the longest bar."""
        return max((one.people for one in self.whys), default=0)


_TITLES: tuple[tuple[Literal["skipped", "held", "failed", "unknown"], str], ...] = (
    ("skipped", "Will not get it"),
    ("held", "Not yet"),
    ("failed", "Failed"),
    ("unknown", "Nobody knows"),
)


def whys_of(channels: Sequence[ChannelFunnel]) -> list[Whys]:
    """Why not, by state and reason, on all of these channels together. What has no reason of its own says its state."""
    found: list[Whys] = []
    for state, title in _TITLES:
        counted: Counter[str] = Counter()
        for one in channels:
            counted.update(getattr(one, f"{state}_by_reason"))
        people = sum(getattr(one, state) for one in channels)
        if rest := people - sum(counted.values()):
            counted[""] = rest
        if people:
            whys = [Why(state, reason, count) for reason, count in counted.most_common()]
            found.append(Whys(state, title, people, whys))
    return found


class ChannelRow(msgspec.Struct, frozen=True):
    """One channel of the table by channel."""

    channel: str
    ledger: Ledger
    delivered: int
    opened: int
    clicked: int


class Shown(msgspec.Struct, frozen=True):
    """All figures of an execution's page that its counters give."""

    ledger: Ledger
    channels: list[ChannelRow]
    steps: list[Step]
    whys: list[Whys]

    @classmethod
    def of(cls, overview: Overview) -> "Shown":
        """The figures of that execution."""
        ledger = Ledger.of(overview.channels)
        told = overview.reactions
        rows = [
            ChannelRow(
                one.channel,
                Ledger.of([one], one.channel),
                told_of(told, one.channel)["delivered"],
                told_of(told, one.channel)["opened"],
                told_of(told, one.channel)["clicked"],
            )
            for one in overview.channels
        ]
        return cls(ledger, rows, funnel_of(ledger, told), whys_of(overview.channels))


def mark_of(overview: Overview) -> object:
    """What tells one look at an execution from the next: all that its figures are made of."""
    return (
        overview.execution,
        overview.channels,
        overview.reactions,
        overview.remedies,
        overview.to_decide,
        overview.paused_senders,
    )


def retryable(overview: Overview) -> int:
    """How many failed sends a retry is for: refused ones, and those whose tries are used up."""
    reasons = ("provider_rejected", "retries_exhausted")
    return sum(one.failed_by_reason.get(reason, 0) for one in overview.channels for reason in reasons)


def unknown(overview: Overview) -> int:
    """How many sends are in doubt."""
    return sum(one.unknown for one in overview.channels)


def waiting(overview: Overview) -> int:
    """How many are not handed over yet, whom a cancellation skips; before anybody is planned, whom the execution means."""
    if not overview.channels:
        return overview.execution.audience_size
    return sum(one.pending + one.held for one in overview.channels)
