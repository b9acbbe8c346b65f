import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from sandbox_letters import letter, wave_for
from stentor.channels.at_work import OpenChannels, SenderSource
from stentor.channels.contract import Deferred, NotSent
from stentor.channels.model import NewSender, Sender, SenderPatch
from stentor.channels.outbound import Outbound
from stentor.channels.public_address import Reach
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.secrets import SecretBox
from stentor.channels.service import SenderService, sandbox_sender
from stentor.channels.smtp.sender import SmtpChannel
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import NotFound
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

RELAY = {"host": "127.0.0.1", "port": 1, "envelope_from": "bounce@example.net", "username": "me", "security": "none"}


@pytest.fixture
def secrets() -> SecretBox:
    return SecretBox(bytes(range(32)))


@pytest.fixture
def senders(db: Database, secrets: SecretBox) -> SenderService:
    return SenderService(db, secrets, Reach(outbound=Outbound(allow_loopback=True)))


@pytest.fixture
def channels(db: Database, secrets: SecretBox, sandbox: SandboxChannel) -> OpenChannels:
    return OpenChannels(db, secrets, sandbox, Outbound())


@pytest.fixture
async def relay(senders: SenderService, brand_id: UUID) -> Sender:
    return await senders.create(brand_id, NewSender("relay", ChannelKind.EMAIL, "smtp", RELAY, "secret"))


async def test_a_channel_is_kept_between_waves_and_opened_anew_when_settings_change(
    senders: SenderService, channels: OpenChannels, relay: Sender
):
    async with channels.open_channel(relay) as first:
        pass
    async with channels.open_channel(relay) as again:
        pass
    changed = await senders.update(relay.brand_id, relay.id, SenderPatch(settings={**RELAY, "port": 2}))
    async with channels.open_channel(changed) as fresh:
        pass
    async with channels.open_channel(relay) as for_a_late_wave:
        pass

    assert isinstance(first, SmtpChannel)
    assert again is first
    assert fresh is not first
    assert for_a_late_wave is fresh
    await channels.aclose()


async def test_a_channel_is_not_closed_under_the_wave_that_uses_it(
    senders: SenderService, channels: OpenChannels, relay: Sender
):
    async with AsyncExitStack() as wave:
        used = await wave.enter_async_context(channels.open_channel(relay))
        changed = await senders.update(relay.brand_id, relay.id, SenderPatch(settings={**RELAY, "port": 2}))
        async with channels.open_channel(changed):
            pass
        outcome_in_use = (await used.hand_over(wave_for(relay.brand_id), [letter(relay.brand_id)]))[0]
    outcome_closed = (await used.hand_over(wave_for(relay.brand_id), [letter(relay.brand_id)]))[0]

    assert isinstance(outcome_in_use, Deferred)
    assert isinstance(outcome_closed, NotSent)
    await channels.aclose()


async def test_waves_that_come_at_once_share_one_channel(channels: OpenChannels, relay: Sender):
    async def opened() -> object:
        async with channels.open_channel(relay) as channel:
            return channel

    found = await asyncio.gather(*(opened() for _ in range(10)))

    assert len({id(one) for one in found}) == 1
    await channels.aclose()


async def test_all_sandboxes_are_one_and_stay_open(
    db: Database, channels: OpenChannels, sandbox: SandboxChannel, brand_id: UUID
):
    async with db.read() as conn:
        sender = await sandbox_sender(conn, brand_id, ChannelKind.SMS)

    async with channels.open_channel(sender) as channel:
        assert channel is sandbox


async def test_a_sender_that_cannot_be_opened_answers_why_and_is_asked_again(
    db: Database, secrets: SecretBox, sandbox: SandboxChannel, relay: Sender
):
    wrong = OpenChannels(db, SecretBox(bytes(32)), sandbox, Outbound())

    async with wrong.open_channel(relay) as first:
        outcomes = await first.hand_over(wave_for(relay.brand_id), [letter(relay.brand_id)] * 3)
    async with wrong.open_channel(relay) as second:
        pass

    assert outcomes == [outcomes[0]] * 3
    assert isinstance(outcomes[0], Deferred)
    assert outcomes[0].sender_wide
    assert "installation secret" in outcomes[0].answer
    assert second is not first


async def test_a_change_of_a_sender_is_known_within_a_second(db: Database, senders: SenderService, relay: Sender):
    source = SenderSource(db)
    await source.load(relay.brand_id, relay.id)

    await senders.pause(relay.brand_id, relay.id)

    async def paused() -> bool:
        return (await source.load(relay.brand_id, relay.id)).paused_at is not None

    assert await eventually(paused, within_s=3)


async def test_a_sender_of_another_brand_cannot_be_loaded(db: Database, relay: Sender, other_brand_id: UUID):
    source = SenderSource(db)

    for brand_id, sender_id in ((other_brand_id, relay.id), (relay.brand_id, new_id())):
        with pytest.raises(NotFound):
            await source.load(brand_id, sender_id)
