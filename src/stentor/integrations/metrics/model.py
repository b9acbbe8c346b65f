"""What a partner may report, and how it is shown."""

from datetime import date, datetime
from enum import IntEnum, unique
from uuid import UUID

import msgspec

from stentor.domain.vocabulary import ChannelKind

TOTALS_MAX = 100
"""Totals of one call."""
PEOPLE_MAX = 10_000
"""People that one call of interactions names."""
FACTS_MAX = 10_000
"""Facts of one batch."""
FACTS_BYTES_MAX = 8 * 1024 * 1024
FACT_ID_CHARS_MAX = 255
DETAIL_CHARS_MAX = 500
TOTAL_MAX = 10**15
"""The largest total that is taken."""
GROUPS_MAX = 100
"""Of recipients, in one execution: how many of them a partner may tell apart."""
AHEAD_HOURS_MAX = 24
"""How far the time of a fact may lie ahead, for clocks that differ."""
BEFORE_HOURS_MAX = 24
"""How far it may lie before its execution was published."""
REPEATS_DAYS = 30
"""How long the ids of facts are kept, so that one that is told again is known."""
NO_TEMPLATE = 0
"""What stands for the template where a partner names none."""


@unique
class FactKind(IntEnum):
    """What became of a message at the partner's. The numbers are the EventIDs and MetricIDs of the classic API."""

    SENT = 0
    DELIVERED = 1
    OPENED = 2
    CLICKED = 3
    UNSUBSCRIBED = 4
    DROPPED = 5
    COMPLAINED = 6
    BOUNCED = 7
    OTHER = 8

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def of_number(cls, number: int) -> "FactKind":
        """The kind of an EventID or a MetricID, 0 to 9: 7 and 9 both mean bounced. Raises ValueError for another number."""
        return cls.BOUNCED if number == _BOUNCED_AS_METRIC else cls(number)

    @property
    def metric_number(self) -> int:
        """The MetricID by which it is known among totals."""
        return _BOUNCED_AS_METRIC if self is FactKind.BOUNCED else self.value


_BOUNCED_AS_METRIC = 9


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """A total of one metric: of an execution's run number, on one partner channel, by one template."""

    campaign: int
    channel: int
    template: int
    metric: int
    value: int


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something on a day. `event` is an EventID, `customers` are external ids."""

    campaign: int
    channel: int
    template: int = NO_TEMPLATE
    event: int
    day: date
    customers: list[str]
    group: int = 1


class ToldFact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to one person's message, under an id of the partner's own. `template` 0: it names none.

    `line` is where it stands in a batch that has empty lines, too; None: that is its place.
    """

    id: str
    campaign: int
    channel: int
    template: int = NO_TEMPLATE
    external_id: str
    kind: FactKind
    at: datetime
    detail: str = ""
    line: int | None = None


class Told(msgspec.Struct, frozen=True):
    """What was made of facts.

    `taken` of them came; `added` are new, `repeated` had been told before, and `unknown` are of people whom nothing was sent
    to in that execution by that channel.
    """

    taken: int
    added: int
    repeated: int
    unknown: int


class Run(msgspec.Struct, frozen=True):
    """An execution as partners know it: by its run number, with the kinds of its partner channels by their numbers."""

    number: int
    execution_id: UUID
    published_at: datetime
    channels: dict[int, ChannelKind]


class Figure(msgspec.Struct, frozen=True):
    """One metric of one template, counted twice.

    `reported` is the partner's total and `people` of how many persons a fact was told; null where neither was. `counted` is what
    holds: people, where there are any facts. `difference` is reported less people, where there are both.
    """

    metric: str
    reported: int | None
    people: int | None
    counted: int
    difference: int | None
    reported_at: datetime | None

    @classmethod
    def of(cls, kind: FactKind, reported: int | None, people: int | None, reported_at: datetime | None) -> "Figure":
        counted = people if people is not None else reported or 0
        difference = None if reported is None or people is None else reported - people
        return cls(kind.label, reported, people, counted, difference, reported_at)


class ReportedTemplate(msgspec.Struct, frozen=True):
    """What was reported of one template on one partner channel; `template` 0 where the partner named none."""

    channel: int
    channel_name: str
    template: int
    template_name: str
    figures: list[Figure]
    calls: int
    """Calls that named people."""
    named: int
    """People named in them, one who was named twice counted twice."""
    unknown: int
    """Names among those to whom nothing was sent."""


class PastInteraction(msgspec.Struct, frozen=True):
    """Something that a person did, as a partner told it. `campaign` is the run number of an execution of `campaign_id`."""

    day: date
    campaign: int
    campaign_id: UUID | None
    group: int
    channel: int
    template: int
    event: int
