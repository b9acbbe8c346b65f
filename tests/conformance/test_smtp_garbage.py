"""What is no SMTP reply ends the connection, within bounds, and is accounted for."""

from collections.abc import Sequence

import pytest

from dialogues import PIPELINED
from stentor.channels.contract import Accepted, Deferred, InDoubt, Outcome
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import At, Fault

pytestmark = pytest.mark.anyio

GARBAGE = {
    "not SMTP": "HTTP/1.1 400 Bad Request",
    "a code out of range": "999 what",
    "letters for a code": "2x0 ok",
    "no separator": "250ok",
    "a code that changes": "250-one\r\n251 two",
    "a reply out of place": "354 go on",
    "bytes that are no text": "\xff\xfe\x00\x01",
    "a line of 10 MB": "250 " + "x" * 10_000_000,
    "lines without end": "\r\n".join(["250-more"] * 100_000),
}


async def hand_over_two(server: FaultyServer, **settings: float) -> Sequence[Outcome]:
    messages = [mail(0, "ann@example.com"), mail(1, "ben@example.com")]
    async with local_channel(server.port, connections_max=1, **settings) as channel:
        return await channel.hand_over(wave_of(), messages)


@pytest.mark.fault("F9")
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_for_a_final_reply_is_in_doubt(garbage: str) -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="ann@", say=garbage, times=1)], offers=PIPELINED) as server:
        ann, ben = await hand_over_two(server)

    assert isinstance(ann, InDoubt)
    assert isinstance(ben, Accepted)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_before_the_body_is_a_definite_no(garbage: str) -> None:
    async with FaultyServer([Fault(at=At.RCPT, to="ann@", say=garbage)], offers=PIPELINED) as server:
        ann, ben = await hand_over_two(server)

    assert isinstance(ann, Deferred)
    assert isinstance(ben, Accepted)
    assert server.record.recipients == ["ben@example.com"]


@pytest.mark.fault("F9")
async def test_of_an_endless_reply_no_more_than_64_kib_are_read() -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="ann@", say=GARBAGE["a line of 10 MB"])]) as server:
        ann, _ = await hand_over_two(server)

    assert ann == InDoubt("the server sent a reply of more than 65536 bytes")


@pytest.mark.fault("F9")
async def test_a_reply_of_one_byte_a_time_is_a_reply() -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="ann@", byte_s=0.001)]) as server:
        outcomes = await hand_over_two(server)

    assert outcomes == [Accepted("F1"), Accepted("F2")]


@pytest.mark.fault("F9")
async def test_a_reply_that_trickles_past_its_time_is_in_doubt() -> None:
    async with FaultyServer([Fault(at=At.FINAL, to="ann@", byte_s=0.05)]) as server:
        ann, _ = await hand_over_two(server, final_reply_timeout_s=0.2)

    assert ann == InDoubt("the server gave no reply within 0.2 s")


@pytest.mark.fault("F9")
async def test_a_reply_in_another_encoding_keeps_its_meaning() -> None:
    async with FaultyServer([Fault(at=At.RCPT, to="ann@", say="450 caf\xe9 ferm\xe9")]) as server:
        ann, _ = await hand_over_two(server)

    assert ann == Deferred("450 caf\N{REPLACEMENT CHARACTER} ferm\N{REPLACEMENT CHARACTER}")


async def test_a_reply_that_nothing_asked_for_ends_the_connection() -> None:
    twice = Fault(at=At.FINAL, say="250 ok\r\n250 and another", times=1)
    async with FaultyServer([twice]) as server, local_channel(server.port, connections_max=1) as channel:
        first = await channel.hand_over(wave_of(), [mail(0, "ann@example.com")])
        second = await channel.hand_over(wave_of(), [mail(1, "ben@example.com")])

    assert [*first, *second] == [Accepted(), Accepted("F2")]
    assert server.record.connections == 2
