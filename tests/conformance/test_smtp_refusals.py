"""Every refusal that a server can give, at every step, becomes the outcome that it means, and nobody gets what is not theirs."""

import pytest

from dialogues import CHUNKED, EVERY_DIALOGUE, IN_STEP, PIPELINED
from stentor.channels.contract import Accepted, Deferred, Outcome, Rejected
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import At, Fault

pytestmark = pytest.mark.anyio

NAMES = ["ann", "bad", "cid", "dan", "bad", "eve", "fay", "bad", "gus", "hal", "bad"]


async def hand_over_names(server: FaultyServer, names: list[str] = NAMES) -> list[Outcome]:
    async with local_channel(server.port, connections_max=1) as channel:
        messages = [mail(number, f"{name}@example.com") for number, name in enumerate(names)]
        return list(await channel.hand_over(wave_of(), messages))


def of_bad_and_others(outcomes: list[Outcome]) -> tuple[set[Outcome], set[type[Outcome]]]:
    named = list(zip(NAMES, outcomes, strict=True))
    return {outcome for name, outcome in named if name == "bad"}, {
        type(outcome) for name, outcome in named if name != "bad"
    }


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("offers", "at"),
    [
        (CHUNKED, At.RCPT),
        (CHUNKED, At.FINAL),
        (PIPELINED, At.RCPT),
        (PIPELINED, At.DATA),
        (PIPELINED, At.FINAL),
        (IN_STEP, At.RCPT),
        (IN_STEP, At.DATA),
        (IN_STEP, At.FINAL),
    ],
)
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("450 4.2.1 slow down", Deferred("450 4.2.1 slow down")),
        ("552 5.2.2 mailbox full", Rejected("552 5.2.2 mailbox full")),
        ("554 5.7.1 spam", Rejected("554 5.7.1 spam")),
        ("550 5.1.1 no such user", Rejected("550 5.1.1 no such user", bad_address=True)),
        (
            "550-5.2.1 this mailbox\r\n550 5.2.1 is closed",
            Rejected("550 5.2.1 this mailbox 5.2.1 is closed", bad_address=True),
        ),
    ],
)
async def test_a_refusal_of_one_recipient_leaves_the_others_alone(
    offers: frozenset[str], at: At, said: str, meant: Outcome
) -> None:
    async with FaultyServer([Fault(at=at, to="bad@", say=said)], offers=offers) as server:
        outcomes = await hand_over_names(server)

    assert of_bad_and_others(outcomes) == ({meant}, {Accepted})
    assert server.record.connections == 1
    assert server.record.recipients == [f"{name}@example.com" for name in NAMES if name != "bad"]


@EVERY_DIALOGUE
async def test_after_a_refused_recipient_everyone_gets_their_own_body(offers: frozenset[str]) -> None:
    async with FaultyServer([Fault(at=At.RCPT, to="bad@", say="550 5.1.1 gone")], offers=offers) as server:
        await hand_over_names(server)

    assert all(f"To: {taken.recipient}\r\n".encode() in taken.body for taken in server.record.ledger)
    assert server.record.strays == []


async def test_a_go_ahead_after_a_refused_recipient_is_answered_with_an_empty_message() -> None:
    faults = [Fault(at=At.RCPT, to="bad@", say="550 5.1.1 gone"), Fault(at=At.DATA, to="bad@", say="354 go ahead")]
    async with FaultyServer(faults, offers=PIPELINED) as server:
        outcomes = await hand_over_names(server)

    assert of_bad_and_others(outcomes) == ({Rejected("550 5.1.1 gone", bad_address=True)}, {Accepted})
    assert server.record.strays == []
    assert server.record.connections == 1


@EVERY_DIALOGUE
@pytest.mark.parametrize("said", ["550 5.7.1 sender not allowed", "451 4.7.1 too fast", "530 5.7.0 log in first"])
async def test_a_refused_sender_is_no_recipients_fault(offers: frozenset[str], said: str) -> None:
    async with FaultyServer([Fault(at=At.MAIL, nth=2, say=said)], offers=offers) as server:
        outcomes = await hand_over_names(server, ["ann", "ben", "cid"])

    assert outcomes == [Accepted("F1"), Deferred(said, sender_wide=True), Accepted("F3")]


@EVERY_DIALOGUE
async def test_a_message_too_big_for_the_server_is_rejected_by_itself(offers: frozenset[str]) -> None:
    async with FaultyServer([Fault(at=At.MAIL, nth=2, say="552 5.3.4 too big")], offers=offers) as server:
        outcomes = await hand_over_names(server, ["ann", "ben", "cid"])

    assert outcomes == [Accepted("F1"), Rejected("552 5.3.4 too big"), Accepted("F3")]


@EVERY_DIALOGUE
async def test_nothing_is_accepted_for_a_refused_recipient_whatever_the_final_reply(offers: frozenset[str]) -> None:
    faults = [
        Fault(at=At.RCPT, to="bad@", say="550 5.1.1 gone"),
        Fault(at=At.DATA, to="bad@", say="354 go ahead"),
        Fault(at=At.FINAL, to="bad@", say="250 2.0.0 taken, says the server"),
    ]
    async with FaultyServer(faults, offers=offers) as server:
        outcomes = await hand_over_names(server)

    assert of_bad_and_others(outcomes) == ({Rejected("550 5.1.1 gone", bad_address=True)}, {Accepted})
    assert server.record.strays == []


async def test_a_recipient_taken_for_a_refused_sender_gets_no_empty_message() -> None:
    faults = [
        Fault(at=At.MAIL, nth=1, say="550 5.7.1 no"),
        Fault(at=At.RCPT, nth=1, say="250 2.1.5 ok"),
        Fault(at=At.DATA, nth=1, say="354 go ahead"),
    ]
    async with FaultyServer(faults, offers=PIPELINED) as server:
        outcomes = await hand_over_names(server, ["ann", "ben"])

    assert outcomes == [Deferred("550 5.7.1 no", sender_wide=True), Accepted("F2")]
    assert server.record.recipients == ["ben@example.com"]
