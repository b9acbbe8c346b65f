"""What a brand and a campaign say about whom they leave alone, and for how long: frequency caps, deadlines, holdouts.

A cap rule is a scope and a number: of the messages in its scope, one person gets at most so many in any window of that
length. The windows roll: they end at each moment, not at midnight.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.domain.quiet_hours import QuietRule, violations_of
from stentor.domain.vocabulary import CHANNEL_LABELS
from stentor.errors import Violation, pointer_to

CAPS_MAX = 20
PER_HOUR_MAX = 100_000_000
AT_MOST_MAX = 1_000
# What a rule counts is kept this long, so that a rule can be widened up to it and is exact at once.
PER_DAYS_MAX = 31
DEADLINE_DAYS_MAX = 31
CLEARANCE_DAYS_MAX = 7
TERMS_MAX = 100
TAG_CHARS_MAX = 100
PROMO_CODES_MAX = 20
PROMO_CODE_CHARS_MAX = 200
TOPIC_CHARS_MAX = 200

_DAY_S = 86_400
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": _DAY_S}
_DURATION = re.compile(r"([1-9][0-9]{0,7})([smhd])")

_Duration = Annotated[str, Meta(description="A whole number and its unit, s, m, h or d: `90s`, `30m`, `24h`, `7d`.")]
_Tag = Annotated[str, Meta(min_length=1, max_length=TAG_CHARS_MAX)]


class CampaignCap(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """At most `at_most` messages of this campaign per person in any window of the length `per`.

    Only those on the channels and about the topics that are named count and are held back; none named: all.
    """

    at_most: Annotated[int, Meta(ge=1, le=AT_MOST_MAX)]
    per: _Duration
    channels: Annotated[tuple[str, ...], Meta(max_length=len(CHANNEL_LABELS))] = ()
    topics: Annotated[tuple[UUID, ...], Meta(max_length=TERMS_MAX, description="Ids of topics.")] = ()

    @property
    def per_s(self) -> int:
        """The window in seconds."""
        return seconds_of(self.per) or 0


class BrandCap(CampaignCap, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """At most `at_most` messages of the brand per person in any window of the length `per`.

    Only those count and are held back that match all that is named: one of the channels, of the topics, of the campaigns,
    of the tags.
    """

    campaigns: Annotated[tuple[UUID, ...], Meta(max_length=TERMS_MAX, description="Ids of campaigns.")] = ()
    tags: Annotated[
        tuple[_Tag, ...], Meta(max_length=TERMS_MAX, description="Tags that campaigns have in their policy.")
    ] = ()


class BrandPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What holds for all messages of a brand, the transactional lane and test executions apart."""

    caps: Annotated[tuple[BrandCap, ...], Meta(max_length=CAPS_MAX)] = ()
    per_hour: Annotated[
        dict[str, Annotated[int, Meta(ge=1, le=PER_HOUR_MAX)]],
        Meta(
            max_length=len(CHANNEL_LABELS),
            description="By channel, how many messages the brand hands over in any hour, tries counted each.",
        ),
    ] = {}


class CampaignPolicy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What holds for a campaign beside its brand's policy. It is frozen when a generator is published."""

    caps: Annotated[tuple[CampaignCap, ...], Meta(max_length=CAPS_MAX)] = ()
    deadline: Annotated[
        _Duration | None, Meta(description="Who is not handed over this long after the call is skipped.")
    ] = None
    holdout: Annotated[
        float, Meta(ge=0, lt=1, description="The share of people who are left out, always the same ones.")
    ] = 0.0
    tags: Annotated[tuple[_Tag, ...], Meta(max_length=TERMS_MAX, description="What the brand's caps know it by.")] = ()
    quiet_hours: Annotated[
        tuple[QuietRule, ...],
        Meta(description="When nobody is written to, by the recipient's clock, beside the brand's quiet hours."),
    ] = ()
    per_hour: Annotated[
        Annotated[int, Meta(ge=1, le=PER_HOUR_MAX)] | None,
        Meta(description="How many messages all its executions hand over together in any hour, tries counted each."),
    ] = None

    clearance: Annotated[
        _Duration | None,
        Meta(
            description="Of what partners send: how long after its publication it is held, so that they clear it person by "
            "person; who is not cleared by then is skipped."
        ),
    ] = None

    promo_codes: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=PROMO_CODE_CHARS_MAX)], ...],
        Meta(
            max_length=PROMO_CODES_MAX,
            description="What partners tell each recipient of: promo codes of the brand; one that was deleted is left out.",
        ),
    ] = ()
    event_topic: Annotated[
        Annotated[str, Meta(min_length=1, max_length=TOPIC_CHARS_MAX)] | None,
        Meta(
            description="Of a campaign whose consent basis is `topic`: the key of the topic that it writes for where customers' events "
            "run it. An event of somebody who has not subscribed to it reaches nobody."
        ),
    ] = None

    @property
    def clearance_s(self) -> int | None:
        """Seconds for which what partners send is held to be cleared; None where it is not."""
        return None if self.clearance is None else seconds_of(self.clearance)

    @property
    def deadline_s(self) -> int | None:
        """Seconds from an execution's creation to its deadline; None where there is none."""
        return None if self.deadline is None else seconds_of(self.deadline)


def seconds_of(duration: str) -> int | None:
    """The seconds of a duration like `90s`, `30m`, `24h` or `7d`; None for a text that is none."""
    found = _DURATION.fullmatch(duration)
    return int(found[1]) * _UNIT_S[found[2]] if found else None


def policy_violations(policy: BrandPolicy | CampaignPolicy, pointer: str) -> Iterator[Violation]:
    """What a well-formed policy says that it cannot mean; the policy stands at `pointer` in the request."""
    for index, cap in enumerate(policy.caps):
        place = pointer + pointer_to("caps", index)
        yield from _duration_violations(cap.per, f"{place}/per", PER_DAYS_MAX)
        yield from _channel_violations(cap.channels, f"{place}/channels")
    if isinstance(policy, BrandPolicy):
        for name in policy.per_hour:
            yield from _unknown_channel(name, pointer + pointer_to("per_hour", name))
    if isinstance(policy, CampaignPolicy):
        if policy.deadline is not None:
            yield from _duration_violations(policy.deadline, f"{pointer}/deadline", DEADLINE_DAYS_MAX)
        if policy.clearance is not None:
            yield from _duration_violations(policy.clearance, f"{pointer}/clearance", CLEARANCE_DAYS_MAX)
            if policy.deadline_s is not None and (policy.clearance_s or 0) >= policy.deadline_s:
                text = "The deadline must come later than the clearance, or nobody is left to be written to."
                yield Violation(f"{pointer}/clearance", "too-long", text)
        yield from violations_of(policy.quiet_hours, f"{pointer}/quiet_hours")


def _duration_violations(duration: str, pointer: str, days_max: int) -> Iterator[Violation]:
    seconds = seconds_of(duration)
    if seconds is None:
        text = f"{duration!r} is no duration; send a whole number and its unit, s, m, h or d, like `24h`."
        yield Violation(pointer, "invalid-duration", text)
    elif seconds > days_max * _DAY_S:
        yield Violation(pointer, "too-long", f"{duration} is too long; send at most {days_max}d.")


def _channel_violations(channels: Sequence[str], pointer: str) -> Iterator[Violation]:
    for index, name in enumerate(channels):
        yield from _unknown_channel(name, f"{pointer}/{index}")


def _unknown_channel(name: str, pointer: str) -> Iterator[Violation]:
    if name not in CHANNEL_LABELS:
        text = f"There is no channel {name!r}; choose from {', '.join(CHANNEL_LABELS)}."
        yield Violation(pointer, "unknown-channel", text)
