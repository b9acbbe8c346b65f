"""What every channel must do, whatever it delivers to: a suite to subclass, and the far side as the suite steers it.

    class TestSmtpChannel(ChannelSuite):
        @pytest.fixture
        async def rig(self) -> AsyncIterator[Rig]: ...

The suite's addresses are `name@example.com`. It tells the rig beforehand how the far side answers some of them; all
others are accepted.
"""
# ruff: noqa: S101 - asserting is what a suite does

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, unique
from typing import Protocol
from unittest import SkipTest
from uuid import UUID

import msgspec

from stentor.channels.contract import (
    UNNOTED,
    Accepted,
    Channel,
    Deferred,
    InDoubt,
    Message,
    Notes,
    Noting,
    NotSent,
    Outcome,
    Rejected,
    Wave,
)
from stentor.deliver.model import WAVE_SENDS_MAX
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.testing.waiting import eventually

BRAND_ID = UUID("018f0000-0000-7000-8000-000000000001")
SENDER_ID = UUID("018f0000-0000-7000-8000-000000000002")


@unique
class Answer(Enum):
    """How a far side answers. HOLD: it takes the message, and says so only after `Rig.release`."""

    DEFER = 1
    REFUSE = 2
    BAD_ADDRESS = 3
    LOSE_REPLY = 4
    HOLD = 5


class Rig(Protocol):
    """A channel under test with its far side."""

    @property
    def channel(self) -> Channel:
        """The channel, made anew for each test."""

    @property
    def kind(self) -> ChannelKind:
        """What it delivers."""

    @property
    def answers_known(self) -> frozenset[Answer]:
        """The answers that this far side can give; tests that need another are skipped."""

    def message(self, number: int, address: str) -> Message:
        """A message that this channel can carry."""

    async def set_answer(self, address: str, answer: Answer) -> None:
        """From now on the far side answers messages to that address so."""

    async def taken(self) -> Sequence[str]:
        """The addresses of all messages that the far side took, in its order."""

    async def held(self) -> bool:
        """Whether the far side holds a reply back now."""

    async def release(self) -> None:
        """The replies that were held are given."""


class PlainMessage(msgspec.Struct, frozen=True):
    """A message with ready-made bytes."""

    send_id: str
    address: str
    raw: bytes = b""

    def wire(self) -> bytes:
        return self.raw


def mail(number: int, address: str, *, body: bytes = b"Good evening.\r\n") -> PlainMessage:
    """A small e-mail; `number` makes its send id."""
    send_id = f"{number:060d}"
    head = f"Message-ID: <{send_id}@example.com>\r\nTo: {address}\r\nSubject: Number {number}\r\n\r\n"
    return PlainMessage(send_id, address, head.encode() + body)


class KeptNotes:
    """A wave's notes as a channel makes them. After `starts_max` starts the wave is another worker's."""

    def __init__(self, starts_max: int = WAVE_SENDS_MAX) -> None:
        self.started: set[int] = set()
        """Those that may have been accepted, as far as is known."""
        self.answered: dict[int, Outcome] = {}
        self.began_with: dict[int, Outcome] = {}
        """Answers that say of a message which was not started that it may have been accepted: none, if the channel is right."""
        self._starts_left = starts_max

    @property
    def revoked(self) -> bool:
        return not self._starts_left

    def start(self, index: int) -> bool:
        if self.revoked:
            return False
        self._starts_left -= 1
        self.started.add(index)
        return True

    def take_back(self, index: int) -> None:
        self.started.discard(index)

    def answer(self, index: int, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted | InDoubt) and index not in self.started:
            self.began_with[index] = outcome
        self.started.discard(index)
        self.answered[index] = outcome


def wave_of(
    kind: ChannelKind = ChannelKind.EMAIL,
    may_start: Callable[[], bool] = lambda: True,
    *,
    lane: Lane = Lane.BULK,
    notes: Notes = UNNOTED,
) -> Wave:
    """A wave whose messages may start, unless said otherwise."""
    return Wave(brand_id=BRAND_ID, sender_id=SENDER_ID, kind=kind, lane=lane, may_start=may_start, notes=notes)


class ChannelSuite:
    """Subclass it, give it the fixture `rig`, and mark the module with `pytest.mark.anyio`."""

    async def test_every_message_is_accepted_and_taken_once(self, rig: Rig) -> None:
        addresses = [f"person{number}@example.com" for number in range(40)]

        outcomes = await _hand_over(rig, addresses)

        assert [type(outcome) for outcome in outcomes] == [Accepted] * 40
        assert sorted(await rig.taken()) == sorted(addresses)

    async def test_outcomes_come_in_the_order_of_the_messages(self, rig: Rig) -> None:
        await _set_answer(rig, "deferred@example.com", Answer.DEFER)
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)
        names = ["deferred", "a", "refused", "b", "refused", "c", "deferred"]

        outcomes = await _hand_over(rig, [f"{name}@example.com" for name in names])

        expected = [Deferred, Accepted, Rejected, Accepted, Rejected, Accepted, Deferred]
        assert [type(outcome) for outcome in outcomes] == expected

    async def test_a_definite_no_was_not_taken(self, rig: Rig) -> None:
        await _set_answer(rig, "deferred@example.com", Answer.DEFER)
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)

        await _hand_over(rig, ["deferred@example.com", "refused@example.com", "taken@example.com"])

        assert await rig.taken() == ["taken@example.com"]

    async def test_a_dead_address_is_told_from_another_refusal(self, rig: Rig) -> None:
        await _set_answer(rig, "dead@example.com", Answer.BAD_ADDRESS)
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)

        dead, refused = await _hand_over(rig, ["dead@example.com", "refused@example.com"])

        assert isinstance(dead, Rejected)
        assert isinstance(refused, Rejected)
        assert (dead.bad_address, refused.bad_address) == (True, False)

    async def test_a_refusal_carries_the_words_of_the_far_side(self, rig: Rig) -> None:
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)

        (refused,) = await _hand_over(rig, ["refused@example.com"])

        assert isinstance(refused, Rejected)
        assert refused.answer

    async def test_a_lost_reply_is_in_doubt_and_never_sent_again(self, rig: Rig) -> None:
        await _set_answer(rig, "lost@example.com", Answer.LOSE_REPLY)
        addresses = ["a@example.com", "lost@example.com", *(f"after{number}@example.com" for number in range(20))]

        outcomes = await _hand_over(rig, addresses)

        assert isinstance(outcomes[1], InDoubt)
        await _assert_honest(rig, addresses, outcomes)

    async def test_nothing_leaves_when_the_wave_may_not_start(self, rig: Rig) -> None:
        addresses = ["a@example.com", "b@example.com"]

        outcomes = await _hand_over(rig, addresses, may_start=lambda: False)

        assert [type(outcome) for outcome in outcomes] == [NotSent] * 2
        assert await rig.taken() == []

    async def test_the_rest_stays_when_the_wave_grows_too_old(self, rig: Rig) -> None:
        permits = iter([True] * 5)
        addresses = [f"person{number}@example.com" for number in range(12)]

        outcomes = await _hand_over(rig, addresses, may_start=lambda: next(permits, False))

        assert [type(outcome) for outcome in outcomes[5:]] == [NotSent] * 7
        await _assert_honest(rig, addresses, outcomes)

    async def test_waves_at_the_same_time_keep_their_outcomes_apart(self, rig: Rig) -> None:
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)

        good, bad = await asyncio.gather(
            _hand_over(rig, [f"person{number}@example.com" for number in range(30)]),
            _hand_over(rig, ["refused@example.com"] * 30),
        )

        assert {type(outcome) for outcome in good} == {Accepted}
        assert {type(outcome) for outcome in bad} == {Rejected}

    async def test_what_is_noted_is_what_is_answered(self, rig: Rig) -> None:
        _skip_unless_noting(rig)
        notes = KeptNotes()
        await _set_answer(rig, "deferred@example.com", Answer.DEFER)
        await _set_answer(rig, "refused@example.com", Answer.REFUSE)
        await _set_answer(rig, "lost@example.com", Answer.LOSE_REPLY)
        names = ["a", "deferred", "b", "refused", "lost", *(f"after{number}" for number in range(20))]

        outcomes = await _hand_over(rig, [f"{name}@example.com" for name in names], notes=notes)

        assert [notes.answered[index] for index in range(len(names))] == outcomes
        assert notes.began_with == {}

    async def test_what_may_have_been_taken_is_noted_before_it_is(self, rig: Rig) -> None:
        _skip_unless_noting(rig)
        notes = KeptNotes()
        await _set_answer(rig, "slow@example.com", Answer.HOLD)
        addresses = [*(f"person{number}@example.com" for number in range(12)), "slow@example.com"]
        waiting = asyncio.create_task(_hand_over(rig, addresses, notes=notes))
        await eventually(rig.held)

        accepted = {index for index, outcome in notes.answered.items() if isinstance(outcome, Accepted)}
        taken = {addresses.index(address) for address in await rig.taken()}

        assert accepted <= taken <= accepted | notes.started
        await rig.release()
        await waiting

    async def test_nothing_more_leaves_when_another_worker_has_taken_the_wave_over(self, rig: Rig) -> None:
        _skip_unless_noting(rig)
        notes = KeptNotes(starts_max=5)
        addresses = [f"person{number}@example.com" for number in range(30)]

        outcomes = await _hand_over(rig, addresses, may_start=lambda: not notes.revoked, notes=notes)

        assert len(await rig.taken()) <= 5
        assert {type(outcome) for outcome in outcomes} <= {Accepted, NotSent}
        await _assert_honest(rig, addresses, outcomes)

    async def test_nothing_leaves_that_was_begun_when_the_wave_was_taken_over(self, rig: Rig) -> None:
        _skip_unless_noting(rig)
        notes = KeptNotes(starts_max=0)
        addresses = [f"person{number}@example.com" for number in range(3)]

        outcomes = await _hand_over(rig, addresses, notes=notes)

        assert await rig.taken() == []
        assert not any(isinstance(outcome, Accepted | InDoubt) for outcome in outcomes)

    async def test_an_empty_wave_has_no_outcomes(self, rig: Rig) -> None:
        assert list(await _hand_over(rig, [])) == []

    async def test_a_cancelled_wave_leaves_the_channel_usable(self, rig: Rig) -> None:
        await _set_answer(rig, "slow@example.com", Answer.HOLD)
        waiting = asyncio.create_task(_hand_over(rig, ["slow@example.com"]))
        await eventually(rig.held)

        waiting.cancel()
        await asyncio.wait([waiting])
        await rig.release()

        (outcome,) = await _hand_over(rig, ["next@example.com"])
        assert isinstance(outcome, Accepted)

    async def test_closing_finishes_what_is_on_the_wire(self, rig: Rig) -> None:
        await _set_answer(rig, "slow@example.com", Answer.HOLD)
        waiting = asyncio.create_task(_hand_over(rig, ["slow@example.com"]))
        await eventually(rig.held)

        closing = asyncio.create_task(rig.channel.aclose())
        await rig.release()
        await closing

        (outcome,) = await waiting
        assert isinstance(outcome, Accepted)

    async def test_a_closed_channel_sends_nothing(self, rig: Rig) -> None:
        await rig.channel.aclose()
        await rig.channel.aclose()

        (outcome,) = await _hand_over(rig, ["late@example.com"])

        assert isinstance(outcome, NotSent)
        assert await rig.taken() == []


def _skip_unless_noting(rig: Rig) -> None:
    if not isinstance(rig.channel, Noting):
        raise SkipTest("This channel accepts nothing elsewhere, or keeps no notes.")


async def _hand_over(
    rig: Rig,
    addresses: Sequence[str],
    *,
    may_start: Callable[[], bool] = lambda: True,
    notes: Notes = UNNOTED,
) -> Sequence[Outcome]:
    messages = [rig.message(number, address) for number, address in enumerate(addresses)]
    outcomes = await rig.channel.hand_over(wave_of(rig.kind, may_start, notes=notes), messages)
    assert len(outcomes) == len(messages)
    return outcomes


async def _set_answer(rig: Rig, address: str, answer: Answer) -> None:
    if answer not in rig.answers_known:
        raise SkipTest(f"This far side cannot answer {answer.name}.")
    await rig.set_answer(address, answer)


async def _assert_honest(rig: Rig, addresses: Sequence[str], outcomes: Sequence[Outcome]) -> None:
    """Accepted was taken once, a definite no not at all, and what is in doubt at most once."""
    taken = list(await rig.taken())
    for address, outcome in zip(addresses, outcomes, strict=True):
        allowed = {1} if isinstance(outcome, Accepted) else {0, 1} if isinstance(outcome, InDoubt) else {0}
        assert taken.count(address) in allowed, f"{address} was taken {taken.count(address)} times after {outcome}"
