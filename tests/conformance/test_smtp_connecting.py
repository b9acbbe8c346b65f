"""How a connection comes about, is protected, logs in and is kept; and that failing to says nothing of any message."""

import asyncio
import socket
from pathlib import Path

import pytest

from dialogues import CHUNKED, PIPELINED
from stentor.channels.contract import Accepted, Deferred, NotSent
from stentor.channels.smtp.connection import QUIET_S
from stentor.channels.smtp.settings import Security
from stentor.testing.channels import mail, wave_of
from stentor.testing.far_side import Then
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel
from stentor.testing.smtp_script import At, Fault
from stentor.testing.tls import self_signed_context
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

TWENTY = [mail(number, f"person{number}@example.com") for number in range(20)]
LOGIN = {"username": "stentor", "password": "fifty voices"}


@pytest.mark.fault("F7")
async def test_a_refused_connection_defers_everything_and_speaks_of_the_sender() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async with local_channel(port) as channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert set(outcomes) == {Deferred(f"127.0.0.1:{port}: Connection refused", sender_wide=True)}


@pytest.mark.fault("F7")
async def test_a_name_that_does_not_resolve_defers_everything() -> None:
    async with local_channel(25, host="no-such-host.invalid") as channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert all(isinstance(outcome, Deferred) and outcome.sender_wide for outcome in outcomes)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(at=At.CONNECT, say="554 5.7.1 you are on a list"),
        Fault(at=At.CONNECT, say="421 4.7.0 too many connections", then=Then.CLOSE),
        Fault(at=At.CONNECT, then=Then.CUT),
        Fault(at=At.CONNECT, say="SSH-2.0-OpenSSH_9.2"),
        Fault(at=At.EHLO, then=Then.CUT),
    ],
    ids=["refused", "too many", "cut", "not SMTP", "cut at EHLO"],
)
async def test_a_greeting_that_is_none_defers_everything(fault: Fault) -> None:
    async with FaultyServer([fault]) as server, local_channel(server.port) as channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert all(isinstance(outcome, Deferred) and outcome.sender_wide for outcome in outcomes)


@pytest.mark.fault("F9")
async def test_a_server_that_never_greets_is_given_up_in_time() -> None:
    async with FaultyServer([Fault(at=At.CONNECT, then=Then.HANG)]) as server:
        async with local_channel(server.port, connect_timeout_s=0.2) as channel:
            (outcome,) = await channel.hand_over(wave_of(), TWENTY[:1])

        assert outcome == Deferred(f"no connection to 127.0.0.1:{server.port} within 0.2 s", sender_wide=True)


async def test_a_server_without_ehlo_gets_helo() -> None:
    unknown = Fault(at=At.EHLO, say="502 5.5.2 what", times=1)
    async with FaultyServer([unknown]) as server, local_channel(server.port) as channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.record.improper == 0
    assert "EHLO example.com" in server.record.heard
    assert "HELO example.com" in server.record.heard


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_mail_travels_encrypted_and_logged_in(tmp_path: Path, security: Security) -> None:
    tls = self_signed_context(tmp_path)
    at_once = security is Security.TLS
    async with (
        FaultyServer(tls=tls, tls_at_once=at_once, login=("stentor", "fifty voices")) as server,
        local_channel(server.port, security=security, verify_tls=False, **LOGIN) as channel,
    ):
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert sorted(server.record.recipients) == sorted(message.address for message in TWENTY)


async def test_a_large_message_travels_encrypted(tmp_path: Path) -> None:
    large = mail(0, "ann@example.com", body=(b"y" * 70 + b"\r\n") * 40_000)
    async with (
        FaultyServer(tls=self_signed_context(tmp_path)) as server,
        local_channel(server.port, security=Security.STARTTLS, verify_tls=False) as channel,
    ):
        outcomes = await channel.hand_over(wave_of(), [large, *TWENTY])

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert large.raw in [taken.body for taken in server.record.ledger]


@pytest.mark.fault("F7")
@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
async def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(tmp_path: Path, security: Security) -> None:
    async with (
        FaultyServer(tls=self_signed_context(tmp_path), tls_at_once=security is Security.TLS) as server,
        local_channel(server.port, security=security) as channel,
    ):
        (outcome,) = await channel.hand_over(wave_of(), TWENTY[:1])

    assert isinstance(outcome, Deferred)
    assert outcome.sender_wide
    assert "certificate" in outcome.answer.lower()
    assert server.record.messages == 0


async def test_without_starttls_on_offer_nothing_is_sent_in_the_clear() -> None:
    async with FaultyServer() as server, local_channel(server.port, security=Security.STARTTLS) as channel:
        (outcome,) = await channel.hand_over(wave_of(), TWENTY[:1])

    assert isinstance(outcome, Deferred)
    assert outcome.sender_wide
    assert server.record.messages == 0


async def test_wrong_credentials_defer_everything_in_the_servers_words() -> None:
    async with FaultyServer(login=("stentor", "other")) as server, local_channel(server.port, **LOGIN) as channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert set(outcomes) == {Deferred("535 5.7.8 wrong credentials", sender_wide=True)}
    assert server.record.messages == 0


async def test_connections_are_kept_from_wave_to_wave() -> None:
    async with FaultyServer() as server, local_channel(server.port, connections_max=3) as channel:
        for _ in range(5):
            await channel.hand_over(wave_of(), TWENTY)

    assert server.record.connections == 3


async def test_a_single_message_opens_a_single_connection() -> None:
    async with FaultyServer() as server, local_channel(server.port) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])

    assert server.record.connections == 1


async def test_an_idle_connection_says_goodbye_in_time() -> None:
    async with FaultyServer() as server, local_channel(server.port, idle_timeout_s=0.1) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        await eventually(lambda: "QUIT" in server.record.heard)
        (outcome,) = await channel.hand_over(wave_of(), TWENTY[:1])

    assert isinstance(outcome, Accepted)
    assert server.record.connections == 2


async def test_a_connection_that_the_server_closed_while_idle_is_replaced() -> None:
    async with FaultyServer() as server, local_channel(server.port) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        server.drop_connections()
        await eventually(lambda: not channel._connections)
        (outcome,) = await channel.hand_over(wave_of(), TWENTY[:1])

    assert isinstance(outcome, Accepted)
    assert server.record.connections == 2


async def test_a_kept_connection_that_died_unnoticed_puts_nothing_in_doubt() -> None:
    async with FaultyServer() as server, local_channel(server.port, connections_max=1) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        (kept,) = channel._connections
        kept._heard_at -= 2 * QUIET_S
        server.drop_connections()  # and at once, before the loop can tell the channel:
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.record.connections == 2


@pytest.mark.parametrize("offers", [CHUNKED, PIPELINED], ids=["chunked", "pipelined"])
async def test_a_kept_connection_that_was_quiet_goes_on(offers: frozenset[str]) -> None:
    async with FaultyServer(offers=offers) as server, local_channel(server.port, connections_max=1) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        (kept,) = channel._connections
        kept._heard_at -= 2 * QUIET_S
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.record.recipients[1:] == [message.address for message in TWENTY]
    assert server.record.connections == 1


@pytest.mark.parametrize("said", ["550 5.1.1 gone", "450 4.2.0 later"])
async def test_a_refusal_of_the_first_message_after_a_quiet_while_is_that_messages(said: str) -> None:
    refusal = Fault(at=At.RCPT, to="person7@", say=said)
    async with FaultyServer([refusal]) as server, local_channel(server.port, connections_max=1) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        (kept,) = channel._connections
        kept._heard_at -= 2 * QUIET_S
        outcomes = await channel.hand_over(wave_of(), TWENTY[7:])

    assert [type(outcome) is Accepted for outcome in outcomes] == [False] + [True] * 12


async def test_what_the_socket_refuses_to_send_is_not_in_doubt() -> None:
    async with FaultyServer() as server, local_channel(server.port, connections_max=1) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        server.drop_connections()
        await asyncio.sleep(0)  # the server has reset the connection, and the loop has not told the channel
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}


@pytest.mark.fault("F7")
async def test_a_relay_that_has_recovered_is_used_at_once() -> None:
    crowded = Fault(at=At.CONNECT, say="421 4.7.0 too many connections", then=Then.CLOSE, times=3)
    async with FaultyServer([crowded]) as server, local_channel(server.port) as channel:
        before = await channel.hand_over(wave_of(), TWENTY)
        after = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in before} == {Deferred}
    assert {type(outcome) for outcome in after} == {Accepted}


async def test_when_some_connections_are_refused_the_others_carry_everything() -> None:
    crowded = Fault(at=At.CONNECT, say="421 4.7.0 too many connections", then=Then.CLOSE)
    async with FaultyServer() as server, local_channel(server.port, connections_max=5) as channel:
        await channel.hand_over(wave_of(), TWENTY[:1])
        server.record.faults.append(crowded)
        outcomes = await channel.hand_over(wave_of(), TWENTY)

    assert {type(outcome) for outcome in outcomes} == {Accepted}


async def test_closing_while_dialling_sends_nothing() -> None:
    async with FaultyServer([Fault(at=At.CONNECT, then=Then.HANG)]) as server, local_channel(server.port) as channel:
        waiting = asyncio.create_task(channel.hand_over(wave_of(), TWENTY))
        await eventually(lambda: server.record.connections)
        await channel.aclose()

    assert {type(outcome) for outcome in await waiting} == {NotSent}
