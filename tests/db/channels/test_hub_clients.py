import asyncio
from uuid import UUID

import pytest

from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import Narrowed
from stentor.accounts.passwords import Passwords
from stentor.channels.partners.attributes import pulled
from stentor.channels.partners.callers import HubCallers
from stentor.channels.partners.channels import PartnerChannelService
from stentor.channels.partners.clients import HubClientService
from stentor.channels.partners.model import ClientPatch
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32
PASSWORDS = Passwords(b"k" * 32)


@pytest.fixture
def clients(db: Database) -> HubClientService:
    return HubClientService(db, PASSWORDS, PEPPER)


@pytest.fixture
def callers(db: Database) -> HubCallers:
    return HubCallers(db, PASSWORDS, PEPPER)


@pytest.fixture
async def channels(db: Database, brand_id: UUID, other_brand_id: UUID) -> PartnerChannelService:
    made = PartnerChannelService(db)
    for brand, number in [(brand_id, 505), (brand_id, 506), (other_brand_id, 510)]:
        await made.create(brand, "Texts", ChannelKind.SMS, number=number)
    return made


@pytest.mark.usefixtures("channels")
async def test_a_client_calls_by_its_key_or_its_password_and_neither_is_stored_or_shown_again(
    clients: HubClientService, callers: HubCallers, db: Database, brand_id: UUID
):
    made = await clients.create(brand_id, "SMS house", "sms.house", {506: ["tier"], 505: ["email", "tier", "tier"]})

    by_key = await callers.authenticate_key(made.api_key)
    by_password = await callers.authenticate("sms.house", made.password)
    assert by_key is not None
    assert by_key == by_password
    assert (by_key.brand_id, by_key.client_id, by_key.channels) == (
        brand_id,
        made.client.id,
        {505: ("Email", "tier"), 506: ("tier",)},
    )
    assert await callers.caller(made.client.id, by_key.stamp) == by_key
    assert by_key.executes(505)
    assert not by_key.executes(510)

    await callers.flush()
    shown = await clients.get(brand_id, made.client.id)
    assert shown.last_used_at is not None
    told = f"{shown!r} {made!r} {by_key!r} {await AuditLog(db).page(brand_id, Narrowed())!r}"
    async with db.read() as conn:
        rows = await (await conn.execute("SELECT c::text FROM hub_client c")).fetchall()
    for secret in (made.password, made.api_key):
        assert secret not in told
        assert secret not in str(rows)


@pytest.mark.usefixtures("channels")
async def test_nobody_else_is_let_in(clients: HubClientService, callers: HubCallers, brand_id: UUID):
    made = await clients.create(brand_id, "SMS house", "sms", {505: []})

    assert await callers.authenticate("sms", "wrong") is None
    assert await callers.authenticate("SMS", made.password) is None
    assert await callers.authenticate("no\0body" + "x" * 300, made.password) is None
    assert await callers.authenticate("\ud800", made.password) is None
    assert await callers.authenticate("", "") is None
    assert await callers.authenticate_key(made.api_key[:-1] + "~") is None
    assert await callers.authenticate_key(made.password) is None
    assert await callers.authenticate_key("st_hub_" + "0" * 36) is None
    assert await callers.caller(made.client.id, b"another!") is None


@pytest.mark.usefixtures("channels")
async def test_what_is_rotated_revoked_or_taken_away_is_gone_within_a_second(
    clients: HubClientService, db: Database, brand_id: UUID
):
    elsewhere = HubCallers(db, PASSWORDS, PEPPER)
    first = await clients.create(brand_id, "SMS house", "sms", {505: ["Email"], 506: []})
    caller = await elsewhere.authenticate_key(first.api_key)
    assert caller is not None
    await elsewhere.caller(caller.client_id, caller.stamp)

    second = await clients.rotate(brand_id, first.client.id)

    async def old_ones_are_dead() -> bool:
        by_key = await elsewhere.authenticate_key(first.api_key)
        return by_key is None and await elsewhere.caller(caller.client_id, caller.stamp) is None

    async with asyncio.timeout(1):
        await eventually(old_ones_are_dead)
    assert await elsewhere.authenticate("sms", first.password) is None
    assert await elsewhere.authenticate("sms", second.password) is not None

    await clients.update(brand_id, first.client.id, ClientPatch(channels={506: ("tier",)}))

    async def channels_are_new() -> bool:
        found = await elsewhere.authenticate_key(second.api_key)
        return found is not None and found.channels == {506: ("tier",)}

    async with asyncio.timeout(1):
        await eventually(channels_are_new)

    await clients.revoke(brand_id, first.client.id)
    await clients.revoke(brand_id, first.client.id)

    async def nothing_opens() -> bool:
        return await elsewhere.authenticate_key(second.api_key) is None

    async with asyncio.timeout(1):
        await eventually(nothing_opens)
    assert await elsewhere.authenticate("sms", second.password) is None
    assert await clients.page(brand_id) == []
    assert [one.revoked_at is None for one in await clients.page(brand_id, is_revoked_too=True)] == [False]
    with pytest.raises(Conflict, match="revoked"):
        await clients.rotate(brand_id, first.client.id)


@pytest.mark.usefixtures("channels")
async def test_what_a_client_may_change_is_granted_by_itself(
    clients: HubClientService, callers: HubCallers, brand_id: UUID
):
    made = await clients.create(
        brand_id, "SMS house", "sms", {505: ["Phone", "tier"], 506: []}, writes={505: ["score"]}
    )
    reading = await clients.create(brand_id, "Reads", "reads", {505: ["tier"]})

    async def granted(change: ClientPatch) -> dict[int, tuple[str, ...]]:
        return (await clients.update(brand_id, made.client.id, change)).writes

    may_change = [await callers.authenticate_key(each.api_key) for each in (made, reading)]
    assert [each.may_write for each in may_change if each is not None] == [{"score"}, frozenset()]
    assert await granted(ClientPatch(channels={505: ("tier",), 506: ()})) == {505: ("score",), 506: ()}
    assert await granted(ClientPatch(writes={506: ("tier",)})) == {505: ("score",), 506: ("tier",)}
    assert await granted(ClientPatch(channels={505: ()})) == {505: ("score",)}
    for refused in ({505: ("phone",)}, {506: ("tier",)}, {505: ("a;b",)}):
        with pytest.raises(Invalid):
            await granted(ClientPatch(writes=refused))


async def test_what_no_client_can_have_is_refused(
    clients: HubClientService, channels: PartnerChannelService, brand_id: UUID, other_brand_id: UUID
):
    made = await clients.create(brand_id, "First", "taken", {505: ["Phone"]})

    for username in ("", "with blank", "-first", "ü", "x" * 101):
        with pytest.raises(Invalid):
            await clients.create(brand_id, "No", username, {})
    with pytest.raises(Conflict, match="taken"):
        await clients.create(other_brand_id, "Second", "taken", {})
    with pytest.raises(NotFound, match="510"):
        await clients.create(brand_id, "Other brand's channel", "second", {505: [], 510: []})
    for names in (["a;b"], [""], ["x" * 201], ["two\nlines"], [f"a{n}" for n in range(201)]):
        with pytest.raises(Invalid):
            await clients.create(brand_id, "No", "third", {505: names})
    for number in (0, 10**30):
        with pytest.raises(Invalid):
            await clients.create(brand_id, "No", "fourth", {number: []})
    with pytest.raises(NotFound):
        await clients.update(other_brand_id, made.client.id, ClientPatch(name="Mine"))
    with pytest.raises(NotFound):
        await clients.rotate(other_brand_id, made.client.id)
    with pytest.raises(NotFound):
        await clients.revoke(other_brand_id, made.client.id)
    assert [one.username for one in await clients.page(brand_id)] == ["taken"]

    await channels.delete(brand_id, 505)
    assert (await clients.get(brand_id, made.client.id)).channels == {}


def test_only_what_was_granted_is_pulled_and_fields_go_by_any_casing():
    granted = ("Email", "tier", "Tier")

    assert pulled(granted, ["TIER".title(), "EMAIL", "tier", "email"]) == ("Tier", "Email", "tier", "Email")
    for refused in ("Phone", "TIER", "", "x" * 5_000):
        with pytest.raises(Invalid, match="May be pulled: Email, tier, Tier"):
            pulled(granted, ["tier", refused])
