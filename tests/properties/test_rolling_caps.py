"""A rule's window on real PostgreSQL against a model in plain Python: reservations, answers and refusals at any time."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ALL_CHANNELS_MASK, ChannelKind
from stentor.guard import contacts
from stentor.guard.caps import Asked, CapRule, Subject, over_cap

CHANNELS = (ChannelKind.EMAIL, ChannelKind.SMS)
PEOPLE = (UUID(int=1), UUID(int=2))
_EVERYTHING: frozenset[UUID] = frozenset()
RULES = [
    CapRule(1, 2, 60 * 60, ALL_CHANNELS_MASK, _EVERYTHING, _EVERYTHING, frozenset()),
    CapRule(2, 1, 25 * 60, ChannelKind.SMS.bit, _EVERYTHING, _EVERYTHING, frozenset()),
    CapRule(3, 3, 200 * 60, ALL_CHANNELS_MASK, _EVERYTHING, _EVERYTHING, frozenset({"promo"})),
]


class Step(msgspec.Struct, frozen=True):
    """After a pause, one person is written to on a channel, perhaps under a tag; the answer comes a while later."""

    pause_min: int
    person: UUID
    channel: ChannelKind
    tags: tuple[str, ...]
    answer: str
    answered_after_min: int


class Message(msgspec.Struct):
    """What the model knows of a message that left: it counts while it is open, and from its stamp on."""

    step: Step
    stamp_min: float


STEPS = st.builds(
    Step,
    pause_min=st.integers(0, 40),
    person=st.sampled_from(PEOPLE),
    channel=st.sampled_from(CHANNELS),
    tags=st.sampled_from([(), ("promo",), ("match", "promo"), ("match",)]),
    answer=st.sampled_from(["accepted", "accepted", "in_doubt", "refused"]),
    answered_after_min=st.integers(0, 90),
)


def subject_of(step: Step) -> Subject:
    return Subject(step.channel, UUID(int=7), None, step.tags)


def expected(messages: Sequence[Message], step: Step, now_min: int) -> int | None:
    """The number of the rule that holds the message back."""
    for rule in RULES:
        counted = sum(
            message.step.person == step.person
            and rule.covers(subject_of(message.step))
            and message.stamp_min > now_min - rule.per_s / 60
            for message in messages
        )
        if rule.covers(subject_of(step)) and counted >= rule.at_most:
            return rule.number
    return None


async def windows_roll_as_in_the_model(db: Database, steps: Sequence[Step]) -> None:
    brand_id = new_id()
    messages: list[Message] = []
    due: list[tuple[int, UUID, Message]] = []
    now_min = 0
    async with db.transaction() as conn:
        # All statements of one transaction; time passes by the connection's shift, in whole minutes.
        for step in steps:
            now_min += step.pause_min
            for answered_min, execution_id, message in sorted(due, key=lambda entry: entry[0]):
                if answered_min <= now_min:
                    due.remove((answered_min, execution_id, message))
                    await answer(conn, brand_id, execution_id, message, answered_min)
            conn.shift = timedelta(minutes=now_min + 0.5)
            asked = [
                Asked(
                    new_id(),
                    step.person,
                    subject_of(step),
                    tuple(place for place, rule in enumerate(RULES) if rule.covers(subject_of(step))),
                )
            ]
            counts = await contacts.count(conn, brand_id, step.channel, asked, RULES)
            (capped,) = over_cap(RULES, asked, counts)

            assert (capped and capped.rule) == expected(messages, step, now_min)
            if capped is None:
                await contacts.reserve(conn, brand_id, step.channel, asked)
                message = Message(step, float("inf"))
                messages.append(message)
                due.append((now_min + step.answered_after_min, asked[0].execution_id, message))
        conn.shift = timedelta()


async def answer(conn: Connection, brand_id: UUID, execution_id: UUID, message: Message, at_min: int) -> None:
    # Before a guard that asks in the same minute, and far enough from its edge for a slow machine.
    conn.shift = timedelta(minutes=at_min + 0.25)
    key = [(execution_id, message.step.person)]
    channel = message.step.channel
    if message.step.answer == "accepted":
        await contacts.settle(conn, brand_id, channel, accepted=key)
    elif message.step.answer == "in_doubt":
        await contacts.settle(conn, brand_id, channel, in_doubt=key)
    else:
        await contacts.settle(conn, brand_id, channel, refused=key)
    message.stamp_min = float("-inf") if message.step.answer == "refused" else float(at_min)


@pytest.mark.fault("F20")
def test_a_rolling_window_counts_what_the_model_counts(database_dsn: str):
    with asyncio.Runner() as runner:
        db = Database(database_dsn, size=1)
        runner.run(db.open())
        try:

            @settings(max_examples=40, deadline=None)
            @given(steps=st.lists(STEPS, min_size=3, max_size=25))
            def windows(steps: list[Step]) -> None:
                runner.run(windows_roll_as_in_the_model(db, steps))

            windows()
        finally:
            runner.run(db.aclose())
