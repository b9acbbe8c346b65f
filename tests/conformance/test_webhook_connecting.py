"""Before the first byte: whoever cannot be reached, or must not be, was certainly not sent anything."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from stentor.channels.contract import Accepted, Deferred, NotSent, Outcome
from stentor.channels.outbound import Outbound
from stentor.channels.webhook.sender import WebhookChannel
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import wave_of
from stentor.testing.far_side import Then
from stentor.testing.http_local import local_webhook_settings, webhook
from stentor.testing.http_script import Fault, Moment
from stentor.testing.http_sink import HttpProvider
from stentor.testing.tls import self_signed_context

pytestmark = pytest.mark.anyio

WAVE = wave_of(ChannelKind.WEBHOOK)
MESSAGES = [webhook(number, f"person{number}@example.com") for number in range(5)]
HERE = Outbound(allow_loopback=True)


class Answers(AbstractResolver):
    """A name server that answers each question with the next of its answers, and the last one ever after."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked = 0
        self._answers = answers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family_of(address), proto=0, flags=0)
            for address in answer
        ]

    async def close(self) -> None:
        """Holds nothing."""


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def hand_over(url: str, outbound: Outbound, resolver: AbstractResolver | None = None) -> Sequence[Outcome]:
    settings = local_webhook_settings(0, url=url, connect_timeout_s=2.0)
    channel = WebhookChannel(settings, outbound, resolver=resolver)
    try:
        return await channel.hand_over(WAVE, MESSAGES)
    finally:
        await channel.aclose()


def assert_nobody_was_reached(outcomes: Sequence[Outcome], words: str) -> None:
    for outcome in outcomes:
        assert isinstance(outcome, Deferred)
        assert outcome.sender_wide
        assert words in outcome.answer


@pytest.mark.fault("F7")
async def test_a_refused_connection_is_a_definite_no():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcomes = await hand_over(f"http://127.0.0.1:{closed.getsockname()[1]}/", HERE)

    assert_nobody_was_reached(outcomes, "Connection refused")


@pytest.mark.fault("F7")
async def test_a_name_that_nobody_knows_is_a_definite_no():
    outcomes = await hand_over("https://hooks.example.com/", HERE, Answers([]))

    assert_nobody_was_reached(outcomes, "Name or service not known")


@pytest.mark.fault("F7")
async def test_a_certificate_that_nobody_vouches_for_is_a_definite_no(tmp_path: Path):
    async with HttpProvider(tls=self_signed_context(tmp_path)) as provider:
        outcomes = await hand_over(f"https://localhost:{provider.port}/", HERE)

    assert_nobody_was_reached(outcomes, "certificate")
    assert provider.record.octets == 0


async def test_a_server_without_tls_is_a_definite_no():
    async with HttpProvider() as provider:
        outcomes = await hand_over(f"https://127.0.0.1:{provider.port}/", HERE)

    assert all(isinstance(outcome, Deferred) and outcome.sender_wide for outcome in outcomes)
    assert not provider.record.requests


async def test_a_receiver_over_tls_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    context = self_signed_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))

    async with HttpProvider(tls=context) as provider:
        outcomes = await hand_over(f"https://localhost:{provider.port}/", HERE)

    assert set(map(type, outcomes)) == {Accepted}


async def test_a_connection_that_is_cut_at_once_was_written_to_at_most_once_for_each_message():
    async with HttpProvider([Fault(at=Moment.CONNECT, then=Then.CUT)]) as provider:
        outcomes = await hand_over(f"http://127.0.0.1:{provider.port}/", HERE)

    assert Accepted not in set(map(type, outcomes))
    assert not provider.record.taken


async def test_a_wave_that_grew_too_old_while_its_connection_was_made_stays(tmp_path: Path):
    class Slow(Answers):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            nonlocal is_young
            is_young = False
            return await super().resolve(host, port, family)

    is_young = True
    async with HttpProvider() as provider:
        settings = local_webhook_settings(0, url=f"http://hooks.example.com:{provider.port}/")
        channel = WebhookChannel(settings, HERE, resolver=Slow(["127.0.0.1"]))
        outcomes = await channel.hand_over(wave_of(ChannelKind.WEBHOOK, lambda: is_young), MESSAGES)
        await channel.aclose()

    assert set(map(type, outcomes)) == {NotSent}
    assert provider.record.connections > 0
    assert provider.record.octets == 0


# --- S3: where nobody may go ---------------------------------------------------------------------------------------------


@pytest.mark.fault("S3")
async def test_a_name_that_leads_here_is_not_connected_to():
    async with HttpProvider() as provider:
        outcomes = await hand_over(f"https://hooks.example.com:{provider.port}/", Outbound(), Answers(["127.0.0.1"]))

    assert_nobody_was_reached(outcomes, "STENTOR_ALLOW_LOOPBACK")
    assert provider.record.connections == 0


@pytest.mark.fault("S3")
async def test_an_address_in_the_url_is_not_connected_to_either():
    async with HttpProvider() as provider:
        outcomes = await hand_over(f"http://127.0.0.1:{provider.port}/", Outbound())

    assert_nobody_was_reached(outcomes, "STENTOR_ALLOW_LOOPBACK")
    assert provider.record.connections == 0


@pytest.mark.parametrize("answer", [["127.0.0.1", "169.254.169.254"], ["::ffff:10.0.0.1", "127.0.0.1"]])
@pytest.mark.fault("S3")
async def test_one_forbidden_answer_among_others_forbids_the_name(answer: list[str]):
    async with HttpProvider() as provider:
        outcomes = await hand_over(f"http://hooks.example.com:{provider.port}/", HERE, Answers(answer))

    assert all(isinstance(outcome, Deferred) for outcome in outcomes)
    assert provider.record.connections == 0


@pytest.mark.fault("S3")
async def test_a_name_that_leads_elsewhere_the_next_time_is_looked_at_again():
    async with HttpProvider([Fault(headers={"Connection": "close"})]) as provider:
        answers = Answers(["127.0.0.1"], ["169.254.169.254"])
        settings = local_webhook_settings(0, url=f"http://hooks.example.com:{provider.port}/", connections_max=1)
        channel = WebhookChannel(settings, HERE, resolver=answers)
        outcomes = await channel.hand_over(WAVE, MESSAGES)
        await channel.aclose()

    assert [type(outcome) for outcome in outcomes] == [Accepted, *[Deferred] * 4]
    assert answers.asked == 2
    assert len(provider.record.requests) == 1


@pytest.mark.fault("S3")
async def test_the_address_that_was_checked_is_the_one_that_is_connected_to():
    answers = Answers(["127.0.0.1"], ["127.0.0.2"])
    async with HttpProvider() as provider:
        place = f"hooks.example.com:{provider.port}"
        outcomes = await hand_over(f"http://{place}/", HERE, answers)

    assert Accepted in set(map(type, outcomes))
    assert provider.record.requests[0].headers["host"] == place


@pytest.mark.fault("S3")
async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async with HttpProvider() as provider:
        outcomes = await hand_over(f"http://127.0.0.1:{provider.port}/", HERE)

    assert set(map(type, outcomes)) == {Accepted}


async def test_while_some_have_a_connection_the_others_leave_their_messages_to_them():
    async with HttpProvider([Fault(after_s=0.2)]) as provider:
        answers = Answers(["127.0.0.1"], [])
        settings = local_webhook_settings(0, url=f"http://hooks.example.com:{provider.port}/", connections_max=4)
        channel = WebhookChannel(settings, HERE, resolver=answers)
        outcomes = await channel.hand_over(WAVE, MESSAGES)
        await channel.aclose()

    assert set(map(type, outcomes)) == {Accepted}
    assert provider.record.connections == 1


async def test_a_black_hole_costs_no_more_than_the_time_to_connect():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(3)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        settings = local_webhook_settings(full.getsockname()[1], connect_timeout_s=0.3)
        channel = WebhookChannel(settings, HERE)
        async with asyncio.timeout(3):
            outcomes = await channel.hand_over(WAVE, MESSAGES)
        await channel.aclose()
        for other in others:
            other.close()

    assert_nobody_was_reached(outcomes, "no connection within 0.3 s")
