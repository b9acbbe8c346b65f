"""From an expression to a condition in SQL about one row of `customer`: set-based, and made of bound parameters alone.

What an expression says never becomes SQL text: names of columns and the shape of the statement are ours, and each value that
it brings is a parameter. Other tables are asked by EXISTS, joined on (part, customer_id), which the database turns into joins of
whole sets. A statement that the condition stands in binds `brand_id` and `shift` itself.

Missing values make a condition NULL, which is false enough for WHERE and turns over to nothing under NOT; so under `none_of`,
and only there, where no index helps anyway, each such condition is made false.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from stentor.audience.segments.countries import numbers_of
from stentor.audience.segments.expressions import (
    Address,
    After,
    AllOf,
    Anniversary,
    AnyOf,
    AtLeast,
    AtMost,
    Attribute,
    Before,
    Between,
    Contains,
    Country,
    Created,
    Exists,
    Expression,
    Flag,
    Greater,
    Happened,
    In,
    Is,
    IsNot,
    Known,
    Language,
    Less,
    LongerAgo,
    Missing,
    NoneOf,
    NotIn,
    On,
    Period,
    Sample,
    Scalar,
    Sent,
    StartsWith,
    Subscribed,
    Tagged,
    Updated,
    ValueTest,
    WithinLast,
    WithinNext,
    Zone,
    day_in,
    instant_in,
)
from stentor.domain.vocabulary import ChannelKind, SendState

_NOW = sql.SQL("(statement_timestamp() + %(shift)s)")
# Neither by a test key, nor a campaign as it was edited, sent to its makers.
_NO_TEST = sql.SQL(
    "NOT EXISTS (SELECT FROM execution x JOIN publication p ON p.id = x.publication_id AND p.brand_id = %(brand_id)s"
    " WHERE x.id = t.execution_id AND x.brand_id = %(brand_id)s AND (x.is_test OR p.is_test_send))"
)
# Of a campaign that has run so often that its executions are not named.
_OF_CAMPAIGN: LiteralString = (
    "EXISTS (SELECT FROM execution x JOIN publication p ON p.id = x.publication_id AND p.brand_id = %(brand_id)s"
    " WHERE x.id = t.execution_id AND x.brand_id = %(brand_id)s AND NOT x.is_test AND NOT p.is_test_send"
    " AND p.campaign_id = {campaign_id})"
)
_SAMPLES = 1 << 32
_EVENT_ALONE = frozenset({"delivered", "bounced", "complained", "opened", "clicked", "unsubscribed"})
_STATES = {
    "sent": [SendState.HANDED_OVER.value, SendState.UNKNOWN.value],
    "handed_over": [SendState.HANDED_OVER.value],
}
_COMPARISONS: dict[type[ValueTest], LiteralString] = {Less: "<", AtMost: "<=", Greater: ">", AtLeast: ">="}


class Compiled(msgspec.Struct, frozen=True):
    """A boolean expression about one row of `customer`, and its parameters; `brand_id` and `shift` are the statement's own."""

    sql: sql.Composable
    parameters: dict[str, Any]


def compile_expression(
    expression: Expression,
    customer: str = "c",
    prefix: str = "segment",
    *,
    executions: Mapping[UUID, Sequence[UUID]] | None = None,
    numerous: Collection[UUID] = (),
) -> Compiled:
    """The condition under which the row of `customer` with that alias is meant.

    The names of its parameters begin with `prefix`, so that several fit into one statement. `executions`: of each campaign
    that `campaigns_in` names, its executions; of one that is left out nobody was sent anything, unless it is one of the
    `numerous`, which have too many to name. An expression has to be checked before (`expressions.checked`).
    """
    compiler = _Compiler(customer, prefix, executions or {}, numerous)
    return Compiled(compiler.node(expression, negated=False), compiler.parameters)


def campaigns_in(expression: Expression) -> dict[UUID, Period | None]:
    """The campaigns whose executions have to be known, and how far back: None is as far as history goes."""
    found: dict[UUID, Period | None] = {}
    for node in _nodes(expression):
        if isinstance(node, Sent) and node.campaign_id is not None:
            known = found.get(node.campaign_id, Period())
            if known is not None:
                found[node.campaign_id] = (
                    None if node.within is None else max(known, node.within, key=lambda p: p.delta)
                )
    return found


class _Compiler:
    def __init__(
        self, customer: str, prefix: str, executions: Mapping[UUID, Sequence[UUID]], numerous: Collection[UUID]
    ) -> None:
        self.parameters: dict[str, Any] = {}
        self._alias = customer
        self._prefix = prefix
        self._executions = executions
        self._numerous = numerous

    def node(self, node: Expression, *, negated: bool) -> sql.Composable:
        """What that group or condition says; `negated` inside of a `none_of`, where it must not be NULL."""
        match node:
            case AllOf(conditions=conditions):
                return _joined(" AND ", [self.node(inner, negated=negated) for inner in conditions])
            case AnyOf(conditions=conditions):
                return _joined(" OR ", [self.node(inner, negated=negated) for inner in conditions])
            case NoneOf(conditions=conditions):
                return _joined(" AND ", [_not(self.node(inner, negated=True)) for inner in conditions])
            case Tagged() | Subscribed() | Happened() | Sent():
                return self._elsewhere(node)
        said = self._said(node)
        return _with("coalesce({said}, false)", said=said) if negated else said

    def _said(self, node: Expression) -> sql.Composable:  # noqa: C901, PLR0911  one case for each
        """Of what stands in the row itself."""
        match node:
            case Attribute(name=name, test=test):
                # Of what is in an attribute the planner knows nothing, and takes each test for one that 0.5 % pass: with two of them
                # it looked up the tags of 284,000 people one by one. Of a CASE it believes that it is true of half.
                return _with(
                    "CASE WHEN {passed} THEN true ELSE false END",
                    passed=self._tested(self._column("attributes"), name, test),
                )
            case Created(test=test):
                return self._dated(self._column("created_at"), test)
            case Updated(test=test):
                return self._dated(self._column("updated_at"), test)
            case Known(field="push_tokens"):
                return _with("{column} <> '{{}}'", column=self._column("push_tokens"))
            case Known(field=field):
                return _with("{column} IS NOT NULL", column=self._column(field))
            case Language(values=values):
                # A language means all its dialects, none of which begins with another language's name and a hyphen.
                column, tags = _with("lower({column})", column=self._column("locale")), [tag.lower() for tag in values]
                ranges = self._bound([f"{tag}-" for tag in tags], "text[]")
                exact = self._bound(tags, "text[]")
                return _with(
                    "({column} = ANY({exact}) OR {column} ^@ ANY({ranges}))",
                    column=column,
                    exact=exact,
                    ranges=ranges,
                )
            case Zone(values=values):
                return _with(
                    "{column} = ANY({zones})", column=self._column("time_zone"), zones=self._bound([*values], "text[]")
                )
            case Country(values=values):
                return self._from(values)
            case Address():
                return self._addressed(node)
            case Flag(channel=channel, is_=said):
                agreed, refused = self._has_bit("agreed_mask", channel), self._has_bit("refused_mask", channel)
                unset = _not(_joined(" OR ", [agreed, refused]))
                return {"yes": agreed, "no": refused, "unset": unset}[said]
            case Sample(share=share, seed=seed):
                return _with(
                    "sample_point({seed}, {customer_id}) < {threshold}",
                    seed=self._bound(seed, "text"),
                    customer_id=self._column("customer_id"),
                    threshold=self._bound(round(share * _SAMPLES), "bigint"),
                )
        raise AssertionError(node)  # pragma: no cover

    def _from(self, countries: Sequence[str]) -> sql.Composable:
        numbers, phone = numbers_of(tuple(countries)), self._column("phone")
        ways: list[sql.Composable] = []
        if numbers.prefixes:
            prefixes = self._bound(numbers.prefixes, "text[]")
            ways.append(_with("{phone} ^@ ANY({prefixes})", phone=phone, prefixes=prefixes))
        if numbers.pattern:
            ways.append(_with("{phone} ~ {pattern}", phone=phone, pattern=self._bound(numbers.pattern, "text")))
        return _joined(" AND ", [self._has_bit("valid_mask", ChannelKind.SMS.label), _joined(" OR ", ways)])

    def _addressed(self, node: Address) -> sql.Composable:
        def has(mask: LiteralString) -> sql.Composable:
            return self._has_bit(mask, node.channel)

        match node.is_:
            case "there":
                return has("address_mask")
            case "invalid":
                return _joined(" AND ", [has("address_mask"), _not(has("valid_mask"))])
            case "bounced":
                return has("bounced_mask")
            case "complained":
                return has("complained_mask")
            case "usable":
                return _joined(" AND ", [has("valid_mask"), _not(has("bounced_mask")), _not(has("complained_mask"))])

    def _elsewhere(self, node: Tagged | Subscribed | Happened | Sent) -> sql.Composable:
        match node:
            case Tagged(tag_id=tag_id, has=has):
                where = [_with("t.tag_id = {tag_id}", tag_id=self._bound(tag_id, "uuid"))]
                return _exists(self._rows("customer_tag", "t", where), has=has)
            case Subscribed(topic_id=topic_id, channel=channel, has=has):
                mask = ~0 if channel is None else ChannelKind.named(channel).bit
                where = [
                    _with("t.topic_id = {topic_id}", topic_id=self._bound(topic_id, "uuid")),
                    _with("t.channels & {mask} <> 0", mask=self._bound(mask, "integer")),
                ]
                return _exists(self._rows("subscription", "t", where), has=has)
            case Happened():
                return self._happened(node)
            case Sent():
                return self._sent(node)

    def _happened(self, node: Happened) -> sql.Composable:
        # What was told ahead of its time has not happened yet.
        where = [_with("t.name = {name}", name=self._bound(node.name, "text")), _with("t.at <= {now}", now=_NOW)]
        if node.within is not None:
            where.append(_with("t.at > {now} - {period}", now=_NOW, period=self._bound(node.within.delta, "interval")))
        properties = sql.SQL("t.properties")
        where += [self._tested(properties, one.name, one.test) for one in node.where]
        least, most = node.least, node.at_most
        said: list[sql.Composable] = []
        if least == 1:
            said.append(_exists(self._rows("customer_event", "t", where)))
        elif least:
            said.append(_exists(self._counted(where, ">=", least)))
        if most == 0:
            said.append(_exists(self._rows("customer_event", "t", where), has=False))
        elif most is not None:
            said.append(_exists(self._counted(where, ">", most), has=False))
        return _joined(" AND ", said)

    def _counted(self, where: Sequence[sql.Composable], comparison: LiteralString, times: int) -> sql.Composable:
        """People by how many events they had: counted as one set, and then joined."""
        return _with(
            "FROM (SELECT t.part, t.customer_id FROM customer_event t WHERE t.brand_id = %(brand_id)s AND {where}"
            " GROUP BY t.part, t.customer_id HAVING count(*) {comparison} {times}) n"
            " WHERE n.part = {part} AND n.customer_id = {customer_id}",
            where=sql.SQL(" AND ").join(where),
            comparison=sql.SQL(comparison),
            times=self._bound(times, "bigint"),
            part=self._column("part"),
            customer_id=self._column("customer_id"),
        )

    def _sent(self, node: Sent) -> sql.Composable:
        where: list[sql.Composable] = []
        if node.within is not None:
            # An execution's id is the time of its start.
            floor = _with("uuid_floor({now} - {period})", now=_NOW, period=self._bound(node.within.delta, "interval"))
            where.append(_with("t.execution_id >= {floor}", floor=floor))
        if node.campaign_id is None:
            # Those of a campaign are looked up without its test runs.
            where.append(_NO_TEST)
        elif node.campaign_id in self._numerous:
            where.append(_with(_OF_CAMPAIGN, campaign_id=self._bound(node.campaign_id, "uuid")))
        else:
            ran = self._bound([*self._executions.get(node.campaign_id, ())], "uuid[]")
            where.append(_with("t.execution_id = ANY({ran})", ran=ran))
        if node.channel is not None:
            number = self._bound(ChannelKind.named(node.channel).value, "smallint")
            where.append(_with("t.channel = {number}", number=number))
        if node.what in _EVENT_ALONE:
            where.append(_with("t.kind = {kind}", kind=self._bound(node.what, "text")))
            return _exists(self._rows("delivery_event", "t", where), has=node.has)
        where.append(_with("t.state = ANY({states})", states=self._bound(_STATES[node.what], "smallint[]")))
        return _exists(self._rows("send", "t", where), has=node.has)

    def _rows(self, table: LiteralString, alias: LiteralString, where: Iterable[sql.Composable]) -> sql.Composable:
        """The person's rows of a table, from FROM on."""
        template: LiteralString = (
            f"FROM {table} {alias} WHERE {alias}.brand_id = %(brand_id)s AND {alias}.part = {{part}}"
            f" AND {alias}.customer_id = {{customer_id}} AND {{where}}"
        )
        return _with(
            template,
            part=self._column("part"),
            customer_id=self._column("customer_id"),
            where=sql.SQL(" AND ").join(where),
        )

    def _tested(self, properties: sql.Composable, name: str, test: ValueTest) -> sql.Composable:  # noqa: C901, PLR0911  one case for each
        """What a test says of a value in a JSON object."""
        place = self._bound(name, "text")
        value = _with("({properties} -> {place})", properties=properties, place=place)
        text = _with("({properties} ->> {place})", properties=properties, place=place)
        match test:
            case Is(value=scalar):
                return _with("{value} = {scalar}", value=value, scalar=self._json(scalar))
            case IsNot(value=scalar):
                return self._not_one_of(value, [scalar])
            case In(values=values):
                return _with("{value} = ANY({values})", value=value, values=self._jsons(values))
            case NotIn(values=values):
                return self._not_one_of(value, values)
            case Exists():
                return _with("coalesce(jsonb_typeof({value}), 'null') <> 'null'", value=value)
            case Missing():
                return _with("coalesce(jsonb_typeof({value}), 'null') = 'null'", value=value)
            case Contains(value=scalar):
                held = _with(
                    "(jsonb_typeof({value}) = 'array' AND {value} @> {scalar})", value=value, scalar=self._json(scalar)
                )
                if not isinstance(scalar, str):
                    return held
                part = _with(
                    "(jsonb_typeof({value}) = 'string' AND strpos({text}, {scalar}) > 0)",
                    value=value,
                    text=text,
                    scalar=self._bound(scalar, "text"),
                )
                return _joined(" OR ", [held, part])
            case StartsWith(value=beginning):
                return _with(
                    "(jsonb_typeof({value}) = 'string' AND starts_with({text}, {beginning}))",
                    value=value,
                    text=text,
                    beginning=self._bound(beginning, "text"),
                )
            case Less(value=number) | AtMost(value=number) | Greater(value=number) | AtLeast(value=number):
                return self._numbered(value, _COMPARISONS[type(test)], number)
            case Between(low=low, high=high):
                return _joined(" AND ", [self._numbered(value, ">=", low), self._numbered(value, "<=", high)])
        return self._dated(_with("instant_in({text})", text=text), test)

    def _not_one_of(self, value: sql.Composable, values: Sequence[Scalar]) -> sql.Composable:
        kinds = self._bound(sorted({_json_type(each) for each in values}), "text[]")
        return _with(
            "(jsonb_typeof({value}) = ANY({kinds}) AND {value} <> ALL({values}))",
            value=value,
            kinds=kinds,
            values=self._jsons(values),
        )

    def _numbered(self, value: sql.Composable, comparison: LiteralString, number: float) -> sql.Composable:
        # Numbers in JSON are compared as numbers, and nothing is cast that may be none.
        template: LiteralString = f"(jsonb_typeof({{value}}) = 'number' AND {{value}} {comparison} {{number}})"
        return _with(template, value=value, number=self._json(number))

    def _dated(self, moment: sql.Composable, test: ValueTest) -> sql.Composable:  # noqa: PLR0911  one case for each
        """What a test says of a point in time, NULL where the value is none."""
        match test:
            case Before(value=text):
                return _with("{moment} < {bound}", moment=moment, bound=self._moment(text))
            case After(value=text) if day_in(text) is not None:
                return _with("{moment} >= {bound} + interval '24 hours'", moment=moment, bound=self._moment(text))
            case After(value=text):
                return _with("{moment} > {bound}", moment=moment, bound=self._moment(text))
            case On(value=text):
                bound = self._moment(text)
                return _with(
                    "({moment} >= {bound} AND {moment} < {bound} + interval '24 hours')", moment=moment, bound=bound
                )
            case WithinLast(period=period):
                return _with(
                    "({moment} >= {now} - {period} AND {moment} <= {now})",
                    moment=moment,
                    now=_NOW,
                    period=self._bound(period.delta, "interval"),
                )
            case WithinNext(period=period):
                return _with(
                    "({moment} > {now} AND {moment} <= {now} + {period})",
                    moment=moment,
                    now=_NOW,
                    period=self._bound(period.delta, "interval"),
                )
            case LongerAgo(period=period):
                return _with(
                    "{moment} < {now} - {period}", moment=moment, now=_NOW, period=self._bound(period.delta, "interval")
                )
            case Anniversary(in_days=days, time_zone=zone):
                return _with(
                    "is_anniversary({moment}, ({now} AT TIME ZONE {zone})::date + {days})",
                    moment=moment,
                    now=_NOW,
                    zone=self._bound(zone, "text"),
                    days=self._bound(days, "integer"),
                )
        raise AssertionError(test)  # pragma: no cover

    def _moment(self, text: str) -> sql.Composable:
        return self._bound(instant_in(text), "timestamptz")

    def _has_bit(self, mask: LiteralString, channel: str) -> sql.Composable:
        bit = self._bound(ChannelKind.named(channel).bit, "integer")
        return _with("{mask} & {bit} <> 0", mask=self._column(mask), bit=bit)

    def _column(self, name: str) -> sql.Composable:
        return sql.Identifier(self._alias, name)

    def _json(self, value: Scalar) -> sql.Composable:
        return self._bound(msgspec.json.encode(value).decode(), "jsonb")

    def _jsons(self, values: Sequence[Scalar]) -> sql.Composable:
        return self._bound([msgspec.json.encode(value).decode() for value in values], "jsonb[]")

    def _bound(self, value: Any, kind: LiteralString) -> sql.Composable:
        name = f"{self._prefix}_{len(self.parameters)}"
        self.parameters[name] = value
        template: LiteralString = f"{{value}}::{kind}"
        # psycopg sends a list by the type of what is in it, and of an empty one it knows nothing.
        return _with(template, value=sql.Placeholder(name))


def _nodes(node: Expression) -> Iterable[Expression]:
    yield node
    if isinstance(node, AllOf | AnyOf | NoneOf):
        for inner in node.conditions:
            yield from _nodes(inner)


def _json_type(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def _with(template: LiteralString, **parts: sql.Composable) -> sql.Composable:
    return sql.SQL(template).format(**parts)


def _joined(word: LiteralString, parts: Sequence[sql.Composable]) -> sql.Composable:
    return parts[0] if len(parts) == 1 else sql.SQL("({})").format(sql.SQL(word).join(parts))


def _not(said: sql.Composable) -> sql.Composable:
    return sql.SQL("NOT ({})").format(said)


def _exists(rows: sql.Composable, *, has: bool = True) -> sql.Composable:
    return sql.SQL("EXISTS (SELECT {})" if has else "NOT EXISTS (SELECT {})").format(rows)
