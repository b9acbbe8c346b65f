"""What leaves on the wire: requests that a receiver can verify, one by one or in batches, over kept connections."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest

from stentor.channels.contract import Accepted, NotSent
from stentor.channels.webhook.letters import REQUEST_BYTES_MAX
from stentor.domain.vocabulary import ChannelKind
from stentor.testing.channels import PlainMessage, wave_of
from stentor.testing.http_local import SECRET, local_webhooks, webhook
from stentor.testing.http_script import Fault, Request
from stentor.testing.http_sink import HttpProvider
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

WAVE = wave_of(ChannelKind.WEBHOOK)


def messages(count: int, start: int = 0) -> list[PlainMessage]:
    return [webhook(number, f"person{number}@example.com") for number in range(start, start + count)]


def is_signed(request: Request, secret: str = SECRET) -> bool:
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, head + request.body, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in request.headers["webhook-signature"].split(" ")


async def test_a_message_is_a_signed_post_of_what_the_template_rendered():
    async with HttpProvider() as provider, local_webhooks(provider.port) as channel:
        await channel.hand_over(WAVE, messages(1))

    (request,) = provider.record.requests
    assert (request.method, request.path) == ("POST", "/hooks")
    assert request.body == messages(1)[0].raw
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Stentor/")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["webhook-id"] == messages(1)[0].send_id
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
    assert is_signed(request)


async def test_while_secrets_change_a_receiver_may_know_either():
    other = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    async with HttpProvider() as provider, local_webhooks(provider.port, secrets=f"{other} {SECRET}") as channel:
        await channel.hand_over(WAVE, messages(1))

    (request,) = provider.record.requests
    assert is_signed(request, SECRET)
    assert is_signed(request, other)


async def test_the_same_message_has_the_same_id_on_every_attempt():
    async with HttpProvider([Fault(status=500, times=1)]) as provider, local_webhooks(provider.port) as channel:
        await channel.hand_over(WAVE, messages(1))
        await channel.hand_over(WAVE, messages(1))

    assert len({request.headers["webhook-id"] for request in provider.record.requests}) == 1
    assert len(provider.record.taken) == 1


async def test_connections_are_kept_and_never_more_than_allowed():
    async with HttpProvider() as provider, local_webhooks(provider.port, connections_max=3) as channel:
        for _ in range(3):
            outcomes = await channel.hand_over(WAVE, messages(60))
            assert set(map(type, outcomes)) == {Accepted}

    assert provider.record.connections == 3
    assert len(provider.record.taken) == 180


async def test_a_batch_is_an_array_with_the_id_of_each_message():
    async with HttpProvider() as provider, local_webhooks(provider.port, batch_max=10, connections_max=1) as channel:
        await channel.hand_over(WAVE, messages(25))

    assert [len(request.entries) for request in provider.record.requests] == [10, 10, 5]
    first = provider.record.requests[0]
    sent = messages(25)
    assert json.loads(first.body) == [{"id": one.send_id, "data": json.loads(one.raw)} for one in sent[:10]]
    assert is_signed(first)
    assert [taken.send_id for taken in provider.record.taken] == [one.send_id for one in sent]


async def test_the_same_messages_together_are_the_same_batch_and_others_are_not():
    async with HttpProvider() as provider, local_webhooks(provider.port, batch_max=10) as channel:
        for batch in (messages(10), messages(10), messages(9), messages(1)):
            await channel.hand_over(WAVE, batch)

    ids = [request.headers["webhook-id"] for request in provider.record.requests]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all("." not in name for name in ids)


async def test_a_batch_takes_messages_of_several_waves_up_to_a_thousand():
    async with (
        HttpProvider([Fault(held=True, times=1)]) as provider,
        local_webhooks(provider.port, batch_max=1_000, connections_max=1) as channel,
    ):
        first = asyncio.create_task(channel.hand_over(WAVE, messages(1)))
        await eventually(lambda: provider.record.holding)
        others = [asyncio.create_task(channel.hand_over(WAVE, messages(450, start))) for start in (1, 451, 901)]
        await asyncio.sleep(0)
        provider.record.release()
        outcomes = [outcome for wave in await asyncio.gather(first, *others) for outcome in wave]

    assert set(map(type, outcomes)) == {Accepted}
    assert [len(request.entries) for request in provider.record.requests] == [1, 1_000, 350]


async def test_a_batch_has_a_megabyte_at_most():
    large = [webhook(number, "x@example.com", filling="x" * 250_000) for number in range(9)]

    async with (
        HttpProvider() as provider,
        local_webhooks(provider.port, batch_max=100, connections_max=1) as channel,
    ):
        outcomes = await channel.hand_over(WAVE, large)

    assert set(map(type, outcomes)) == {Accepted}
    assert [len(request.entries) for request in provider.record.requests] == [3, 3, 3]
    assert all(len(request.body) <= REQUEST_BYTES_MAX for request in provider.record.requests)


async def test_a_batch_leaves_while_all_its_waves_are_young_enough_and_else_all_of_it_stays():
    permits = iter([True] * 2)
    young, old = wave_of(ChannelKind.WEBHOOK), wave_of(ChannelKind.WEBHOOK, lambda: next(permits, False))
    async with (
        HttpProvider([Fault(held=True, times=1)]) as provider,
        local_webhooks(provider.port, batch_max=10, connections_max=1) as channel,
    ):
        first = asyncio.create_task(channel.hand_over(young, messages(1)))
        await eventually(lambda: provider.record.holding)
        waves = [
            asyncio.create_task(channel.hand_over(young, messages(2, 1))),
            asyncio.create_task(channel.hand_over(old, messages(2, 3))),
        ]
        await asyncio.sleep(0)
        provider.record.release()
        await first
        outcomes = [outcome for wave in await asyncio.gather(*waves) for outcome in wave]

    assert set(map(type, outcomes)) == {NotSent}
    assert len(provider.record.requests) == 1
