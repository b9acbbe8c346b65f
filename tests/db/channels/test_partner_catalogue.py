from uuid import UUID

import pytest

from stentor.accounts.audit import AuditLog
from stentor.accounts.audit_model import Narrowed
from stentor.channels.model import NewSender, SenderPatch
from stentor.channels.partners.channels import PartnerChannelService, channel_of_sender
from stentor.channels.partners.content import PartnerContentService, find_template
from stentor.channels.partners.model import (
    CHANNELS_EVER_MAX,
    CHANNELS_MAX,
    TEMPLATES_EVER_MAX,
    AppKey,
    NewApp,
    NewTemplate,
    TemplateKey,
)
from stentor.channels.public_address import Reach
from stentor.channels.secrets import SecretBox
from stentor.channels.service import SenderService, default_sender
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Invalid, NotFound, QuotaExceeded

pytestmark = pytest.mark.anyio

SMS, PUSH = ChannelKind.SMS, ChannelKind.PUSH


@pytest.fixture
def channels(db: Database) -> PartnerChannelService:
    return PartnerChannelService(db)


@pytest.fixture
def content(db: Database) -> PartnerContentService:
    return PartnerContentService(db)


@pytest.fixture
def senders(db: Database) -> SenderService:
    return SenderService(db, SecretBox(bytes(32)), Reach(public_url="https://stentor.example.net"))


async def test_a_channel_has_the_number_that_was_given_or_the_next_one_above_500_in_its_own_brand(
    channels: PartnerChannelService, brand_id: UUID, other_brand_id: UUID
):
    made = [
        await channels.create(brand_id, name, SMS, number=number)
        for name, number in [("SMS house", 15), ("Calls", None), ("Texts", 505), ("More texts", None)]
    ]
    elsewhere = await channels.create(other_brand_id, "Theirs", SMS, number=505)

    assert [one.number for one in made] == [15, 501, 505, 506]
    assert [one.number for one in await channels.page(brand_id)] == [15, 501, 505, 506]
    assert [one.number for one in await channels.page(brand_id, after=15, limit=2)] == [501, 505]
    assert elsewhere.number == 505
    with pytest.raises(Conflict, match="505"):
        await channels.create(brand_id, "Again", SMS, number=505)
    with pytest.raises(NotFound):
        await channels.get(other_brand_id, 15)


async def test_a_channel_without_a_name_or_with_a_number_that_is_none_is_refused(
    channels: PartnerChannelService, brand_id: UUID
):
    for name, number in [("", 505), ("x" * 201, 505), ("ok", 0), ("ok", -1), ("ok", 2**31)]:
        with pytest.raises(Invalid):
            await channels.create(brand_id, name, SMS, number=number)


async def test_a_brand_has_at_most_two_hundred_channels(channels: PartnerChannelService, db: Database, brand_id: UUID):
    first = await channels.create(brand_id, "First", SMS)
    async with db.transaction() as conn:
        # Each has a sender of its own, as made by hand here.
        await conn.execute(
            "WITH made AS (INSERT INTO sender (id, brand_id, name, channel, kind, enabled, created_at, updated_at) "
            "SELECT gen_random_uuid(), %(brand)s, 'filler ' || n, 2, 'listener', true, now(), now() "
            "FROM generate_series(2, %(many)s) AS n RETURNING id) "
            "INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at) "
            "SELECT %(brand)s, 1000 + row_number() OVER (), 'filler', 2, id, now(), now() FROM made",
            {"brand": brand_id, "many": CHANNELS_MAX},
        )

    with pytest.raises(QuotaExceeded, match="200 partner channels"):
        await channels.create(brand_id, "One too many", SMS)
    await channels.delete(brand_id, first.number)
    assert (await channels.create(brand_id, "Instead", SMS)).number == 1000 + CHANNELS_MAX
    async with db.transaction() as conn:
        await conn.execute(
            "WITH made AS (INSERT INTO sender (id, brand_id, name, channel, kind, enabled, created_at, updated_at) "
            "SELECT gen_random_uuid(), %(brand)s, 'gone ' || n, 2, 'listener', true, now(), now() "
            "FROM generate_series(202, %(many)s) AS n RETURNING id) "
            "INSERT INTO partner_channel (brand_id, number, name, channel, sender_id, created_at, updated_at, deleted_at) "
            "SELECT %(brand)s, 10000 + row_number() OVER (), 'gone', 2, id, now(), now(), now() FROM made",
            {"brand": brand_id, "many": CHANNELS_EVER_MAX},
        )
        await conn.execute("UPDATE partner_channel SET deleted_at = now() WHERE number = 1003")
    # Deleting makes room for what comes back, and not for ever more numbers.
    with pytest.raises(QuotaExceeded, match="1,000 numbers"):
        await channels.create(brand_id, "Ever more", SMS)
    assert (await channels.create(brand_id, "Back", SMS, number=1003)).number == 1003


async def test_a_channels_sender_is_shown_paused_and_resumed_but_made_changed_and_deleted_with_it_alone(
    channels: PartnerChannelService, senders: SenderService, db: Database, brand_id: UUID
):
    made = await channels.create(brand_id, "Texts", SMS, number=505)

    sender = await senders.get(brand_id, made.sender_id)
    assert (sender.kind, sender.name, sender.enabled, sender.channel) == ("listener", "partner-channel-505", True, SMS)
    assert (await senders.pause(brand_id, sender.id)).paused_at is not None
    assert (await senders.resume(brand_id, sender.id)).paused_at is None
    with pytest.raises(Conflict, match="partner channel"):
        await senders.update(brand_id, sender.id, SenderPatch(name="mine"))
    with pytest.raises(Conflict, match="partner channel"):
        await senders.delete(brand_id, sender.id)
    with pytest.raises(Invalid, match="partner channel"):
        await senders.create(brand_id, NewSender(name="x", channel=SMS, kind="listener"))
    async with db.read() as conn:
        assert (await default_sender(conn, brand_id, SMS)).kind == "sandbox"
        assert await channel_of_sender(conn, brand_id, sender.id) == made


async def test_a_deleted_number_comes_back_as_what_it_was_and_as_nothing_else(
    channels: PartnerChannelService,
    content: PartnerContentService,
    senders: SenderService,
    brand_id: UUID,
):
    made = await channels.create(brand_id, "Texts", SMS, number=505)
    await content.add_templates(brand_id, 505, [NewTemplate(7, "Welcome")])
    await content.add_apps(brand_id, 505, [NewApp("a1", "Bingo")])
    await channels.delete(brand_id, 505)

    with pytest.raises(NotFound):
        await channels.get(brand_id, 505)
    with pytest.raises(NotFound):
        await senders.get(brand_id, made.sender_id)
    with pytest.raises(Conflict, match="sms"):
        await channels.create(brand_id, "Pushes", PUSH, number=505)
    again = await channels.create(brand_id, "Texts again", SMS, number=505)
    assert (again.sender_id, again.name) == (made.sender_id, "Texts again")
    assert (await senders.get(brand_id, made.sender_id)).enabled
    assert await content.all_templates(brand_id, 505) == []
    assert await content.apps(brand_id, 505) == []


async def test_templates_are_added_changed_and_deleted_across_channels_and_what_is_unknown_is_no_error(
    channels: PartnerChannelService, content: PartnerContentService, db: Database, brand_id: UUID
):
    for number in (505, 506):
        await channels.create(brand_id, "Texts", SMS, number=number)
    await content.add_templates(brand_id, 505, [NewTemplate(7, " Welcome "), NewTemplate(0, "Zero", "a1")])
    await content.add_templates(brand_id, 506, [NewTemplate(7, "Elsewhere")])
    first = (await content.all_templates(brand_id, 505))[1]

    await content.add_templates(brand_id, 505, [NewTemplate(7, "No"), NewTemplate(8, "New"), NewTemplate(7, "Hi", "")])

    held = await content.all_templates(brand_id, 505)
    assert [(one.number, one.name, one.app_id) for one in held] == [
        (0, "Zero", "a1"),
        (7, "Hi", None),
        (8, "New", None),
    ]
    assert held[1].id == first.id
    assert [one.number for one in await content.templates(brand_id, 505, after=0, limit=1)] == [7]
    assert (await content.template(brand_id, 505, 7)).name == "Hi"

    gone = [TemplateKey(506, 7), TemplateKey(505, 7), TemplateKey(505, 99), TemplateKey(999, 1), TemplateKey(505, 7)]
    await content.delete_templates(brand_id, gone)

    assert [one.number for one in await content.all_templates(brand_id, 505)] == [0, 8]
    assert await content.all_templates(brand_id, 506) == []
    async with db.read() as conn:
        assert await find_template(conn, brand_id, first.id) is None
    await content.add_templates(brand_id, 505, [NewTemplate(7, "Back")])
    async with db.read() as conn:
        back = await find_template(conn, brand_id, first.id)
    assert back is not None
    assert back.name == "Back"


async def test_a_call_that_breaks_a_rule_changes_nothing(
    channels: PartnerChannelService, content: PartnerContentService, db: Database, brand_id: UUID
):
    await channels.create(brand_id, "Texts", SMS, number=505)
    fine = NewTemplate(1, "Fine")
    for said in (
        [fine, NewTemplate(2, "")],
        [fine, NewTemplate(2, "x" * 501)],
        [fine, NewTemplate(-1, "Below")],
        [fine, NewTemplate(2**31, "Above")],
        [fine, NewTemplate(2, "With\0zero")],
        [fine, NewTemplate(2, "App", "x" * 201)],
        [NewTemplate(number, "Many") for number in range(101)],
    ):
        with pytest.raises(Invalid):
            await content.add_templates(brand_id, 505, said)
    for apps in ([NewApp("a", "Fine"), NewApp("", "None")], [NewApp(str(n), "Many") for n in range(101)]):
        with pytest.raises(Invalid):
            await content.add_apps(brand_id, 505, apps)
    with pytest.raises(NotFound, match="506"):
        await content.add_templates(brand_id, 506, [fine])
    with pytest.raises(Invalid):
        await content.delete_templates(brand_id, [TemplateKey(505, n) for n in range(101)])
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO partner_template (brand_id, channel_number, number, id, name, created_at, updated_at) "
            "SELECT %s, 505, 1000 + n, gen_random_uuid(), 'filler', now(), now() FROM generate_series(1, 9999) AS n",
            (brand_id,),
        )

    with pytest.raises(QuotaExceeded, match="10,000 templates"):
        await content.add_templates(brand_id, 505, [fine, NewTemplate(2, "One too many")])
    held = await content.all_templates(brand_id, 505)
    assert {one.name for one in held} == {"filler"}
    async with db.transaction() as conn:
        await conn.execute("UPDATE partner_template SET deleted_at = now() WHERE number > 1100")
        await conn.execute(
            "INSERT INTO partner_template (brand_id, channel_number, number, id, name, created_at, updated_at, deleted_at) "
            "SELECT %s, 505, 20000 + n, gen_random_uuid(), 'gone', now(), now(), now() FROM generate_series(10001, %s) AS n",
            (brand_id, TEMPLATES_EVER_MAX),
        )
    await content.add_templates(brand_id, 505, [fine, NewTemplate(1101, "Back")])
    with pytest.raises(QuotaExceeded, match="50,000 numbers"):
        await content.add_templates(brand_id, 505, [NewTemplate(2, "One more")])
    assert await content.apps(brand_id, 505) == []


async def test_apps_are_added_renamed_and_deleted_in_the_order_of_their_ids(
    channels: PartnerChannelService, content: PartnerContentService, brand_id: UUID, other_brand_id: UUID
):
    for brand in (brand_id, other_brand_id):
        await channels.create(brand, "Push", PUSH, number=506)
        await content.add_apps(brand, 506, [NewApp("b", "Poker"), NewApp("A", "Bingo")])
    await content.add_apps(brand_id, 506, [NewApp("b", "Poker 2"), NewApp("c", "New")])

    assert [(one.app_id, one.name) for one in await content.apps(brand_id, 506)] == [
        ("A", "Bingo"),
        ("b", "Poker 2"),
        ("c", "New"),
    ]
    await content.delete_apps(brand_id, [AppKey(506, "b"), AppKey(506, "nobody's"), AppKey(1, "A")])
    assert [one.app_id for one in await content.apps(brand_id, 506)] == ["A", "c"]
    assert [one.app_id for one in await content.apps(other_brand_id, 506)] == ["A", "b"]


async def test_what_a_service_synced_is_audited_once_and_saying_the_same_again_is_no_change(
    channels: PartnerChannelService, content: PartnerContentService, db: Database, brand_id: UUID
):
    await channels.create(brand_id, "Texts", SMS, number=505)
    for _ in range(2):
        await content.add_templates(brand_id, 505, [NewTemplate(7, "Welcome")])
    await content.delete_templates(brand_id, [TemplateKey(505, 7), TemplateKey(505, 8)])
    await content.delete_templates(brand_id, [TemplateKey(505, 7)])

    entries = await AuditLog(db).page(brand_id, Narrowed())

    assert [entry.action for entry in entries[:3]] == [
        "partner_templates.deleted",
        "partner_templates.added",
        "partner_channel.created",
    ]
    assert entries[1].after == {"templates": [{"number": 7, "name": "Welcome", "app_id": None}]}
