"""What an expression means, said person by person in plain Python: what the compiled SQL is held against."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers

from stentor.audience.segments import expressions as ex
from stentor.audience.segments.expressions import day_in, instant_in
from stentor.domain.vocabulary import ChannelKind, SendState


class Event(msgspec.Struct, frozen=True):
    name: str
    at: datetime
    properties: Mapping[str, Any]


class Message(msgspec.Struct, frozen=True):
    campaign_id: UUID
    started_at: datetime
    channel: ChannelKind
    state: SendState
    kinds: Sequence[str] = ()


class Person(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: UUID
    created_at: datetime
    updated_at: datetime
    email: str | None = None
    phone: str | None = None
    push_tokens: Sequence[str] = ()
    locale: str | None = None
    time_zone: str | None = None
    address_mask: int = 0
    valid_mask: int = 0
    agreed_mask: int = 0
    refused_mask: int = 0
    bounced_mask: int = 0
    complained_mask: int = 0
    attributes: Mapping[str, Any] = {}
    tags: Sequence[UUID] = ()
    subscriptions: Mapping[UUID, int] = {}
    events: Sequence[Event] = ()
    messages: Sequence[Message] = ()


def is_meant(person: Person, node: ex.Expression, now: datetime) -> bool:  # noqa: C901, PLR0911, PLR0912  one case for each
    """Whether the expression means that person at that time."""
    match node:
        case ex.AllOf():
            return all(is_meant(person, inner, now) for inner in node.conditions)
        case ex.AnyOf():
            return any(is_meant(person, inner, now) for inner in node.conditions)
        case ex.NoneOf():
            return not any(is_meant(person, inner, now) for inner in node.conditions)
        case ex.Attribute():
            return passes(person.attributes.get(node.name), node.test, now)
        case ex.Created():
            return _dated(person.created_at, node.test, now)
        case ex.Updated():
            return _dated(person.updated_at, node.test, now)
        case ex.Known(field="push_tokens"):
            return bool(person.push_tokens)
        case ex.Known():
            return getattr(person, node.field) is not None
        case ex.Language():
            locale = (person.locale or "").lower()
            return any(locale == tag.lower() or locale.startswith(f"{tag.lower()}-") for tag in node.values)
        case ex.Zone():
            return person.time_zone in node.values
        case ex.Country():
            if not person.valid_mask & ChannelKind.SMS.bit or person.phone is None:
                return False
            number = phonenumbers.parse(person.phone)
            return any(
                phonenumbers.is_valid_number_for_region(number, country)
                if len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[number.country_code or 0]) > 1
                else phonenumbers.country_code_for_region(country) == number.country_code
                for country in node.values
            )
        case ex.Address():
            bit = ChannelKind.named(node.channel).bit
            bounced, complained = bool(person.bounced_mask & bit), bool(person.complained_mask & bit)
            return {
                "there": bool(person.address_mask & bit),
                "invalid": bool(person.address_mask & ~person.valid_mask & bit),
                "bounced": bounced,
                "complained": complained,
                "usable": bool(person.valid_mask & bit) and not bounced and not complained,
            }[node.is_]
        case ex.Flag():
            bit = ChannelKind.named(node.channel).bit
            said = "yes" if person.agreed_mask & bit else "no" if person.refused_mask & bit else "unset"
            return said == node.is_
        case ex.Tagged():
            return (node.tag_id in person.tags) is node.has
        case ex.Subscribed():
            channels = person.subscriptions.get(node.topic_id, 0)
            bit = ~0 if node.channel is None else ChannelKind.named(node.channel).bit
            return bool(channels & bit) is node.has
        case ex.Happened():
            times = sum(
                event.name == node.name
                and event.at <= now
                and (node.within is None or now - node.within.delta < event.at)
                and all(passes(event.properties.get(one.name), one.test, now) for one in node.where)
                for event in person.events
            )
            least = node.at_least if node.at_least is not None else 1 if node.at_most is None else 0
            return times >= least and (node.at_most is None or times <= node.at_most)
        case ex.Sent():
            return any(_fits(message, node, now) for message in person.messages) is node.has
        case ex.Sample():
            digest = hashlib.sha256(node.seed.encode() + person.customer_id.bytes).digest()
            return int.from_bytes(digest[:4], "big") < round(node.share * 2**32)
    raise AssertionError(node)


def passes(value: Any, test: ex.ValueTest, now: datetime) -> bool:  # noqa: C901, PLR0911, PLR0912  one case for each
    """Whether a value in a JSON object passes the test; what is not there is None."""
    if value is None:
        return isinstance(test, ex.Missing)
    match test:
        case ex.Exists():
            return True
        case ex.Missing():
            return False
        case ex.Is():
            return _same(value, test.value)
        case ex.IsNot():
            return _kind(value) == _kind(test.value) and not _same(value, test.value)
        case ex.In():
            return any(_same(value, each) for each in test.values)
        case ex.NotIn():
            return _kind(value) in set(map(_kind, test.values)) and not any(_same(value, each) for each in test.values)
        case ex.Contains():
            if isinstance(value, list):
                return any(_same(each, test.value) for each in value)
            return isinstance(value, str) and isinstance(test.value, str) and test.value in value
        case ex.StartsWith():
            return isinstance(value, str) and value.startswith(test.value)
        case ex.Less():
            return _kind(value) == "number" and value < test.value
        case ex.AtMost():
            return _kind(value) == "number" and value <= test.value
        case ex.Greater():
            return _kind(value) == "number" and value > test.value
        case ex.AtLeast():
            return _kind(value) == "number" and value >= test.value
        case ex.Between():
            return _kind(value) == "number" and test.low <= value <= test.high
    moment = instant_in(value) if isinstance(value, str) else None
    return moment is not None and _dated(moment, test, now)


def _dated(moment: datetime, test: ex.ValueTest, now: datetime) -> bool:  # noqa: PLR0911  one case for each
    match test:
        case ex.Before():
            return moment < _instant(test.value)
        case ex.After():
            day = day_in(test.value)
            return moment > _instant(test.value) if day is None else moment.astimezone(UTC).date() > day
        case ex.On():
            return moment.astimezone(UTC).date() == day_in(test.value)
        case ex.WithinLast():
            return now - test.period.delta <= moment <= now
        case ex.WithinNext():
            return now < moment <= now + test.period.delta
        case ex.LongerAgo():
            return moment < now - test.period.delta
        case ex.Anniversary():
            today = now.astimezone(ZoneInfo(test.time_zone)).date() + timedelta(days=test.in_days)
            then = moment.astimezone(UTC).date()
            return (then.month, then.day) == (today.month, today.day) or (
                (then.month, then.day) == (2, 29) and (today.month, today.day) == (2, 28) and not _is_leap(today)
            )
    raise AssertionError(test)


def _is_leap(day: date) -> bool:
    return (day + timedelta(days=1)).month == 2


def _fits(message: Message, node: ex.Sent, now: datetime) -> bool:
    if node.campaign_id not in {None, message.campaign_id}:
        return False
    if node.channel not in {None, message.channel.label}:
        return False
    if node.within is not None and message.started_at < now - node.within.delta:
        return False
    match node.what:
        case "sent":
            return message.state in {SendState.HANDED_OVER, SendState.UNKNOWN}
        case "handed_over":
            return message.state is SendState.HANDED_OVER
    return node.what in message.kinds


def _instant(text: str) -> datetime:
    instant = instant_in(text)
    assert instant is not None
    return instant


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def _same(value: Any, scalar: Any) -> bool:
    return _kind(value) == _kind(scalar) and value == scalar
