"""Frequency caps: which rules a message falls under, and who has had enough of what they count.

A rule holds back what it counts and counts what it holds back. So whatever it counts was reserved under a lock on the
person, and in no window of its length there are more than it allows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from stentor.domain.objections import Skip
from stentor.domain.policy import BrandPolicy, CampaignCap, CampaignPolicy
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind, Reason, channel_mask

BRAND_RULES_FROM = 100
"""The number of a brand's first rule is 101, of a campaign's first rule 1: what a send's `rule` tells apart."""


class Subject(msgspec.Struct, frozen=True):
    """What a message is, as rules look at it: equal for everybody in an execution on one channel."""

    channel: ChannelKind
    campaign_id: UUID
    topic_id: UUID | None
    tags: tuple[str, ...]


class CapRule(msgspec.Struct, frozen=True):
    """At most `at_most` messages in any `per_s` seconds, of those in its scope; an empty set stands for all."""

    number: int
    at_most: int
    per_s: int
    channels: int
    topics: frozenset[UUID]
    campaigns: frozenset[UUID]
    tags: frozenset[str]

    def covers(self, subject: Subject) -> bool:
        """Whether the message is in the rule's scope."""
        return bool(
            self.channels & subject.channel.bit
            and (not self.topics or subject.topic_id in self.topics)
            and (not self.campaigns or subject.campaign_id in self.campaigns)
            and (not self.tags or not self.tags.isdisjoint(subject.tags))
        )


class Asked(NamedTuple):
    """A send that falls under rules and is asked about."""

    execution_id: UUID
    customer_id: UUID
    subject: Subject
    rules: tuple[int, ...]
    """Their places among the wave's rules."""


class Counted(NamedTuple):
    """What is in a rule's window for a person: of other sends, and of this very send (tried before, in doubt since)."""

    others: int
    own: int


Counts: TypeAlias = Mapping[tuple[int, int], Counted]
"""By the places of the send and of the rule in the wave; what is absent is below the cap."""

_NOTHING = Counted(0, 0)


def rules_on(subject: Subject, campaign: CampaignPolicy, brand: BrandPolicy) -> tuple[CapRule, ...]:
    """The rules that such a message falls under, the campaign's own first."""
    own = [_rule(number, cap, campaigns=[subject.campaign_id]) for number, cap in enumerate(campaign.caps, start=1)]
    return tuple(rule for rule in (*own, *brand_rules(brand)) if rule.covers(subject))


def brand_rules(brand: BrandPolicy) -> tuple[CapRule, ...]:
    """All rules of a brand, in their order."""
    return tuple(
        _rule(number, cap, campaigns=cap.campaigns, tags=cap.tags)
        for number, cap in enumerate(brand.caps, start=BRAND_RULES_FROM + 1)
    )


def over_cap(rules: Sequence[CapRule], asked: Sequence[Asked], counts: Counts) -> list[Skip | None]:
    """What holds each send back, or None; of several messages to one person in a wave the first ones go."""
    added: defaultdict[tuple[UUID, int], int] = defaultdict(int)
    repeats = writes_twice(asked)
    answers: list[Skip | None] = []
    for place, send in enumerate(asked):
        capped = None
        for rule in send.rules:
            total = counts.get((place, rule), _NOTHING).others
            if repeats:
                total += added[send.customer_id, rule]
            if total >= rules[rule].at_most:
                capped = Skip(Reason.FREQUENCY_CAP, rules[rule].number, total)
                break
        if repeats and capped is None:
            for rule in send.rules:
                # What it holds already is among the others of the person's other sends in this wave.
                added[send.customer_id, rule] += not counts.get((place, rule), _NOTHING).own
        answers.append(capped)
    return answers


def writes_twice(asked: Sequence[Asked]) -> bool:
    """Whether somebody is to get several of these messages, so that each of them counts for the next."""
    return len({send.customer_id for send in asked}) < len(asked)


def _rule(number: int, cap: CampaignCap, *, campaigns: Sequence[UUID], tags: Sequence[str] = ()) -> CapRule:
    return CapRule(
        number=number,
        at_most=cap.at_most,
        per_s=cap.per_s,
        channels=_mask(cap.channels),
        topics=frozenset(cap.topics),
        campaigns=frozenset(campaigns),
        tags=frozenset(tags),
    )


def _mask(channels: Sequence[str]) -> int:
    return channel_mask(map(ChannelKind.named, channels)) if channels else ALL_CHANNELS_MASK
