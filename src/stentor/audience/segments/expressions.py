"""What a segment asks of a person: a tree of groups and conditions, strict in its types and bounded in its size.

A group (`all_of`, `any_of`, `none_of`) holds conditions and groups. A condition looks at one thing that is known of somebody;
where that is a value, such as an attribute, a test says what it has to be. A value of another type than its test's passes no
test: nobody is written to because somebody's `age` is the text "unknown". `none_of` turns that round, as it does all else.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta
from phonenumbers.phonenumberutil import SUPPORTED_REGIONS

from stentor.domain.locale import LOCALE_CHARS_MAX, TIME_ZONE_CHARS_MAX, normal_locale, normal_time_zone
from stentor.errors import Invalid, Violation, pointer_to

DEPTH_MAX = 8
CONDITIONS_MAX = 100
VALUES_MAX = 5000
LIST_VALUES_MAX = 1000
TEXT_CHARS_MAX = 1000
NAME_CHARS_MAX = 255
DAYS_MAX = 36_500
TIMES_MAX = 1000
PROPERTIES_MAX = 10

Scalar: TypeAlias = str | int | float | bool
Number: TypeAlias = int | float
ChannelLabel: TypeAlias = Literal[
    "email", "sms", "push", "web_push", "voice", "whatsapp", "in_app", "webhook", "external"
]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX)]
Scalars = Annotated[tuple[Scalar, ...], Meta(min_length=1, max_length=LIST_VALUES_MAX)]
Moment = Annotated[
    str, Meta(max_length=40, description="A day (`2026-01-31`, in UTC) or a point in time (`2026-01-31T09:00:00Z`).")
]


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A length of time: the sum of what is said."""

    days: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0
    hours: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0
    minutes: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0

    @property
    def delta(self) -> timedelta:
        return timedelta(days=self.days, hours=self.hours, minutes=self.minutes)


class Test(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op"):
    """What a value has to be. All but `missing` need it to be there; null is not there."""

    __test__ = False


class Is(Test, frozen=True, kw_only=True, tag="is"):
    """It is this value, of the same type."""

    value: Scalar


class IsNot(Test, frozen=True, kw_only=True, tag="is_not"):
    """It is another value of the same type; a list, a number beside a text and nothing at all are none."""

    value: Scalar


class In(Test, frozen=True, kw_only=True, tag="in"):
    """It is one of these values."""

    values: Scalars


class NotIn(Test, frozen=True, kw_only=True, tag="not_in"):
    """It is a value of the type of one of these, and none of them."""

    values: Scalars


class Exists(Test, frozen=True, kw_only=True, tag="exists"):
    """It is there, whatever it is."""


class Missing(Test, frozen=True, kw_only=True, tag="missing"):
    """It is not there."""


class Contains(Test, frozen=True, kw_only=True, tag="contains"):
    """It is a list that has this value, or a text that has this text in it, in the same case."""

    value: Scalar


class StartsWith(Test, frozen=True, kw_only=True, tag="starts_with"):
    """It is a text that begins with this one, in the same case."""

    value: Text


class Less(Test, frozen=True, kw_only=True, tag="less"):
    """It is a number below this one."""

    value: Number


class AtMost(Test, frozen=True, kw_only=True, tag="at_most"):
    """It is a number, this one or a smaller one."""

    value: Number


class Greater(Test, frozen=True, kw_only=True, tag="greater"):
    """It is a number above this one."""

    value: Number


class AtLeast(Test, frozen=True, kw_only=True, tag="at_least"):
    """It is a number, this one or a larger one."""

    value: Number


class Between(Test, frozen=True, kw_only=True, tag="between"):
    """It is a number from `low` to `high`, both included."""

    low: Number
    high: Number


class Before(Test, frozen=True, kw_only=True, tag="before"):
    """It is a date before this moment. Beside a day, the day of the value counts, in UTC."""

    value: Moment


class After(Test, frozen=True, kw_only=True, tag="after"):
    """It is a date after this moment. Beside a day, the day of the value counts, in UTC."""

    value: Moment


class On(Test, frozen=True, kw_only=True, tag="on"):
    """It is a date on this day, in UTC."""

    value: Annotated[str, Meta(max_length=10, description="A day, as `2026-01-31`.")]


class WithinLast(Test, frozen=True, kw_only=True, tag="within_last"):
    """It is a date no longer ago than this, and not in the future."""

    period: Period


class WithinNext(Test, frozen=True, kw_only=True, tag="within_next"):
    """It is a date in the future, no further away than this."""

    period: Period


class LongerAgo(Test, frozen=True, kw_only=True, tag="longer_ago"):
    """It is a date longer ago than this."""

    period: Period


class Anniversary(Test, frozen=True, kw_only=True, tag="anniversary"):
    """It is a date whose day and month are those of today, or of the day in so many days; 29 February falls on the 28th.

    `time_zone` says whose today it is.
    """

    in_days: Annotated[int, Meta(ge=0, le=365)] = 0
    time_zone: Annotated[str, Meta(max_length=TIME_ZONE_CHARS_MAX)] = "UTC"


DateTest: TypeAlias = Before | After | On | WithinLast | WithinNext | LongerAgo | Anniversary
ValueTest: TypeAlias = (
    Is
    | IsNot
    | In
    | NotIn
    | Exists
    | Missing
    | Contains
    | StartsWith
    | Less
    | AtMost
    | Greater
    | AtLeast
    | Between
    | Before
    | After
    | On
    | WithinLast
    | WithinNext
    | LongerAgo
    | Anniversary
)


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """A group or a condition."""


Conditions = Annotated[tuple["Expression", ...], Meta(min_length=1, max_length=CONDITIONS_MAX)]


class AllOf(Node, frozen=True, kw_only=True, tag="all_of"):
    """All of these are true."""

    conditions: Conditions


class AnyOf(Node, frozen=True, kw_only=True, tag="any_of"):
    """At least one of these is true."""

    conditions: Conditions


class NoneOf(Node, frozen=True, kw_only=True, tag="none_of"):
    """None of these is true."""

    conditions: Conditions


class Attribute(Node, frozen=True, kw_only=True, tag="attribute"):
    """The attribute of that name, as it was written down, passes the test."""

    name: Name
    test: ValueTest


class Created(Node, frozen=True, kw_only=True, tag="created"):
    """The time at which the person was first heard of passes the test."""

    test: DateTest


class Updated(Node, frozen=True, kw_only=True, tag="updated"):
    """The time at which anything of the person last changed passes the test."""

    test: DateTest


class Known(Node, frozen=True, kw_only=True, tag="known"):
    """Something is there for this field, valid or not."""

    field: Literal["email", "phone", "push_tokens", "locale", "time_zone"]


class Language(Node, frozen=True, kw_only=True, tag="locale"):
    """The person's language is one of these; `de` is also `de-AT`."""

    values: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=LOCALE_CHARS_MAX)], ...],
        Meta(min_length=1, max_length=LIST_VALUES_MAX),
    ]


class Zone(Node, frozen=True, kw_only=True, tag="time_zone"):
    """The person's time zone is one of these."""

    values: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=TIME_ZONE_CHARS_MAX)], ...],
        Meta(min_length=1, max_length=LIST_VALUES_MAX),
    ]


class Country(Node, frozen=True, kw_only=True, tag="country"):
    """The person's phone number is a valid one of one of these countries."""

    values: Annotated[
        tuple[Annotated[str, Meta(min_length=2, max_length=2, description="As `DE`.")], ...],
        Meta(min_length=1, max_length=300),
    ]


class Address(Node, frozen=True, kw_only=True, tag="address"):
    """How it stands with the address for a channel.

    `usable`: valid, never bounced and nobody complained; `there`: some address; `invalid`: one that is none; `bounced` and
    `complained`: what came back from it.
    """

    channel: ChannelLabel
    is_: Literal["usable", "there", "invalid", "bounced", "complained"] = msgspec.field(name="is", default="usable")


class Flag(Node, frozen=True, kw_only=True, tag="flag"):
    """The person's flag for a channel."""

    channel: ChannelLabel
    is_: Literal["yes", "no", "unset"] = msgspec.field(name="is")


class Tagged(Node, frozen=True, kw_only=True, tag="tag"):
    """The person has the tag, or has it not."""

    tag_id: UUID
    has: bool = True


class Subscribed(Node, frozen=True, kw_only=True, tag="subscription"):
    """The person is subscribed to the topic on the channel, or on any where none is said; or is not."""

    topic_id: UUID
    channel: ChannelLabel | None = None
    has: bool = True


class Property(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A property of an event passes the test."""

    name: Name
    test: ValueTest


class Happened(Node, frozen=True, kw_only=True, tag="event"):
    """Customer events of that name, with these properties, within that time, happened so often.

    At least once where neither `at_least` nor `at_most` is said; `at_most` alone is also true of whom none happened to.
    Each counts for the time at which it happened, whenever it was told of; one that lies ahead counts once its time has come.
    """

    name: Name
    at_least: Annotated[int, Meta(ge=1, le=TIMES_MAX)] | None = None
    at_most: Annotated[int, Meta(ge=0, le=TIMES_MAX)] | None = None
    within: Period | None = None
    where: Annotated[tuple[Property, ...], Meta(max_length=PROPERTIES_MAX)] = ()

    @property
    def least(self) -> int:
        """How often it has to have happened at least, 0 where it need not have."""
        if self.at_least is not None:
            return self.at_least
        return 1 if self.at_most is None else 0


SendFact: TypeAlias = Literal[
    "sent", "handed_over", "delivered", "bounced", "complained", "opened", "clicked", "unsubscribed"
]


class Sent(Node, frozen=True, kw_only=True, tag="send"):
    """What became of a message to the person, or did not: of any campaign or one, on any channel or one, but not of a test.

    `sent` is handed over or in doubt, `handed_over` was accepted by the provider; the others were reported of it. `within`
    counts from the start of the execution.
    """

    what: SendFact
    campaign_id: UUID | None = None
    channel: ChannelLabel | None = None
    within: Period | None = None
    has: bool = True


class Sample(Node, frozen=True, kw_only=True, tag="sample"):
    """A share of people by chance, the same ones each time; another seed makes another choice."""

    share: Annotated[float, Meta(gt=0, le=1)]
    seed: Annotated[str, Meta(max_length=100)] = ""


Condition: TypeAlias = (
    Attribute
    | Created
    | Updated
    | Known
    | Language
    | Zone
    | Country
    | Address
    | Flag
    | Tagged
    | Subscribed
    | Happened
    | Sent
    | Sample
)
Group: TypeAlias = AllOf | AnyOf | NoneOf
Expression: TypeAlias = (
    AllOf
    | AnyOf
    | NoneOf
    | Attribute
    | Created
    | Updated
    | Known
    | Language
    | Zone
    | Country
    | Address
    | Flag
    | Tagged
    | Subscribed
    | Happened
    | Sent
    | Sample
)


def checked(expression: Expression, pointer: str = "/expression") -> Expression:
    """The expression with its languages, zones and countries in their one spelling.

    Raises Invalid, with a pointer below `pointer` for each, for what its types do not rule out: more than 8 levels, 100
    groups and conditions or 5,000 values, dates and zones that are none, bounds the wrong way round.
    """
    violations: list[Violation] = []
    nodes = list(_walk(expression, pointer))
    if max(depth for _, _, depth in nodes) > DEPTH_MAX:
        where = next(place for _, place, depth in nodes if depth > DEPTH_MAX)
        violations.append(
            Violation(where, "too-deep", f"Groups stand in each other at most {DEPTH_MAX} levels deep; flatten them.")
        )
    if len(nodes) > CONDITIONS_MAX:
        text = f"The expression has {len(nodes)} groups and conditions; at most {CONDITIONS_MAX} are taken. Make two segments."
        violations.append(Violation(pointer, "too-many-conditions", text))
    if (values := sum(_values_in(node) for node, _, _ in nodes)) > VALUES_MAX:
        text = f"The expression lists {values} values; at most {VALUES_MAX} are taken. Give those people a tag instead."
        violations.append(Violation(pointer, "too-many-values", text))
    for node, place, _ in nodes:
        violations += _violations(node, place)
    if violations:
        raise Invalid(violations[0].message, violations=violations)
    return _normal(expression)


def conditions_in(expression: Expression) -> Iterator[tuple[Condition, str]]:
    """All its conditions, in the order in which they stand, with a pointer each from the root of the expression."""
    for node, pointer, _ in _walk(expression, ""):
        if not isinstance(node, Group):
            yield node, pointer


def day_in(text: str) -> date | None:
    """The day that this text is (`2026-01-31`), or None."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def instant_in(text: str) -> datetime | None:
    """The point in time that this text is, or None; a day is its beginning in UTC. The twin of the database's `instant_in`."""
    if (day := day_in(text)) is not None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    if (match := _INSTANT.fullmatch(text)) is None or (day := day_in(match["day"])) is None:
        return None
    offset = timedelta()
    if match["sign"]:
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    # To the nearest microsecond, as the database does.
    fraction = timedelta(microseconds=round(int((match["fraction"] or "0").ljust(9, "0")) / 1000))
    clock = datetime(
        day.year, day.month, day.day, int(match["hour"]), int(match["minute"]), int(match["second"] or 0), tzinfo=UTC
    )
    clock += fraction
    return clock + offset if match["sign"] == "-" else clock - offset


_DAY = re.compile(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"(?P<day>[12][0-9]{3}-[0-9]{2}-[0-9]{2})[Tt ](?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>0[0-9]|1[0-5]):?(?P<minutes>[0-5][0-9]))?"
)
_COUNTRIES = frozenset(SUPPORTED_REGIONS)


def _walk(node: Expression, pointer: str, depth: int = 1) -> Iterator[tuple[Expression, str, int]]:
    yield node, pointer, depth
    if isinstance(node, Group):
        for place, inner in enumerate(node.conditions):
            yield from _walk(inner, pointer + pointer_to("conditions", place), depth + 1)


def _values_in(node: Expression) -> int:
    match node:
        case Language(values=values) | Zone(values=values) | Country(values=values):
            return len(values)
        case Attribute(test=In(values=values) | NotIn(values=values)):
            return len(values)
        case Happened(where=where):
            return sum(len(one.test.values) for one in where if isinstance(one.test, (In, NotIn)))
    return 0


def _violations(node: Expression, pointer: str) -> Iterator[Violation]:  # noqa: C901, PLR0912  one case for each
    match node:
        case Attribute(test=test) | Created(test=test) | Updated(test=test):
            yield from _of_test(test, f"{pointer}/test")
        case Language(values=values):
            for place, text in enumerate(values):
                if normal_locale(text) is None:
                    message = "This is no language tag; write it as `en` or `pt-BR` (BCP 47)."
                    yield Violation(f"{pointer}/values/{place}", "invalid-locale", message)
        case Zone(values=values):
            for place, text in enumerate(values):
                yield from _of_zone(text, f"{pointer}/values/{place}")
        case Country(values=values):
            for place, text in enumerate(values):
                if text.upper() not in _COUNTRIES:
                    message = "This is no country with phone numbers; write its two letters (ISO 3166), as `DE`."
                    yield Violation(f"{pointer}/values/{place}", "invalid-country", message)
        case Happened():
            if node.at_least is not None and node.at_most is not None and node.at_least > node.at_most:
                message = "`at_most` is below `at_least`, which nobody can satisfy; swap them."
                yield Violation(f"{pointer}/at_most", "wrong-way-round", message)
            if node.within is not None:
                yield from _of_period(node.within, f"{pointer}/within")
            for place, one in enumerate(node.where):
                yield from _of_test(one.test, f"{pointer}/where/{place}/test")
        case Sent(within=Period() as within):
            yield from _of_period(within, f"{pointer}/within")


def _of_test(test: ValueTest, pointer: str) -> Iterator[Violation]:  # noqa: C901, PLR0912  one case for each
    match test:
        case In(values=values) | NotIn(values=values):
            for place, value in enumerate(values):
                if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
                    yield _too_long(f"{pointer}/values/{place}")
        case Is(value=str() as value) | IsNot(value=str() as value) | Contains(value=str() as value):
            if len(value) > TEXT_CHARS_MAX:
                yield _too_long(f"{pointer}/value")
        case Between(low=low, high=high):
            if low > high:
                yield Violation(
                    f"{pointer}/high",
                    "wrong-way-round",
                    "`high` is below `low`, so that nothing is between; swap them.",
                )
        case Before(value=value) | After(value=value):
            if instant_in(value) is None:
                message = "This is no date; write a day as `2026-01-31` or a time as `2026-01-31T09:00:00Z`."
                yield Violation(f"{pointer}/value", "invalid-date", message)
        case On(value=value):
            if day_in(value) is None:
                yield Violation(f"{pointer}/value", "invalid-date", "This is no day; write it as `2026-01-31`.")
        case WithinLast(period=period) | WithinNext(period=period) | LongerAgo(period=period):
            yield from _of_period(period, f"{pointer}/period")
        case Anniversary(time_zone=zone):
            yield from _of_zone(zone, f"{pointer}/time_zone")


def _too_long(pointer: str) -> Violation:
    return Violation(
        pointer, "too-long", f"A text has at most {TEXT_CHARS_MAX} characters; compare with its beginning."
    )


def _of_zone(text: str, pointer: str) -> Iterator[Violation]:
    if normal_time_zone(text) is None:
        message = "This is no time zone; write its IANA name, as `Europe/Berlin`."
        yield Violation(pointer, "invalid-time-zone", message)


def _of_period(period: Period, pointer: str) -> Iterator[Violation]:
    if not period.delta:
        yield Violation(pointer, "no-time", 'A period needs a length, as `{"days": 30}`.')
    elif period.delta > timedelta(days=DAYS_MAX):
        yield Violation(pointer, "too-long", f"A period has at most {DAYS_MAX} days; shorten it.")


def _normal(node: Expression) -> Expression:  # noqa: PLR0911  one case for each
    match node:
        case AllOf() | AnyOf() | NoneOf():
            return msgspec.structs.replace(node, conditions=tuple(map(_normal, node.conditions)))
        case Language(values=values):
            return Language(values=tuple(normal_locale(text) or text for text in values))
        case Zone(values=values):
            return Zone(values=tuple(normal_time_zone(text) or text for text in values))
        case Country(values=values):
            return Country(values=tuple(text.upper() for text in values))
        case Attribute(test=test) | Created(test=test) | Updated(test=test):
            return msgspec.structs.replace(node, test=_normal_test(test))
        case Happened(where=where):
            tests = tuple(msgspec.structs.replace(one, test=_normal_test(one.test)) for one in where)
            return msgspec.structs.replace(node, where=tests)
    return node


def _normal_test(test: ValueTest) -> ValueTest:
    if not isinstance(test, Anniversary):
        return test
    return msgspec.structs.replace(test, time_zone=normal_time_zone(test.time_zone) or test.time_zone)
