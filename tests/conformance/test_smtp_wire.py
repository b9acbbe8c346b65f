"""What reaches the server is the message and nothing else, in the form that the server said it takes."""

from email import message_from_bytes, policy

import pytest

from dialogues import EVERY_DIALOGUE
from stentor.channels.contract import Accepted, Outcome, Rejected
from stentor.testing.channels import PlainMessage, mail, wave_of
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import EXTENSIONS

pytestmark = pytest.mark.anyio

SMUGGLED = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: evil\r\n\r\nEvil.\r\n"


async def hand_over(server: FaultyServer, *messages: PlainMessage) -> list[Outcome]:
    async with local_channel(server.port, connections_max=1) as channel:
        return list(await channel.hand_over(wave_of(), messages))


@EVERY_DIALOGUE
@pytest.mark.parametrize(
    "body",
    [
        b".\r\nafter a lone dot\r\n",
        b"..\r\n.hidden\r\n...\r\n",
        b"no end of line",
        b"",
        b"\r\n\r\n.\r\n.\r\n\r\n",
        b"last.\r\n.",
    ],
)
async def test_dots_and_line_ends_arrive_as_they_were_meant(offers: frozenset[str], body: bytes) -> None:
    message = mail(0, "ann@example.com", body=body)
    async with FaultyServer(offers=offers) as server:
        outcomes = await hand_over(server, message, mail(1, "ben@example.com"))

    assert outcomes == [Accepted("F1"), Accepted("F2")]
    assert server.record.ledger[0].body == (message.raw if message.raw.endswith(b"\r\n") else message.raw + b"\r\n")


@pytest.mark.fault("S7")
@EVERY_DIALOGUE
@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n"])
async def test_no_line_end_smuggles_a_second_message(offers: frozenset[str], end: bytes) -> None:
    message = mail(0, "ann@example.com", body=b"Hello" + end + SMUGGLED)
    async with FaultyServer(offers=offers) as server:
        await hand_over(server, message)

    assert server.record.recipients == ["ann@example.com"]
    (taken,) = server.record.ledger
    assert taken.body.count(b"\r") == taken.body.count(b"\n") == taken.body.count(b"\r\n")
    assert taken.body.endswith(b"Evil.\r\n")


@pytest.mark.fault("S7")
@EVERY_DIALOGUE
@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com>\r\nRCPT TO:<victim@example.com",
        "ann@example.com\nRSET",
        "ann@example.com\x00",
        "ann @example.com",
        "ann@example.com> SIZE=1",
        "<ann@example.com>",
        "ann@exam\N{LINE SEPARATOR}ple.com",
        "ann@exam\N{NO-BREAK SPACE}ple.com",
        "ann\x85@example.com",
        "\udcff@example.com",
        "@relay.example.com:ann@example.com",
        "ann",
        "@example.com",
        "ann@",
        "a" * 65 + "@example.com",
        "ann@" + "x" * 251 + ".com",
        "",
    ],
)
async def test_an_address_that_is_more_than_an_address_never_reaches_the_wire(
    offers: frozenset[str], address: str
) -> None:
    async with FaultyServer(offers=offers) as server:
        good, bad = await hand_over(
            server, mail(0, "good@example.com"), PlainMessage("1", address, b"Subject: x\r\n\r\n")
        )

    assert isinstance(good, Accepted)
    assert isinstance(bad, Rejected)
    assert bad.bad_address
    assert [line for line in server.record.heard if line.startswith("RCPT")] == ["RCPT TO:<good@example.com>"]


async def test_an_ascii_message_needs_no_parameter_but_its_size() -> None:
    message = mail(0, "ann@example.com")
    async with FaultyServer() as server:
        await hand_over(server, message)

    assert f"MAIL FROM:<bounce@example.com> SIZE={len(message.raw)}" in server.record.heard


async def test_an_eight_bit_body_says_so() -> None:
    message = mail(0, "ann@example.com", body="Grüße\r\n".encode())
    async with FaultyServer() as server:
        await hand_over(server, message)

    assert f"MAIL FROM:<bounce@example.com> BODY=8BITMIME SIZE={len(message.raw)}" in server.record.heard
    assert server.record.ledger[0].body == message.raw


async def test_a_server_without_8bitmime_gets_the_same_text_in_seven_bits() -> None:
    head = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n"
    message = PlainMessage("0", "ann@example.com", head + "Grüße aus Köln.\r\n.\r\n".encode())
    async with FaultyServer(offers=EXTENSIONS - {"8BITMIME"}) as server:
        (outcome,) = await hand_over(server, message)

    assert isinstance(outcome, Accepted)
    body = server.record.ledger[0].body
    assert body.isascii()
    assert message_from_bytes(body, policy=policy.SMTP).get_content().replace("\r\n", "\n") == "Grüße aus Köln.\n.\n"


async def test_an_international_address_uses_smtputf8() -> None:
    async with FaultyServer() as server:
        (outcome,) = await hand_over(server, mail(0, "jörg@example.com"))

    assert isinstance(outcome, Accepted)
    assert any("SMTPUTF8" in line for line in server.record.heard if line.startswith("MAIL"))
    assert server.record.recipients == ["jörg@example.com"]


@pytest.mark.fault("S11")
async def test_an_international_address_is_rejected_where_smtputf8_is_not_offered() -> None:
    async with FaultyServer(offers=EXTENSIONS - {"SMTPUTF8"}) as server:
        joerg, ann = await hand_over(server, mail(0, "jörg@example.com"), mail(1, "ann@example.com"))

    assert joerg == Rejected("the address or a header is not ASCII, and the server does not offer SMTPUTF8")
    assert isinstance(ann, Accepted)


async def test_a_message_larger_than_the_server_takes_is_not_sent() -> None:
    async with FaultyServer(offers=(EXTENSIONS - {"SIZE 67108864"}) | {"SIZE 1000"}) as server:
        large, small = await hand_over(
            server, mail(0, "ann@example.com", body=b"x\r\n" * 1000), mail(1, "ben@example.com")
        )

    assert isinstance(large, Rejected)
    assert "at most 1000" in large.answer
    assert isinstance(small, Accepted)
    assert server.record.messages == 1


async def test_a_server_that_offers_nothing_gets_plain_commands() -> None:
    async with FaultyServer(offers=frozenset()) as server:
        outcomes = await hand_over(server, *[mail(number, f"person{number}@example.com") for number in range(5)])

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.record.improper == 0
    assert [line for line in server.record.heard if line.startswith("MAIL")] == ["MAIL FROM:<bounce@example.com>"] * 5


async def test_a_message_that_cannot_be_made_fails_its_wave_and_nothing_else() -> None:
    class Broken:
        send_id = "0"
        address = "ann@example.com"

        def wire(self) -> bytes:
            raise LookupError("no such part")

    async with FaultyServer() as server, local_channel(server.port) as channel:
        with pytest.raises(LookupError, match="no such part"):
            await channel.hand_over(wave_of(), [Broken()])
        (outcome,) = await channel.hand_over(wave_of(), [mail(1, "ben@example.com")])

    assert isinstance(outcome, Accepted)
