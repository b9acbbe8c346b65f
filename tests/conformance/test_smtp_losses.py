"""Whenever a connection ends or falls silent, every message has one outcome, and it is true."""

import asyncio
from collections.abc import Sequence

import pytest

from dialogues import CHUNKED, EVERY_DIALOGUE, IN_STEP, PIPELINED, UNCHUNKED_DIALOGUES
from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome
from stentor.channels.smtp.sender import SmtpChannel
from stentor.testing.channels import KeptNotes, mail, wave_of
from stentor.testing.far_side import Then
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel, local_settings
from stentor.testing.smtp_script import At, Fault
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

ADDRESSES = [f"person{number}@example.com" for number in range(30)]


async def hand_over(server: FaultyServer, addresses: Sequence[str] = ADDRESSES, **settings: float) -> list[Outcome]:
    async with local_channel(server.port, **{"connections_max": 1, **settings}) as channel:
        messages = [mail(number, address) for number, address in enumerate(addresses)]
        return list(await channel.hand_over(wave_of(), messages))


def count(outcomes: Sequence[Outcome], kind: type[Outcome]) -> int:
    return sum(isinstance(outcome, kind) for outcome in outcomes)


def assert_true(server: FaultyServer, outcomes: Sequence[Outcome]) -> None:
    """Accepted is in the ledger, a definite no is not, and nobody is there twice."""
    recipients = server.record.recipients
    assert len(set(recipients)) == len(recipients)
    for address, outcome in zip(ADDRESSES, outcomes, strict=True):
        assert isinstance(outcome, InDoubt) or (address in recipients) == isinstance(outcome, Accepted)


@pytest.mark.fault("F8")
@EVERY_DIALOGUE
@pytest.mark.parametrize("then", [Then.CLOSE, Then.CUT])
async def test_a_reply_lost_after_acceptance_is_in_doubt_and_the_rest_goes_on(
    offers: frozenset[str], then: Then
) -> None:
    faults = [Fault(at=At.FINAL, to="person7@", then=then, takes=True, times=1)]
    async with FaultyServer(faults, offers=offers) as server:
        outcomes = await hand_over(server)

    assert isinstance(outcomes[7], InDoubt)
    assert 1 <= count(outcomes, InDoubt) <= (8 if offers == CHUNKED else 1)
    assert count(outcomes, Accepted) + count(outcomes, InDoubt) == 30
    assert_true(server, outcomes)


@UNCHUNKED_DIALOGUES
@pytest.mark.parametrize("at", [At.MAIL, At.RCPT, At.DATA])
async def test_a_connection_lost_before_the_body_costs_nobody_anything(offers: frozenset[str], at: At) -> None:
    async with FaultyServer([Fault(at=at, nth=5, then=Then.CUT)], offers=offers) as server:
        outcomes = await hand_over(server)

    assert count(outcomes, Accepted) == 30
    assert server.record.connections == 2
    assert_true(server, outcomes)


async def test_whole_messages_in_flight_are_in_doubt_when_the_connection_is_cut_and_never_more_than_eight() -> None:
    async with FaultyServer([Fault(at=At.MAIL, nth=5, then=Then.CUT)]) as server:
        outcomes = await hand_over(server)

    assert 1 <= count(outcomes, InDoubt) <= 8
    assert count(outcomes, Accepted) + count(outcomes, InDoubt) == 30
    assert_true(server, outcomes)


@EVERY_DIALOGUE
async def test_only_what_is_on_the_wire_may_have_been_taken_as_far_as_is_noted(offers: frozenset[str]) -> None:
    notes = KeptNotes()
    async with (
        FaultyServer([Fault(at=At.FINAL, to="person7@", held=True)], offers=offers) as server,
        local_channel(server.port, connections_max=1) as channel,
    ):
        messages = [mail(number, address) for number, address in enumerate(ADDRESSES)]
        waiting = asyncio.create_task(channel.hand_over(wave_of(notes=notes), messages))
        await eventually(lambda: server.record.holding > 0)

        assert 7 in notes.started
        assert len(notes.started) <= (8 if offers == CHUNKED else 1)
        server.record.release()
        await waiting


@EVERY_DIALOGUE
async def test_a_large_body_is_noted_as_started_before_its_end_leaves(offers: frozenset[str]) -> None:
    notes = KeptNotes(starts_max=0)
    async with FaultyServer(offers=offers) as server:
        async with local_channel(server.port, connections_max=1) as channel:
            large = mail(1, ADDRESSES[0], body=b"A line of an annual report.\r\n" * 40_000)
            (outcome,) = await channel.hand_over(wave_of(notes=notes), [large])

        assert server.record.recipients == []
    assert not isinstance(outcome, Accepted | InDoubt)


async def test_fewer_in_flight_are_fewer_in_doubt() -> None:
    async with FaultyServer([Fault(at=At.MAIL, nth=5, then=Then.CUT)]) as server:
        outcomes = await hand_over(server, in_flight_max=2)

    assert 1 <= count(outcomes, InDoubt) <= 2
    assert_true(server, outcomes)


@EVERY_DIALOGUE
async def test_a_server_that_takes_ten_messages_a_connection_gets_them_all(offers: frozenset[str]) -> None:
    faults = [Fault(at=At.MAIL, nth=nth, say="421 4.7.0 ten messages are enough", then=Then.CLOSE) for nth in (11, 22)]
    async with FaultyServer(faults, offers=offers) as server:
        outcomes = await hand_over(server)

    assert count(outcomes, Accepted) == 30
    assert server.record.connections == 3
    assert_true(server, outcomes)


@EVERY_DIALOGUE
async def test_421_to_the_final_dot_is_a_definite_no(offers: frozenset[str]) -> None:
    faults = [Fault(at=At.FINAL, to="person7@", say="421 4.3.2 shutting down", then=Then.CLOSE, times=1)]
    async with FaultyServer(faults, offers=offers) as server:
        outcomes = await hand_over(server)

    assert count(outcomes, Accepted) == 30
    assert_true(server, outcomes)


@UNCHUNKED_DIALOGUES
async def test_a_message_that_makes_the_server_hang_up_stops_nobody_else(offers: frozenset[str]) -> None:
    async with FaultyServer([Fault(at=At.RCPT, to="person7@", then=Then.CUT)], offers=offers) as server:
        outcomes = await hand_over(server)

    assert isinstance(outcomes[7], Deferred)
    assert not outcomes[7].sender_wide
    assert count(outcomes, Accepted) == 29
    assert_true(server, outcomes)


@pytest.mark.fault("F7")
@UNCHUNKED_DIALOGUES
async def test_a_server_that_always_hangs_up_is_tried_three_times_and_not_for_every_message(
    offers: frozenset[str],
) -> None:
    async with FaultyServer([Fault(at=At.MAIL, then=Then.CUT)], offers=offers) as server:
        outcomes = await hand_over(server)

    assert count(outcomes, Deferred) == 30
    assert server.record.connections == 3
    assert any(isinstance(outcome, Deferred) and outcome.sender_wide for outcome in outcomes)


@pytest.mark.fault("F8")
@EVERY_DIALOGUE
async def test_silence_after_the_final_dot_is_in_doubt(offers: frozenset[str]) -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="person0@", then=Then.HANG, takes=True)], offers=offers) as server:
        (outcome,) = await hand_over(server, ADDRESSES[:1], final_reply_timeout_s=0.2)

    assert outcome == InDoubt("the server gave no reply within 0.2 s")


async def test_closing_puts_in_doubt_what_is_on_the_wire_and_starts_nothing_more() -> None:
    faults = [Fault(at=At.FINAL, to="person2@", then=Then.HANG, takes=True)]
    async with FaultyServer(faults, offers=IN_STEP) as server:
        channel = SmtpChannel(local_settings(server.port, connections_max=1), finish_s=0.2)
        messages = [mail(number, address) for number, address in enumerate(ADDRESSES)]
        handing_over = asyncio.create_task(channel.hand_over(wave_of(), messages))
        await eventually(lambda: len(server.record.recipients) == 3)
        await channel.aclose()
        outcomes = list(await handing_over)

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, InDoubt, *[NotSent] * 27]
    assert_true(server, outcomes)


@pytest.mark.fault("F8")
@EVERY_DIALOGUE
async def test_a_final_reply_may_take_longer_than_any_command(offers: frozenset[str]) -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="person0@", after_s=0.8)], offers=offers) as server:
        (outcome,) = await hand_over(server, ADDRESSES[:1], command_timeout_s=0.4, final_reply_timeout_s=10)

    assert outcome == Accepted("F1")


@UNCHUNKED_DIALOGUES
@pytest.mark.parametrize("at", [At.MAIL, At.RCPT, At.DATA])
async def test_silence_before_the_body_is_a_definite_no(offers: frozenset[str], at: At) -> None:
    async with FaultyServer([Fault(at=at, then=Then.HANG)], offers=offers) as server:
        (outcome,) = await hand_over(server, ADDRESSES[:1], command_timeout_s=0.1)

    assert outcome == Deferred("the server gave no reply within 0.1 s")


@pytest.mark.parametrize("offers", [CHUNKED, PIPELINED], ids=["chunked", "pipelined"])
async def test_a_body_whose_end_never_left_is_a_definite_no(offers: frozenset[str]) -> None:
    large = mail(0, "person0@example.com", body=b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 300_000)
    cut = Fault(at=At.BODY, then=Then.CUT)
    async with FaultyServer([cut], offers=offers) as server, local_channel(server.port) as channel:
        (outcome,) = await channel.hand_over(wave_of(), [large])

    assert isinstance(outcome, Deferred)
    assert server.record.ledger == []


@EVERY_DIALOGUE
async def test_a_large_message_arrives_whole(offers: frozenset[str]) -> None:
    large = mail(0, "person0@example.com", body=(b"." + b"y" * 70 + b"\r\n") * 40_000)
    async with FaultyServer(offers=offers) as server, local_channel(server.port) as channel:
        outcomes = await channel.hand_over(wave_of(), [large, mail(1, "person1@example.com")])

    assert outcomes == [Accepted("F1"), Accepted("F2")]
    assert server.record.ledger[0].body == large.raw


@pytest.mark.fault("F19")
async def test_a_message_that_is_tried_again_asks_its_wave_again() -> None:
    cut = Fault(at=At.MAIL, nth=5, then=Then.CUT)
    async with (
        FaultyServer([cut], offers=PIPELINED) as server,
        local_channel(server.port, connections_max=1) as channel,
    ):
        messages = [mail(number, address) for number, address in enumerate(ADDRESSES)]
        outcomes = await channel.hand_over(wave_of(may_start=lambda: server.record.messages < 5), messages)

    assert [type(outcome) for outcome in outcomes] == [Accepted] * 4 + [NotSent] * 26


@pytest.mark.fault("F19")
async def test_an_envelope_written_ahead_is_abandoned_when_its_wave_grew_too_old() -> None:
    young = True
    messages = [mail(number, address) for number, address in enumerate(ADDRESSES[:3])]
    held = Fault(at=At.FINAL, to="person1@", held=True)
    async with FaultyServer([held], offers=PIPELINED) as server, local_channel(server.port) as channel:
        waiting = asyncio.create_task(channel.hand_over(wave_of(may_start=lambda: young), messages))
        await eventually(lambda: server.record.holding)
        young = False
        server.record.release()
        outcomes = await waiting

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, NotSent]
    assert server.record.recipients == ADDRESSES[:2]
