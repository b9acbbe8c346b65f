"""Notices: from what happened to a listener's yes."""

import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest

import pytest

from listener_world import Hub, Mail, delivering, later, said, url_of
from stentor import failpoints
from stentor.backups.fence import resume
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Invalid, NotFound
from stentor.integrations.listeners.days import DayTeller
from stentor.integrations.listeners.delivery import AT_ONCE_MAX, BRAND_AT_ONCE_MAX, RETRY_AFTER_S, forget_notices
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import BACKLOG_MAX, Event
from stentor.testing.http_script import Fault, Request
from stentor.testing.http_sink import HttpProvider

pytestmark = pytest.mark.anyio

DAY_S = 86_400


@pytest.fixture
async def hub(db: Database) -> Hub:
    return await Hub.made(db)


@pytest.mark.fact("F4.4.1", "F4.4.7", "F4.8.C1", "F4.8.C2")
async def test_a_publication_is_told_once_to_each_listener_of_it_with_the_documented_keys_alone(hub: Hub):
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far, "/one"))
        await hub.listen(1, url_of(far, "/one-of-505"), 505)
        await hub.listen(13, url_of(far, "/all?brand=b%20c&EventTypeID=13"))
        await hub.listen(13, url_of(far, "/of-506"), 506)
        await hub.published(324, [505, 506])
        at = f"{datetime.now(UTC):%Y-%m-%d %H:}"

        assert await hub.teller.tell()
        assert not await hub.teller.tell()
        assert await mail.all() == 5

        heard = [(request.path, list(said(request)), said(request)) for request in far.record.requests]

    run = {"EventTypeID": 1, "CampaignID": 324}
    channel = {"EventTypeID": 13, "CampaignID": 324}
    keys = ["EventTypeID", "TimeStamp", "CampaignID"]
    assert all(told.pop("TimeStamp").startswith(at) for _, _, told in heard)
    assert sorted(heard, key=str) == [
        ("/all?brand=b%20c&EventTypeID=13", [*keys, "ChannelID"], {**channel, "ChannelID": 505}),
        ("/all?brand=b%20c&EventTypeID=13", [*keys, "ChannelID"], {**channel, "ChannelID": 506}),
        ("/of-506", [*keys, "ChannelID"], {**channel, "ChannelID": 506}),
        ("/one", keys, run),
        ("/one-of-505", keys, run),
    ]
    assert {request.method for request in far.record.requests} == {"POST"}
    assert {request.headers["content-type"] for request in far.record.requests} == {"application/json"}


@pytest.mark.fact("F4.8.C2")
async def test_registering_again_replaces_and_other_clients_keep_theirs(hub: Hub):
    other = await hub.client("caller", [506])
    first = await hub.listen(13, "http://127.0.0.1:9001/a")
    await hub.listeners.register(hub.brand_id, other, 13, "http://127.0.0.1:9001/theirs")

    second = await hub.listen(13, "http://127.0.0.1:9001/b")

    assert (first.id, second.url) == (second.id, "http://127.0.0.1:9001/b")
    assert [one.url for one in await hub.listeners.registered(hub.brand_id, other)] == ["http://127.0.0.1:9001/theirs"]
    assert not await hub.listeners.unregister(hub.brand_id, other, 13, 506)
    assert await hub.listeners.unregister(hub.brand_id, hub.client_id, 13)
    assert await hub.listeners.registered(hub.brand_id, hub.client_id) == []
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listeners.register(hub.brand_id, other, 13, url_of(far))
        await hub.published(1, [505])
        await hub.teller.tell()

        # Of a run that it has no part in, a client hears nothing.
        assert await mail.all() == 0


@pytest.mark.parametrize(
    ("event", "url", "channel"),
    [
        (14, "https://hooks.example.org/", None),
        (0, "https://hooks.example.org/", None),
        (5, "https://hooks.example.org/", 505),
        (13, "https://hooks.example.org/", 999),
        (13, "ftp://hooks.example.org/", None),
        (13, "https://user:word@hooks.example.org/", None),
        (13, "https://hooks.example.org:22/", None),
        (13, "http://hooks.example.org/", None),
        (13, "https://169.254.169.254/latest", None),
        (13, "https://2130706433/", None),
        (13, "https://hooks.example.org/a\r\nX: b", None),
        (13, "https%3A%2F%2Fhooks.example.org%0d%0a", None),
        (13, "%2Fetc%2Fpasswd", None),
        (13, "https://hooks.example.org/" + "x" * 2_000, None),
        (13, "", None),
    ],
)
@pytest.mark.fact("F4.4.5", "F4.4.8")
@pytest.mark.fault("S3")
async def test_what_nothing_may_be_posted_to_is_refused_and_nothing_is_kept(
    hub: Hub, event: int, url: str, channel: int | None
):
    with pytest.raises(Invalid):
        await hub.listen(event, url, channel)

    assert await hub.listeners.page(hub.brand_id) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https%3A%2F%2FH.example%2Fx%3Fa%3D1%252B2", "https://h.example/x?a=1%2B2"),
        ("https%3a%2f%2fh.example%2f", "https://h.example/"),
        ("HTTPS://H.Example/X?Brand=%7Eb&EventTypeID=13", "https://h.example/X?Brand=%7Eb&EventTypeID=13"),
        ("https://h.example/x?to=https%3A%2F%2Fy", "https://h.example/x?to=https%3A%2F%2Fy"),
    ],
)
async def test_a_url_may_come_percent_encoded_and_its_query_stays_byte_for_byte(hub: Hub, sent: str, kept: str):
    assert (await hub.listen(2, sent)).url == kept


async def test_a_query_goes_out_as_it_was_registered(hub: Hub):
    path = "/x?Brand=%7Eb&a=%2f&b=1+2&c"
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far, path))
        await hub.published(1)
        await hub.teller.tell()
        await mail.all()

    assert [request.path for request in far.record.requests] == [path]


async def test_each_try_has_the_same_bytes_and_id_and_signatures_by_the_clients_secret(hub: Hub):
    async with HttpProvider([Fault(status=500, body="not today", times=1)]) as far, delivering(hub.db) as mail:
        listener = await hub.listen(1, url_of(far))
        await hub.published(7)
        await hub.teller.tell()
        await mail.all()
        failing = await hub.listeners.get(hub.brand_id, listener.id)
        (waiting,) = await hub.listeners.notices(hub.brand_id, listener.id)
        assert await mail.all() == 0
        later(hub.db, seconds=RETRY_AFTER_S[0] * 1.2)
        old = await hub.listeners.signing_secret(hub.brand_id, hub.client_id)
        new = await hub.listeners.rotate_signing_secret(hub.brand_id, hub.client_id)
        await mail.all()
        first, second = far.record.requests

    assert (failing.answer, failing.failures, failing.waiting) == ("500 not today", 1, 1)
    assert (waiting.state, waiting.status, waiting.tries) == ("waiting", 500, 1)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert re.fullmatch(r"msg_[0-9a-f]{32}", waiting.webhook_id)
    assert waiting.webhook_id == first.headers["webhook-id"]
    assert first.headers["stentor-event"] == "campaign_processed"
    assert first.headers["webhook-signature"] == signature(old, first)
    assert second.headers["webhook-signature"] == f"{signature(new, second)} {signature(old, second)}"
    (delivered,) = await hub.listeners.notices(hub.brand_id, listener.id)
    well = await hub.listeners.get(hub.brand_id, listener.id)
    assert (delivered.state, delivered.due_at, well.failing_since, well.failures) == ("delivered", None, None, 0)


def signature(secret: str, request: Request) -> str:
    headers, body = request.headers, request.body
    said_of_it = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + b64encode(digest(b64decode(secret.removeprefix("whsec_")), said_of_it, sha256)).decode()


@pytest.mark.fault("F23")
async def test_a_listener_that_fails_for_three_days_is_switched_off_its_owners_are_told_and_all_is_replayed(hub: Hub):
    user_id = await an_owner(hub)
    async with HttpProvider([Fault(status=500)]) as far, delivering(hub.db) as mail:
        listener = await hub.listen(13, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        tries = await mail.all()
        for wait_s in RETRY_AFTER_S:
            later(hub.db, seconds=wait_s * 1.11)
            tries += await mail.all()
        off = await hub.listeners.get(hub.brand_id, listener.id)
        await hub.published(2)
        await hub.teller.tell()
        states = [one.state for one in await hub.listeners.notices(hub.brand_id, listener.id)]
        with pytest.raises(Conflict, match="switched off"):
            await hub.listeners.replay(hub.brand_id, listener.id, since=EVER[0], until=EVER[1])
        far.record.set_faults([])
        await hub.listeners.update(hub.brand_id, listener.id, enabled=True)
        assert await mail.all() == 0

        replayed = await hub.listeners.replay(hub.brand_id, listener.id, since=EVER[0], until=EVER[1])

        assert (tries, replayed, await mail.all()) == (10, 2, 2)
        assert await hub.listeners.replay(hub.brand_id, listener.id, since=EVER[0], until=EVER[1]) == 0
        bodies = {said(request)["CampaignID"] for request in list(far.record.requests)[-2:]}

    assert off.disabled_at is not None
    assert "3 days" in off.disabled_why
    assert states == ["missed", "given_up"]
    assert bodies == {1, 2}
    assert await hub.rows("SELECT kind, about, user_id FROM account_letter") == [("listener", listener.id, user_id)]
    assert await hub.rows("SELECT action FROM audit_entry WHERE action = 'listener.disabled'") == [
        ("listener.disabled",)
    ]


EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


async def an_owner(hub: Hub) -> object:
    user_id = new_id()
    ((organisation_id,),) = await hub.rows("SELECT organisation_id FROM brand WHERE id = %s", hub.brand_id)
    async with hub.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO account_user (id, email, email_key, name, created_at, updated_at)"
            " VALUES (%s, 'o@example.org', 'o@example.org', 'O', now(), now())",
            [user_id],
        )
        await conn.execute(
            "INSERT INTO membership (id, user_id, organisation_id, role, created_at) VALUES (%s, %s, %s, 'owner', now())",
            [new_id(), user_id, organisation_id],
        )
    return user_id


async def test_410_switches_off_at_once_and_a_new_registration_on_again(hub: Hub):
    async with HttpProvider([Fault(status=410, times=1)]) as far, delivering(hub.db, sends_mail=False) as mail:
        await hub.listen(1, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        await mail.all()
        (gone,) = await hub.listeners.registered(hub.brand_id, hub.client_id)

        again = await hub.listen(1, url_of(far))

    assert gone.disabled_at is not None
    assert again.disabled_at is None
    assert await hub.rows("SELECT count(*) FROM account_letter") == [(0,)]


async def test_retry_after_is_heeded_by_all_that_waits_for_the_listener(hub: Hub):
    busy = Fault(status=429, headers={"Retry-After": "600"}, times=1)
    async with HttpProvider([busy]) as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        await mail.all()
        await hub.published(2)
        await hub.teller.tell()
        later(hub.db, seconds=590)
        early = await mail.all()
        later(hub.db, seconds=15)

        assert (early, await mail.all(), len(far.record.requests)) == (0, 2, 3)


async def test_redirects_are_not_followed(hub: Hub):
    async with HttpProvider() as elsewhere:
        away = Fault(status=302, headers={"Location": url_of(elsewhere)})
        async with HttpProvider([away]) as far, delivering(hub.db) as mail:
            listener = await hub.listen(1, url_of(far))
            await hub.published(1)
            await hub.teller.tell()
            await mail.all()

        assert not elsewhere.record.requests
    assert (await hub.listeners.notices(hub.brand_id, listener.id))[0].status == 302


async def test_who_hangs_keeps_itself_waiting_and_nobody_else(hub: Hub):
    async with HttpProvider([Fault(held=True)]) as hanging, HttpProvider() as well, delivering(hub.db) as mail:
        await hub.listen(1, url_of(hanging), 505)
        await hub.listen(1, url_of(well), 506)
        for number in range(1, 11):
            await hub.published(number, [505, 506])
        await hub.teller.tell()
        claimed = await mail.delivery.claim(100)
        again = await mail.delivery.claim(100)

        by_url = [notice.url for notice in claimed]
        assert by_url.count(url_of(hanging)) == by_url.count(url_of(well)) == AT_ONCE_MAX
        assert again == []
        for notice in claimed:
            if notice.url == url_of(well):
                await mail.delivery.deliver(notice)
        assert {notice.url for notice in await mail.delivery.claim(100)} == {url_of(well)}


async def waiting(hub: Hub, *, each: int = 1) -> None:
    """That many notices for each of the brand's listeners."""
    async with hub.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO notice (id, brand_id, listener_id, event, body, made_at, due_at)"
            " SELECT gen_random_uuid(), brand_id, id, event, '{}', now(), now() FROM listener, generate_series(1, %s)"
            " WHERE brand_id = %s",
            [each, hub.brand_id],
        )


async def test_places_go_round_and_no_brand_has_them_all(hub: Hub):
    theirs = await Hub.made(hub.db, "Another brand")
    events = [Event.CAMPAIGN_PROCESSED, Event.CAMPAIGN_CANCELLED, Event.TRIGGER_MET, Event.CHANNEL_EXECUTED]
    for place in range(3):
        client = await hub.client(f"caller-{place}", [505, 506])
        for channel in (None, 505, 506):
            for event in events:
                await hub.listeners.put(hub.brand_id, client, event, "http://127.0.0.1:9001/", channel)
    await theirs.listen(1, "http://127.0.0.1:9002/")
    await waiting(hub, each=AT_ONCE_MAX)
    await waiting(theirs)
    async with delivering(hub.db) as mail:
        rounds = [await mail.delivery.claim(12) for _ in range(3)]
        rest = await mail.delivery.claim(100)
        none_left = await mail.delivery.claim(100)

    # Each listener has its turn before one has two.
    assert len({notice.listener_id for round_ in rounds for notice in round_}) == 36
    claimed = [notice for round_ in (*rounds, rest) for notice in round_]
    assert sum(notice.brand_id == hub.brand_id for notice in claimed) == BRAND_AT_ONCE_MAX
    assert [notice.brand_id for notice in claimed].count(theirs.brand_id) == 1
    assert none_left == []


async def test_one_that_goes_on_failing_is_asked_ever_less_often_whatever_waits_for_it(hub: Hub):
    async with HttpProvider([Fault(status=500)]) as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far))
        await waiting(hub, each=12)
        asked: list[int] = [await mail.all()]
        for _ in range(30):
            later(hub.db, seconds=5.1)
            asked.append(await mail.all())
        (failing,) = await hub.listeners.registered(hub.brand_id, hub.client_id)

        assert failing.failures == sum(asked)
        # Four went out before it was known; then it rests for 5, 5, 10, 20, 40 and 80 s.
        assert asked[0] == AT_ONCE_MAX
        assert 4 <= sum(asked[1:]) <= 6
        far.record.set_faults([])
        later(hub.db, minutes=6)
        assert await mail.all() > 0
        assert (await hub.listeners.get(hub.brand_id, failing.id)).failures == 0


async def test_what_a_killed_process_had_is_tried_again_when_its_lease_is_over(hub: Hub):
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        (lost,) = await mail.delivery.claim(100)
        assert await mail.all() == 0
        later(hub.db, seconds=61)
        assert await mail.all() == 1
        # The one that was lost comes to himself: his yes changes nothing of what is known by now.
        await mail.delivery.deliver(lost)

    assert await hub.rows("SELECT tries, outcome FROM notice") == [(2, "delivered")]


async def test_a_restored_copy_notifies_nobody_until_it_is_let_go(hub: Hub):
    async with HttpProvider() as far, delivering(hub.db) as mail:
        listener = await hub.listen(1, url_of(far))
        days = DayTeller(hub.db)
        for event in (2, 3):
            await hub.listeners.register(hub.brand_id, await hub.client("closer", [506]), event, url_of(far))
        await hub.published(1)
        await hub.teller.tell()
        # Registered long ago, so that yesterday's close would be told too.
        await hub.rows("UPDATE listener SET created_at = now() - interval '3 days' RETURNING id")
        await hub.published(2)
        async with hub.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO installation (secret_fingerprint, created_at, backup_at, restored_at, paused_at)"
                " VALUES (decode(repeat('00', 32), 'hex'), now(), now(), now(), now())"
            )

        assert not await hub.teller.tell()
        assert await mail.all() == 0
        await resume(hub.db, without_erasures=True, without_revocations=True)
        assert not await hub.teller.tell()
        assert [await days.tell_processed(), await days.close_days()] == [0, 0]
        await hub.published(3)
        await hub.teller.tell()
        await mail.all()

        # Nor of days: of those before it was let go the installation that was copied told.
        assert [await days.tell_processed(), await days.close_days()] == [1, 0]
        later(hub.db, days=1)
        assert await days.close_days() == 1
        # What waited when the backup was taken was, or will be, told from there; what was a notice can be replayed here.
        assert [said(request)["CampaignID"] for request in far.record.requests] == [3]
        assert await hub.listeners.replay(hub.brand_id, listener.id, since=EVER[0], until=EVER[1]) == 1


@pytest.mark.fact("F4.4.4")
async def test_a_cancellation_is_told_after_its_publication_and_of_no_run_that_was_not_told(hub: Hub):
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(4, url_of(far))
        await hub.happened(await hub.execution("cancelled"), "cancelled")
        execution_id = await hub.published(9)
        await hub.happened(execution_id, "cancelled")
        while await hub.teller.tell():
            pass
        await mail.all()

        (told,) = [said(request) for request in far.record.requests]
        assert list(told) == ["EventTypeID", "TimeStamp", "CampaignID"]
        assert (told["EventTypeID"], told["CampaignID"]) == (4, 9)


@pytest.mark.fact("F4.4.2", "F4.4.3")
async def test_a_day_is_told_when_nothing_more_is_to_come_and_when_it_is_over(hub: Hub):
    days = DayTeller(hub.db)
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(2, url_of(far))
        await hub.listen(3, url_of(far))
        assert (await days.tell_processed(), await days.close_days()) == (0, 0)
        await hub.published(1)
        # Told by the outbox first: until then more is to come.
        assert await days.tell_processed() == 0
        await hub.teller.tell()
        execution_id = await hub.execution("scheduled")
        assert await days.tell_processed() == 0
        async with hub.db.transaction() as conn:
            await conn.execute("UPDATE execution SET state = 'cancelled' WHERE id = %s", [execution_id])
        assert (await days.tell_processed(), await days.tell_processed()) == (1, 0)
        later(hub.db, days=1)
        assert (await days.close_days(), await days.close_days()) == (1, 0)
        await mail.all()

        told = [said(request) for request in far.record.requests]
    assert [list(each) for each in told] == [["EventTypeID", "TimeStamp"]] * 2
    assert {each["EventTypeID"] for each in told} == {2, 3}


async def test_a_day_waits_for_what_is_to_be_cleared_and_for_no_other_brand(hub: Hub):
    days = DayTeller(hub.db)
    others = [await Hub.made(hub.db, f"Brand {place}") for place in range(2)]
    for each in (hub, *others):
        await each.listen(2, "http://127.0.0.1:9001/")
        await each.published(1)
    await hub.teller.tell()
    held = await hub.execution("sending")
    async with hub.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO partner_run (brand_id, number, execution_id, published_at, channels, held_channels, required_by)"
            " VALUES (%s, 2, %s, now(), '{}', '{505}', now())",
            [hub.brand_id, held],
        )
        # A zone that there is not any more: that brand's day cannot be told.
        await conn.execute(
            'UPDATE brand SET settings = settings || \'{"default_time_zone": "Nowhere/At_all"}\' WHERE id = %s',
            [others[0].brand_id],
        )
    told = await days.tell_processed()
    brands = await hub.rows("SELECT brand_id FROM notice WHERE event = 'day_processed'")
    async with hub.db.transaction() as conn:
        await conn.execute("UPDATE partner_run SET held_channels = '{}' WHERE number = 2")

    assert (told, brands) == (1, [(others[1].brand_id,)])
    assert await days.tell_processed() == 1


async def test_a_backlog_is_bounded_and_what_is_beyond_is_kept_for_a_replay(hub: Hub):
    listener = await hub.listen(1, "http://127.0.0.1:9001/")
    async with hub.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO notice (id, brand_id, listener_id, event, body, made_at, due_at)"
            " SELECT gen_random_uuid(), %s, %s, 'campaign_processed', '{}', now(), now() FROM generate_series(2, %s)",
            [hub.brand_id, listener.id, BACKLOG_MAX],
        )
    await hub.published(1)
    await hub.published(2)
    await hub.teller.tell()

    (missed,) = await hub.listeners.notices(hub.brand_id, listener.id, state="missed")

    assert missed.body.endswith('"CampaignID":2}')
    assert (await hub.listeners.get(hub.brand_id, listener.id)).waiting == BACKLOG_MAX
    later(hub.db, days=31)
    assert await forget_notices(hub.db) == BACKLOG_MAX + 1


async def test_notices_of_our_own_go_to_one_clients_listener_and_are_unknown_to_the_classic_list(hub: Hub):
    other = await hub.client("caller", [505])
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listeners.put(hub.brand_id, hub.client_id, Event.REVOCATION, url_of(far))
        await hub.listeners.put(hub.brand_id, other, Event.REVOCATION, url_of(far, "/other"))
        async with hub.db.transaction() as conn:
            made = await enqueue(
                conn, hub.brand_id, Event.REVOCATION, b'{"customer": "A1"}', channels=[505], client_id=hub.client_id
            )
        await mail.all()

        (request,) = far.record.requests
    assert (made, request.path, request.body) == (1, "/hooks", b'{"customer": "A1"}')
    assert request.headers["stentor-event"] == "revocation"
    assert await hub.listeners.registered(hub.brand_id, hub.client_id) == []


async def test_another_brands_listeners_are_nobodys(hub: Hub):
    listener = await hub.listen(1, "http://127.0.0.1:9001/")
    theirs = await Hub.made(hub.db, "Somebody else")

    for ask in (
        theirs.listeners.get(theirs.brand_id, listener.id),
        theirs.listeners.delete(theirs.brand_id, listener.id),
        theirs.listeners.update(theirs.brand_id, listener.id, enabled=False),
        theirs.listeners.notices(theirs.brand_id, listener.id),
        theirs.listeners.replay(theirs.brand_id, listener.id, since=EVER[0], until=EVER[1]),
        theirs.listeners.register(theirs.brand_id, hub.client_id, 1, "http://127.0.0.1:9001/"),
        theirs.listeners.signing_secret(theirs.brand_id, hub.client_id),
    ):
        with pytest.raises(NotFound):
            await ask
    assert not await theirs.listeners.unregister(theirs.brand_id, hub.client_id, 1)


POINTS = [
    *(("telling.before_commit", 1), ("telling.after_commit", 1)),
    *(("notices.before_claim", 1), ("notices.after_claim", 1), ("notices.answered", 2)),
    *(("notices.before_settle", 2), ("notices.after_settle", 1)),
]


@pytest.mark.parametrize(("point", "requests"), POINTS)
async def test_wherever_the_process_dies_a_notice_is_delivered_under_one_id(hub: Hub, point: str, requests: int):
    async with HttpProvider() as far, delivering(hub.db) as mail:
        await hub.listen(1, url_of(far))
        await hub.published(1)
        failpoints.arm(f"{point}=die@1", {"die": die})
        try:
            with pytest.raises(Died):
                await told_and_delivered(hub, mail)
        finally:
            failpoints.arm("")

        later(hub.db, seconds=61)
        await hub.teller.tell()
        await mail.all()

        ids = [request.headers["webhook-id"] for request in far.record.requests]
    assert (len(ids), len(set(ids))) == (requests, 1)
    assert await hub.rows("SELECT outcome FROM notice") == [("delivered",)]


@pytest.mark.parametrize(
    "point", ["days.before_processed", "days.after_processed", "days.before_close", "days.after_close"]
)
async def test_wherever_the_keeper_dies_a_day_is_told_once(hub: Hub, point: str):
    days = DayTeller(hub.db)
    await hub.listen(2, "http://127.0.0.1:9001/")
    await hub.listen(3, "http://127.0.0.1:9001/")
    await hub.published(1)
    await hub.teller.tell()
    later(hub.db, days=1)
    failpoints.arm(f"{point}=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await told_of_days(days)
    finally:
        failpoints.arm("")

    await told_of_days(days)

    told = await hub.rows("SELECT event, count(*) FROM notice GROUP BY 1 ORDER BY 1")
    assert told == [("day_closed", 1), ("day_processed", 1)]


async def told_and_delivered(hub: Hub, mail: Mail) -> None:
    await hub.teller.tell()
    await mail.round()


async def told_of_days(days: DayTeller) -> None:
    await days.tell_processed()
    await days.close_days()


class Died(BaseException):
    """In place of the process."""


def die() -> None:
    raise Died
