"""Receivers that refuse, are slow, send garbage or fall silent: every message has one outcome, in bounded time and memory."""

import asyncio
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Rejected
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import wave_of
from stentor.testing.far_side import Then
from stentor.testing.http_local import local_webhooks, webhook
from stentor.testing.http_script import Fault, Moment
from stentor.testing.http_sink import HttpProvider
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

WAVE = wave_of(ChannelKind.WEBHOOK)
ADDRESSES = [f"person{number}@example.com" for number in range(30)]
DEADLINE_S = 1.0


async def hand_over(provider: HttpProvider, addresses: Sequence[str] = ADDRESSES, **settings: Any) -> Sequence[Outcome]:
    async with local_webhooks(provider.port, timeout_s=DEADLINE_S, **settings) as channel:
        return await channel.hand_over(WAVE, [webhook(number, address) for number, address in enumerate(addresses)])


def kinds(outcomes: Sequence[Outcome]) -> set[type[Outcome]]:
    return set(map(type, outcomes))


# --- F7: definite answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_max", [1, 10])
@pytest.mark.fault("F7", "F15")
async def test_trouble_of_one_message_does_not_hold_up_the_others(batch_max: int):
    async with HttpProvider([Fault(to="person7@", status=500, alone=True)]) as provider:
        outcomes = await hand_over(provider, batch_max=batch_max)

    assert isinstance(outcomes[7], Deferred)
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 29
    assert len(provider.record.taken) == 29


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "7"}),
        Fault(status=503, headers={"Retry-After": "7"}),
        Fault(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}),
        Fault(status=401),
    ],
)
@pytest.mark.fault("F7")
async def test_a_storm_is_met_once_and_everybody_waits(fault: Fault):
    async with HttpProvider([fault]) as provider:
        outcomes = await hand_over(provider, connections_max=2)

    assert kinds(outcomes) == {Deferred}
    assert all(isinstance(outcome, Deferred) and outcome.sender_wide for outcome in outcomes)
    assert len(provider.record.requests) <= 2
    assert provider.record.recipients == []
    if "Retry-After" in fault.headers:
        assert outcomes[-1] == Deferred(outcomes[-1].answer, retry_after_s=7.0, sender_wide=True)  # type: ignore[union-attr]


@pytest.mark.fault("F9", "S3")
async def test_a_redirect_is_not_followed():
    async with HttpProvider() as elsewhere:
        there = {"Location": f"http://127.0.0.1:{elsewhere.port}/"}
        async with HttpProvider([Fault(status=307, headers=there)]) as provider:
            await hand_over(provider, ADDRESSES[:1])

    assert elsewhere.record.connections == 0


# --- F8: accepted, and the answer is lost --------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [Then.CUT, Then.CLOSE])
@pytest.mark.parametrize("batch_max", [1, 10])
@pytest.mark.fault("F8")
async def test_a_lost_answer_leaves_in_doubt_what_was_in_its_request_and_nothing_else(then: Then, batch_max: int):
    async with HttpProvider([Fault(to="person7@", then=then)]) as provider:
        outcomes = await hand_over(provider, batch_max=batch_max)

    assert isinstance(outcomes[7], InDoubt)
    assert sum(isinstance(outcome, InDoubt) for outcome in outcomes) == batch_max
    assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == 30 - batch_max
    assert sorted(provider.record.recipients) == sorted(ADDRESSES)


@pytest.mark.fault("F8")
async def test_a_request_that_was_cut_off_in_its_midst_is_in_doubt():
    async with HttpProvider([Fault(at=Moment.BODY, then=Then.CUT, times=1)]) as provider:
        outcomes = await hand_over(provider, ADDRESSES[:1])

    assert kinds(outcomes) == {InDoubt}


@pytest.mark.fault("F8")
async def test_silence_is_in_doubt_when_the_deadline_is_over():
    async with HttpProvider([Fault(then=Then.HANG)]) as provider:
        begun_s = time.monotonic()
        outcomes = await hand_over(provider, ADDRESSES[:2])
        took_s = time.monotonic() - begun_s

    assert kinds(outcomes) == {InDoubt}
    assert isinstance(outcomes[0], InDoubt)
    assert "no answer within 1 s" in outcomes[0].answer
    assert took_s < 3 * DEADLINE_S


async def test_a_connection_that_was_closed_while_nobody_used_it_costs_nobody_anything():
    async with (
        HttpProvider([Fault(headers={"Connection": "close"}, then=Then.GO_ON)]) as provider,
        local_webhooks(provider.port, connections_max=1) as channel,
    ):
        for number in range(5):
            outcomes = await channel.hand_over(WAVE, [webhook(number, ADDRESSES[number])])
            assert kinds(outcomes) == {Accepted}


# --- F9: slow, endless and garbage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(byte_s=0.3), InDoubt),
        (Fault(raw="HTTP/1.1 200 OK\r\n", byte_s=0.02, then=Then.HANG), InDoubt),
        (Fault(raw="HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", then=Then.HANG), Accepted),
        (Fault(raw="HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", then=Then.CUT), Accepted),
        (Fault(raw="HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nab", then=Then.CUT), Deferred),
        (Fault(raw="HTTP/1.1 422 Oh\r\nContent-Length: 5\r\n\r\nab", then=Then.HANG), Rejected),
        (Fault(body_bytes=10_000_000), Accepted),
        (Fault(body_bytes=-1), Accepted),
        (Fault(status=500, body_bytes=10_000_000), Deferred),
        (Fault(status=422, body_bytes=-1), Rejected),
        (Fault(status=422, body="\xff\xfe\x00 caf\xe9"), Rejected),
        (Fault(status=200, headers={"Content-Encoding": "gzip"}, body="\x1f\x8b not gzip"), Accepted),
        (Fault(raw="220 mail.example.com ESMTP\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="\x00\xff\x00\xff\r\n\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="HTTP/1.1 OK\r\n\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="HTTP/1.1 200 OK\r\nX: " + "x" * 100_000 + "\r\n\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", then=Then.CLOSE), InDoubt),
        (Fault(raw="HTTP/1.1 100 Continue\r\n\r\n" * 50 + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Accepted),
        (Fault(status=999), Deferred),
    ],
)
@pytest.mark.fault("F9")
async def test_whatever_a_receiver_answers_the_outcome_is_honest_and_comes_in_time(fault: Fault, kind: type[Outcome]):
    async with HttpProvider([fault]) as provider:
        begun_s = time.monotonic()
        outcomes = await hand_over(provider, ADDRESSES[:3])
        took_s = time.monotonic() - begun_s

    assert kinds(outcomes) == {kind}, outcomes
    assert took_s < 4 * DEADLINE_S
    assert all(len(getattr(outcome, "answer", "")) <= 500 for outcome in outcomes)
    assert all(getattr(outcome, "answer", "").isprintable() for outcome in outcomes)


async def test_after_a_bad_answer_the_next_message_is_answered_on_its_own():
    faults = [
        Fault(
            to="person0@",
            raw="HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n",
        ),
        Fault(to="person2@", status=422, body_bytes=10_000_000),
    ]
    async with HttpProvider(faults) as provider:
        outcomes = await hand_over(provider, ADDRESSES[:4], connections_max=1)

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Rejected, Accepted]


@pytest.mark.fault("F9")
async def test_endless_answers_are_not_held_in_memory():
    async with (
        HttpProvider([Fault(status=500, body_bytes=10_000_000)]) as provider,
        local_webhooks(provider.port, connections_max=5) as channel,
    ):
        await channel.hand_over(WAVE, [webhook(0, "warm@example.com")])
        tracemalloc.start()
        await channel.hand_over(WAVE, [webhook(number, address) for number, address in enumerate(ADDRESSES)])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 10_000_000


# --- closing -------------------------------------------------------------------------------------------------------------


async def test_what_is_not_answered_when_the_channel_closes_is_in_doubt_and_what_waits_is_not_sent():
    async with (
        HttpProvider([Fault(then=Then.HANG)]) as provider,
        local_webhooks(provider.port, connections_max=1, finish_s=0.1) as channel,
    ):
        waiting = asyncio.create_task(
            channel.hand_over(WAVE, [webhook(number, address) for number, address in enumerate(ADDRESSES[:3])])
        )
        await eventually(lambda: provider.record.requests)
        await channel.aclose()
        outcomes = await waiting

    assert [type(outcome) for outcome in outcomes] == [InDoubt, NotSent, NotSent]
