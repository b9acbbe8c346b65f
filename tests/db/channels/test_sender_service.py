import asyncio
from typing import Any
from uuid import UUID

import pytest

from stentor.channels import store
from stentor.channels.model import NewSender, Sender, SenderPatch
from stentor.channels.outbound import Outbound
from stentor.channels.public_address import NotReachable, Reach
from stentor.channels.secrets import SecretBox
from stentor.channels.service import SenderService, default_sender, ensure_sandbox, sandbox_sender
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, Unavailable
from stentor.testing.world import World

pytestmark = pytest.mark.anyio

RELAY = {"host": "smtp.example.net", "envelope_from": "bounce@example.net", "username": "me"}
PUBLIC = Reach(public_url="https://stentor.example.net")


@pytest.fixture
def secrets() -> SecretBox:
    return SecretBox(bytes(range(32)))


@pytest.fixture
def senders(db: Database, secrets: SecretBox) -> SenderService:
    return SenderService(db, secrets, PUBLIC)


def relay(name: str = "relay", **more: Any) -> NewSender:
    given: dict[str, Any] = {"settings": RELAY, "secret": "correct horse", **more}
    return NewSender(name=name, channel=ChannelKind.EMAIL, kind="smtp", **given)


async def test_a_new_brand_has_one_sandbox_per_channel_and_making_them_again_adds_none(
    db: Database, senders: SenderService, brand_id: UUID
):
    async with db.transaction() as conn:
        await ensure_sandbox(conn, brand_id)

    made = await senders.page(brand_id, limit=50)

    assert {sender.channel for sender in made} == set(ChannelKind)
    assert len(made) == len(ChannelKind)
    assert all(sender.kind == "sandbox" and sender.enabled and sender.paused_at is None for sender in made)
    assert "sandbox-email" in {sender.name for sender in made}


async def test_a_sender_is_told_without_its_secret_and_with_its_defaults_spelled_out(
    senders: SenderService, brand_id: UUID
):
    sender = await senders.create(brand_id, relay(pace_per_s=20.0, in_doubt="ask"))

    assert sender.settings["port"] == 587
    assert "password" not in sender.settings
    assert "correct horse" not in repr(sender)
    assert (sender.has_secret, sender.pace_per_s, sender.in_doubt) == (True, 20.0, "ask")
    assert await senders.get(brand_id, sender.id) == sender


async def test_a_secret_lies_encrypted_and_opens_only_for_its_own_sender(
    db: Database, senders: SenderService, secrets: SecretBox, brand_id: UUID
):
    sender = await senders.create(brand_id, relay())
    other = await senders.create(brand_id, relay("other"))

    async with db.read() as conn:
        sealed = await store.sealed_secret(conn, brand_id, sender.id)

    assert sealed is not None
    assert b"correct horse" not in sealed
    assert secrets.open(sender.id, sealed) == "correct horse"
    with pytest.raises(Unavailable, match="another installation secret"):
        secrets.open(other.id, sealed)
    with pytest.raises(Unavailable):
        SecretBox(bytes(32)).open(sender.id, sealed)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"settings": {**RELAY, "host": "no such host"}}, "/settings/host"),
        ({"settings": {**RELAY, "port": 0}}, "/settings/port"),
        ({"settings": {**RELAY, "hots": "x"}}, "/settings/hots"),
        ({"settings": {**RELAY, "password": "x"}}, "/settings/password"),
        ({"settings": {**RELAY, "port": "587"}}, "/settings/port"),
        ({"settings": {"host": "smtp.example.net"}}, "/settings"),
        ({"secret": ""}, "/secret"),
        ({"secret": "x\r\nMAIL FROM:"}, "/secret"),
        ({"pace_per_s": 0.0}, "/pace_per_s"),
        ({"pace_per_s": 1 / 3601}, "/pace_per_s"),
        ({"pace_per_s": float("inf")}, "/pace_per_s"),
        ({"name": ""}, "/name"),
        ({"name": "two\nlines"}, "/name"),
    ],
)
async def test_a_broken_field_is_named(senders: SenderService, brand_id: UUID, given: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as caught:
        await senders.create(brand_id, relay(**given))

    assert pointer in {violation.pointer for violation in caught.value.violations}


async def test_smtp_delivers_email_and_nothing_else(senders: SenderService, brand_id: UUID):
    with pytest.raises(Invalid, match="email"):
        await senders.create(brand_id, NewSender("texts", ChannelKind.SMS, "smtp", RELAY, "x"))


async def test_a_name_is_used_once_until_its_sender_is_deleted(senders: SenderService, brand_id: UUID):
    first = await senders.create(brand_id, relay())
    second = await senders.create(brand_id, relay("second"))

    with pytest.raises(Conflict, match="choose another name"):
        await senders.create(brand_id, relay())
    with pytest.raises(Conflict, match="choose another name"):
        await senders.update(brand_id, second.id, SenderPatch(name="relay"))
    await senders.delete(brand_id, first.id)
    renamed = await senders.update(brand_id, second.id, SenderPatch(name="relay"))

    assert renamed.name == "relay"


async def test_of_two_senders_that_take_one_name_at_once_one_gets_it(senders: SenderService, brand_id: UUID):
    made = [await senders.create(brand_id, relay(name)) for name in ("first", "second")]

    renamings = (senders.update(brand_id, sender.id, SenderPatch(name="relay")) for sender in made)
    outcomes = await asyncio.gather(*renamings, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {Sender, Conflict}


async def test_nothing_that_reaches_people_can_take_the_place_where_test_keys_lead(
    db: Database, senders: SenderService, brand_id: UUID
):
    sandboxes = [sender for sender in await senders.page(brand_id) if sender.channel is ChannelKind.EMAIL]
    real = await senders.create(brand_id, relay())

    with pytest.raises(Conflict, match="came with the brand"):
        await senders.update(brand_id, sandboxes[0].id, SenderPatch(name="moved away"))
    with pytest.raises(Conflict):
        await senders.update(brand_id, real.id, SenderPatch(name="sandbox-email"))
    with pytest.raises(Conflict):
        await senders.create(brand_id, relay("sandbox-email"))
    with pytest.raises(Conflict):
        await senders.delete(brand_id, sandboxes[0].id)
    unchanged = await senders.update(brand_id, sandboxes[0].id, SenderPatch(name="sandbox-email", pace_per_s=1.0))

    async with db.read() as conn:
        assert await sandbox_sender(conn, brand_id, ChannelKind.EMAIL) == unchanged


async def test_a_change_leaves_the_rest_as_it_was(
    db: Database, senders: SenderService, secrets: SecretBox, brand_id: UUID
):
    sender = await senders.create(brand_id, relay(pace_per_s=5.0))

    changed = await senders.update(brand_id, sender.id, SenderPatch(settings={**RELAY, "port": 465}))
    without_pace = await senders.update(brand_id, sender.id, SenderPatch(pace_per_s=None))

    assert (changed.settings["port"], changed.pace_per_s, changed.has_secret) == (465, 5.0, True)
    assert changed.updated_at > sender.updated_at
    assert without_pace.pace_per_s is None
    async with db.read() as conn:
        sealed = await store.sealed_secret(conn, brand_id, sender.id)
    assert sealed is not None
    assert secrets.open(sender.id, sealed) == "correct horse"


async def test_pausing_is_remembered_from_its_first_moment_and_changes_no_settings(
    senders: SenderService, brand_id: UUID
):
    sender = await senders.create(brand_id, relay())

    paused = await senders.pause(brand_id, sender.id)
    again = await senders.pause(brand_id, sender.id)
    resumed = await senders.resume(brand_id, sender.id)

    assert paused.paused_at is not None
    assert again.paused_at == paused.paused_at
    assert resumed.paused_at is None
    assert resumed.updated_at == sender.updated_at


async def test_what_is_switched_off_is_paused_and_cannot_be_resumed(senders: SenderService, brand_id: UUID):
    sender = await senders.create(brand_id, relay())

    off = await senders.update(brand_id, sender.id, SenderPatch(enabled=False))
    with pytest.raises(Conflict, match="enabled: true"):
        await senders.resume(brand_id, sender.id)
    on = await senders.update(brand_id, sender.id, SenderPatch(enabled=True))

    assert off.paused_at is not None
    assert on.paused_at is None


async def test_a_paused_sender_stays_paused_when_something_else_is_changed(senders: SenderService, brand_id: UUID):
    sender = await senders.create(brand_id, relay())
    paused = await senders.pause(brand_id, sender.id)

    changed = await senders.update(brand_id, sender.id, SenderPatch(name="renamed"))

    assert changed.paused_at == paused.paused_at


async def test_nobody_real_is_written_to_from_an_installation_without_a_public_address(
    db: Database, secrets: SecretBox, brand_id: UUID
):
    hidden = SenderService(db, secrets, Reach())

    with pytest.raises(NotReachable, match="--public-url"):
        await hidden.create(brand_id, relay())
    off = await hidden.create(brand_id, relay(enabled=False))
    with pytest.raises(NotReachable):
        await hidden.update(brand_id, off.id, SenderPatch(enabled=True))

    assert (await hidden.get(brand_id, off.id)).enabled is False


async def test_a_listener_is_paused_and_resumed_wherever_its_service_pulls(
    db: Database, secrets: SecretBox, brand_id: UUID
):
    hidden = SenderService(db, secrets, Reach())
    sender_id = (await World(db, brand_id, new_id()).partner()).sender_id

    paused = await hidden.pause(brand_id, sender_id)
    resumed = await hidden.resume(brand_id, sender_id)

    assert (paused.paused_at is None, resumed.paused_at) == (False, None)


async def test_a_sink_on_this_machine_is_allowed_where_it_is_known_to_be_one_and_only_while_it_is_there(
    db: Database, secrets: SecretBox, brand_id: UUID
):
    sink = {"host": "127.0.0.1", "envelope_from": "demo@example.net", "security": "none"}
    demo = SenderService(db, secrets, Reach(outbound=Outbound(allow_loopback=True)))
    serve = SenderService(db, secrets, Reach())

    sender = await demo.create(brand_id, relay(settings=sink, secret=""))
    with pytest.raises(NotReachable):
        await demo.update(brand_id, sender.id, SenderPatch(settings={**sink, "host": "smtp.example.net"}))
    with pytest.raises(NotReachable):
        await serve.create(brand_id, relay("relay", settings=sink, secret=""))


async def test_the_default_is_the_newest_sender_that_is_switched_on_paused_or_not(
    db: Database, senders: SenderService, brand_id: UUID
):
    async def default() -> Sender:
        async with db.read() as conn:
            return await default_sender(conn, brand_id, ChannelKind.EMAIL)

    before = await default()
    older = await senders.create(brand_id, relay("older"))
    newer = await senders.create(brand_id, relay("newer"))
    await senders.pause(brand_id, newer.id)
    with_both = await default()
    await senders.update(brand_id, newer.id, SenderPatch(enabled=False))
    with_one = await default()
    await senders.delete(brand_id, older.id)
    with_none = await default()

    assert before.name == "sandbox-email"
    assert [with_both.id, with_one.id, with_none.id] == [newer.id, older.id, before.id]


async def test_the_sandbox_of_test_keys_is_the_brands_own_and_cannot_be_deleted(
    db: Database, senders: SenderService, brand_id: UUID
):
    await senders.create(brand_id, NewSender("another sandbox", ChannelKind.SMS, "sandbox"))

    async with db.read() as conn:
        sandbox = await sandbox_sender(conn, brand_id, ChannelKind.SMS)
    with pytest.raises(Conflict):
        await senders.delete(brand_id, sandbox.id)

    assert sandbox.name == "sandbox-sms"


async def test_a_deleted_sender_is_gone_from_the_list_and_known_to_those_at_work(
    db: Database, senders: SenderService, brand_id: UUID
):
    sender = await senders.create(brand_id, relay())

    await senders.delete(brand_id, sender.id)

    with pytest.raises(NotFound):
        await senders.get(brand_id, sender.id)
    assert sender.id not in {one.id for one in await senders.page(brand_id)}
    async with db.read() as conn:
        at_work = await store.sender_at_work(conn, brand_id, sender.id)
        secret = await store.sealed_secret(conn, brand_id, sender.id)
    assert at_work is not None
    assert at_work.paused_at is not None
    assert secret is None


async def test_senders_of_another_brand_do_not_exist(senders: SenderService, brand_id: UUID, other_brand_id: UUID):
    sender = await senders.create(brand_id, relay())

    for attempt in (
        senders.get(other_brand_id, sender.id),
        senders.update(other_brand_id, sender.id, SenderPatch(name="mine")),
        senders.pause(other_brand_id, sender.id),
        senders.resume(other_brand_id, sender.id),
        senders.delete(other_brand_id, sender.id),
    ):
        with pytest.raises(NotFound):
            await attempt

    assert await senders.get(brand_id, sender.id) == sender
    assert sender.id not in {one.id for one in await senders.page(other_brand_id)}


async def test_the_list_goes_on_behind_the_last_one(senders: SenderService, brand_id: UUID):
    everything = await senders.page(brand_id, limit=200)

    first = await senders.page(brand_id, limit=4)
    rest = await senders.page(brand_id, after=first[-1].id, limit=200)

    assert [*first, *rest] == everything
