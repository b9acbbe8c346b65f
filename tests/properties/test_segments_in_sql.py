"""Whom a compiled expression finds is whom it means, person by person, on a real database."""

import random
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from segment_meaning import Event, Message, Person, is_meant
from segment_strategies import (
    CAMPAIGNS,
    KINDS,
    LOCALES,
    NAMES,
    PHONES,
    SCALARS,
    TAGS,
    TOPICS,
    ZONES,
    expressions,
)
from stentor.audience.segments import expressions as ex
from stentor.audience.segments.compiling import campaigns_in, compile_expression
from stentor.audience.segments.expressions import checked
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import ChannelKind, SendState
from stentor.testing.databases import TestDatabases

Conn = psycopg.Connection[tuple[Any, ...]]

PEOPLE = 250
SEED = 20_261_123
BRAND, OTHER_BRAND = uuid4(), uuid4()
# Noon, so that what is told in hours and days never lies on a border: whatever happens, happens some minutes past an hour.
NOWS = [
    datetime(year, month, day, 12, tzinfo=UTC) for year, month, day in ((2026, 11, 23), (2027, 2, 28), (2028, 2, 29))
]


def scalar(draw: random.Random) -> Any:
    return draw.choice(SCALARS)


def value(draw: random.Random) -> Any:
    return draw.choice([scalar(draw), scalar(draw), [scalar(draw), scalar(draw)], {"plan": scalar(draw)}, None])


def mask(draw: random.Random) -> int:
    return draw.getrandbits(10) & draw.getrandbits(10) & ~1


def moment(draw: random.Random) -> datetime:
    return draw.choice(NOWS) + timedelta(
        days=draw.randint(-60, 3), hours=draw.randint(-12, 12), minutes=draw.choice([17, 43])
    )


def person(draw: random.Random) -> Person:
    agreed = mask(draw)
    valid = mask(draw)
    return Person(
        customer_id=UUID(int=draw.getrandbits(128)),
        created_at=moment(draw),
        updated_at=moment(draw),
        email=draw.choice([None, "a@example.com"]),
        phone=(phone := draw.choice(PHONES)),
        push_tokens=draw.choice([[], ["token"]]),
        locale=draw.choice(LOCALES),
        time_zone=draw.choice(ZONES),
        address_mask=valid | mask(draw),
        valid_mask=valid & ~ChannelKind.SMS.bit if phone == "nonsense" else valid,
        agreed_mask=agreed,
        refused_mask=mask(draw) & ~agreed,
        bounced_mask=mask(draw),
        complained_mask=mask(draw),
        attributes={name: value(draw) for name in NAMES if draw.random() < 0.7},
        tags=[tag for tag in TAGS if draw.random() < 0.4],
        subscriptions={topic: mask(draw) for topic in TOPICS if draw.random() < 0.6},
        events=[
            Event(draw.choice(["order", "login"]), moment(draw), {"total": value(draw)})
            for _ in range(draw.randint(0, 4))
        ],
        messages=[
            Message(
                draw.choice(CAMPAIGNS),
                moment(draw),
                draw.choice(list(ChannelKind)),
                draw.choice(list(SendState)),
                draw.sample(KINDS, k=draw.randint(0, 2)),
            )
            for _ in range(draw.randint(0, 3))
        ],
    )


class Stage(msgspec.Struct, frozen=True):
    conn: Conn
    people: Sequence[Person]
    executions: dict[UUID, list[tuple[UUID, datetime]]]

    def found(self, expression: ex.Expression, now: datetime) -> set[UUID]:
        executions = {campaign: [one for one, _ in self.executions[campaign]] for campaign in campaigns_in(expression)}
        compiled = compile_expression(expression, prefix="x", executions=executions)
        statement = psycopg.sql.SQL(
            "SELECT c.customer_id FROM customer c WHERE c.brand_id = %(brand_id)s AND {}"
        ).format(compiled.sql)
        shift = now - datetime.now(UTC)
        rows = self.conn.execute(statement, {"brand_id": BRAND, "shift": shift, **compiled.parameters}).fetchall()
        return {row[0] for row in rows}


@pytest.fixture(scope="module")
def stage(databases: TestDatabases) -> Iterator[Stage]:
    draw = random.Random(SEED)
    people = [person(draw) for _ in range(PEOPLE)]
    executions: dict[UUID, list[tuple[UUID, datetime]]] = {campaign: [] for campaign in CAMPAIGNS}
    with databases.migrated() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        with conn.transaction(), conn.cursor() as cursor:
            for one in people:
                store(cursor, one, BRAND, executions)
            # Somebody of another brand, to whom everything happened, under the same ids of tags and topics.
            busy = max(people, key=lambda one: len(one.events) + len(one.messages))
            store(cursor, msgspec.structs.replace(busy, customer_id=UUID(int=7)), OTHER_BRAND, executions)
        conn.execute("ANALYZE customer, customer_event, send, delivery_event")
        yield Stage(conn, people, executions)


def store(
    cursor: psycopg.Cursor[Any], one: Person, brand: UUID, executions: dict[UUID, list[tuple[UUID, datetime]]]
) -> None:
    key = (part_of(one.customer_id), one.customer_id, brand)
    cursor.execute(
        "INSERT INTO customer (part, customer_id, brand_id, external_id, created_at, updated_at, email, phone, push_tokens, locale,"
        " time_zone, address_mask, valid_mask, agreed_mask, refused_mask, bounced_mask, complained_mask, attributes)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *key,
            str(one.customer_id),
            one.created_at,
            one.updated_at,
            one.email,
            one.phone,
            list(one.push_tokens),
            one.locale,
            one.time_zone,
            one.address_mask | one.valid_mask,
            one.valid_mask,
            one.agreed_mask,
            one.refused_mask,
            one.bounced_mask,
            one.complained_mask,
            Jsonb(one.attributes),
        ),
    )
    for tag in one.tags:
        cursor.execute(
            "INSERT INTO customer_tag (part, customer_id, brand_id, tag_id, place, tagged_at) VALUES (%s, %s, %s, %s, 0, now())",
            (*key, tag),
        )
    for topic, channels in one.subscriptions.items():
        cursor.execute(
            "INSERT INTO subscription (part, customer_id, brand_id, topic_id, channels, changed_at) VALUES (%s, %s, %s, %s, %s, now())",
            (*key, topic, channels),
        )
    for event in one.events:
        cursor.execute(
            "INSERT INTO customer_event (part, customer_id, brand_id, event_id, name, at, properties) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (*key, uuid4(), event.name, event.at, Jsonb(event.properties)),
        )
    for message in one.messages:
        execution = UUID(int=int(message.started_at.timestamp() * 1000) << 80 | random.getrandbits(76))
        executions[message.campaign_id].append((execution, message.started_at))
        cursor.execute(
            "INSERT INTO send (part, customer_id, brand_id, execution_id, decided_at, chunk, channel, state, reason) VALUES (%s, %s, %s, %s, now(), 0, %s, %s, %s)",
            (
                *key,
                execution,
                message.channel.value,
                message.state.value,
                0 if message.state in {SendState.PENDING, SendState.HANDED_OVER} else 3,
            ),
        )
        for kind in message.kinds:
            cursor.execute(
                "INSERT INTO delivery_event (part, customer_id, brand_id, execution_id, event_id, at, channel, kind) VALUES (%s, %s, %s, %s, %s, now(), %s, %s)",
                (*key, execution, uuid4(), message.channel.value, kind),
            )


@pytest.mark.fault("S4")
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions, st.sampled_from(NOWS))
def test_an_expression_finds_whom_it_means(stage: Stage, expression: ex.Expression, now: datetime):
    expression = checked(expression)

    assert stage.found(expression, now) == {one.customer_id for one in stage.people if is_meant(one, expression, now)}


def test_every_condition_finds_somebody_and_not_everybody(stage: Stage):
    """Or else the property above would prove nothing of it."""
    cases: list[ex.Expression] = [
        ex.Country(values=("US",)),
        ex.Country(values=("CA", "DE")),
        ex.Attribute(name="seen", test=ex.WithinLast(period=ex.Period(days=40))),
        ex.Attribute(name="plan", test=ex.On(value="2026-11-23")),
        ex.Attribute(name="age", test=ex.Anniversary(time_zone="America/Los_Angeles")),
        ex.Attribute(name="age", test=ex.Contains(value=5)),
        ex.Happened(name="order", at_least=2),
        ex.Happened(name="order", at_most=0),
        ex.Happened(name="order", where=(ex.Property(name="total", test=ex.Greater(value=2)),)),
        *(ex.Sent(what=what, campaign_id=CAMPAIGNS[0]) for what in ("sent", "handed_over", *KINDS)),  # type: ignore[arg-type]
    ]
    for case in cases:
        assert 0 < len(stage.found(case, NOWS[0])) < PEOPLE, case


HOSTILE = [
    "'; DROP TABLE customer; --",
    "' OR '1'='1",
    "%(brand_id)s",
    "%s",
    "$1",
    "{customer_id}",
    "\\",
    "\\'; SELECT pg_sleep(10); --",
    "') UNION SELECT customer_id FROM customer --",
    'x" OR true --',
    "/*",
    "\u2028",
    "' || (SELECT email FROM customer LIMIT 1) || '",
    "(a+)+$",
]


@pytest.mark.fault("S4", "S19")
@pytest.mark.parametrize("text", HOSTILE)
def test_what_an_expression_says_never_becomes_sql(stage: Stage, text: str):
    tests: list[ex.ValueTest] = [
        ex.Is(value=text),
        ex.In(values=(text,)),
        ex.Contains(value=text),
        ex.StartsWith(value=text),
    ]
    said: list[ex.Expression] = [
        ex.AnyOf(conditions=tuple(ex.Attribute(name="plan", test=test) for test in tests)),
        ex.Attribute(name=text, test=ex.Exists()),
        ex.Happened(name=text, where=(ex.Property(name=text, test=ex.Is(value=text)),)),
    ]
    for expression in said:
        compiled = compile_expression(expression, executions={})

        assert text not in re.sub(r"%\(segment_\d+\)s|%\((?:brand_id|shift)\)s", "", compiled.sql.as_string(stage.conn))
        assert stage.found(expression, NOWS[0]) == set()
