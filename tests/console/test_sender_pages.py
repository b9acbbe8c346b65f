"""Senders and usage in the console."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from browsing import form_token
from console_world import OWN, ConsoleWorld, a_campaign, press
from stentor.accounts.audit_model import Narrowed
from stentor.channels.model import NewSender
from stentor.domain.ids import new_id
from stentor.domain.vocabulary import ChannelKind

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_a_marketer_makes_an_smtp_sender_whose_password_nobody_sees_again(console: ConsoleWorld):
    services, brand = console.services, console.brand
    at = await console.enters("marketer")
    root = f"{console.root}/settings/senders"
    new = await at.get(f"{root}/new?kind=smtp")
    token = {"form_token": form_token(new)}
    said = {
        "name": HOSTILE,
        "s-host": "relay.example.org",
        "s-envelope_from": "bounces@example.org",
        "s-username": "us",
    }
    said |= {"s-port": "587", "s-security": "starttls", "secret": "pass word", "pace_per_s": "2.5", "in_doubt": "ask"}

    wrong = await at.post(root, data={**token, **said, "kind": "smtp", "s-port": "many"}, headers=OWN)
    late = await at.post(root, data={**token, **said, "kind": "smtp", "s-host": ""}, headers=OWN)
    made = await at.post(root, data={**token, **said, "kind": "smtp", "enabled": "yes"}, headers=OWN)
    none = await at.get(f"{root}/new?kind=listener")
    (sender,) = [one for one in await services.senders.page(brand.id) if one.kind == "smtp"]
    page = f"{root}/{sender.id}"
    shown = await at.get(page)
    saved = await press(at, shown, "save", {"name": "Relay", "s-connections_max": "3", "s-idle_timeout_s": ""})
    kept = await services.senders.get(brand.id, sender.id)
    forgot = await press(at, await at.get(page), "save", {"forget_secret": "yes", "s-username": ""})

    assert (wrong.status_code, "Write a whole number." in wrong.text, late.status_code) == (400, True, 400)
    assert "pass word" not in wrong.text + late.text + shown.text
    assert made.headers["location"] == f"{page}?done=made"
    assert none.status_code == 404
    assert (sender.name, sender.pace_per_s, sender.in_doubt, sender.has_secret) == (HOSTILE, 2.5, "ask", True)
    assert sender.settings["verify_tls"] is False
    assert HOSTILE not in shown.text + (await at.get(root)).text
    assert (saved.status_code, kept.name, kept.settings["connections_max"]) == (303, "Relay", 3)
    assert (kept.has_secret, kept.settings["idle_timeout_s"]) == (True, 60.0)
    assert (forgot.status_code, (await services.senders.get(brand.id, sender.id)).has_secret) == (303, False)

    paused = await at.post(f"{page}/pause", data=token, headers=OWN)
    assert "paused since" in (await at.get(page)).text
    resumed = await at.post(f"{page}/resume", data=token, headers=OWN)
    deleted = await at.post(f"{page}/delete", data=token, headers=OWN)
    own = next(one for one in await services.senders.page(brand.id) if one.name == "sandbox-email")
    stays = await at.post(f"{root}/{own.id}/delete", data=token, headers=OWN)
    assert (paused.status_code, resumed.status_code, deleted.status_code) == (303, 303, 303)
    assert (stays.status_code, "can be paused instead" in stays.text) == (409, True)
    assert (await at.get(page)).status_code == 404


async def test_a_test_tells_what_the_sender_answered_and_goes_to_test_recipients_alone(console: ConsoleWorld):
    services, brand = console.services, console.brand
    recipient = await services.test_recipients.add(brand, "editor@example.org", "")
    sandbox = await services.senders.create(
        brand.id, NewSender(name=HOSTILE, channel=ChannelKind.EMAIL, kind="sandbox")
    )
    hook = NewSender(
        name="hook",
        channel=ChannelKind.WEBHOOK,
        kind="webhook",
        settings={"url": "https://nowhere.invalid/hook"},
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr",
    )
    broken = await services.senders.create(brand.id, hook)
    at = await console.enters("marketer")
    root = f"{console.root}/settings/senders"
    token = {"form_token": form_token(await at.get(root))}

    nobody = await at.post(f"{root}/{sandbox.id}/test", data={**token, "to": "x@example.org"}, headers=OWN)
    taken = await at.post(f"{root}/{sandbox.id}/test", data={**token, "to": recipient.address}, headers=OWN)
    unknown = await at.post(f"{root}/{broken.id}/test", data={**token, "to": ""}, headers=OWN)
    builtin = next(one for one in await services.optout_lists.page(brand.id) if one.built_in)
    await services.optout_entries.add(brand.id, str(builtin.id), [recipient.address])
    listed = await at.post(f"{root}/{sandbox.id}/test", data={**token, "to": recipient.address}, headers=OWN)

    assert (nobody.status_code, "no test recipient" in nobody.text) == (400, True)
    assert (taken.status_code, "The test was taken after" in taken.text) == (200, True)
    assert (unknown.status_code, "was not taken for now" in unknown.text) == (200, True)
    assert (listed.status_code, "on an opt-out list" in listed.text) == (409, True)
    inbox = re.search(rf'href="(/inbox/{brand.id}/[a-z2-7]+)"', taken.text)
    assert inbox is not None
    message = (await at.get(inbox[1])).text
    assert "[Test]" in message
    assert HOSTILE not in taken.text + message
    log = await services.audit.page(brand.id, Narrowed(thing_kind="sender"))
    assert [one.action for one in log if one.action == "sender.tested"] == ["sender.tested"] * 2


async def test_health_has_the_words_of_the_newest_answers_of_this_sender_alone(console: ConsoleWorld):
    services, brand = console.services, console.brand
    mine = next(one for one in await services.senders.page(brand.id) if one.name == "sandbox-email")
    other = next(one for one in await services.senders.page(brand.id) if one.name == "sandbox-sms")
    campaign = await a_campaign(console, brand.id)
    execution = await _an_execution(console, campaign.publication_id)
    async with console.core.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at)"
            " VALUES (%s, 0, %s, %s, 1, 2, %s, %s, 7, statement_timestamp())",
            [execution, brand.id, mine.id, UUID(int=0), UUID(int=2**128 - 1)],
        )
        await conn.execute(
            "INSERT INTO wave (execution_id, chunk, number, brand_id, sender_id, key_from, key_to, sends, epoch, worker, opened_at,"
            " settled_at, lost) VALUES (%s, 0, 1, %s, %s, %s, %s, 5, 1, 'w', statement_timestamp(), statement_timestamp(), true)",
            [execution, brand.id, mine.id, UUID(int=0), UUID(int=2**128 - 1)],
        )
        for sender, kind, answer in (
            (mine, "rejected", HOSTILE),
            (mine, "rejected", HOSTILE),
            (mine, "accepted", "250 ok 1"),
            (other, "rejected", "not mine"),
        ):
            await conn.execute(
                "INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind, sender_id, answer)"
                " VALUES (%s, %s, %s, %s, statement_timestamp(), 0, 1, %s, %s, %s)",
                [execution, UUID(int=1), brand.id, new_id(), kind, sender.id, answer],
            )
    at = await console.enters("viewer")

    health = await services.sender_health.of(brand.id, mine.id)
    page = (await at.get(f"{console.root}/settings/senders/{mine.id}")).text
    elsewhere = await services.accounts.create_brand("Other")

    assert (health.waiting, health.tried, health.lost, health.errors, health.sampled) == (7, 5, 5, 2, 3)
    assert {(one.kind, one.answer, one.times) for one in health.answers} == {
        ("rejected", HOSTILE, 2),
        ("accepted", "", 1),
    }
    assert "66.7% of 3 in a sample" in page
    assert HOSTILE not in page
    assert "not mine" not in page
    assert (await services.sender_health.of(elsewhere.id, mine.id)).tried == 0


async def _an_execution(console: ConsoleWorld, publication_id: UUID | None) -> UUID:
    """An execution that began just now, with nobody in it yet."""
    execution = new_id()
    async with console.core.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO execution (id, brand_id, publication_id, context, lane, state, created_at, status_at, published_at)"
            " VALUES (%s, %s, %s, '{}', 2, 'sending', statement_timestamp(), statement_timestamp(), statement_timestamp())",
            [execution, console.brand.id, publication_id],
        )
    return execution


async def test_usage_adds_what_is_kept_to_what_was_dropped_and_its_file_has_the_same(console: ConsoleWorld):
    services, brand = console.services, console.brand
    campaign = await a_campaign(console, brand.id)
    execution = await _an_execution(console, campaign.publication_id)
    today = datetime.now(UTC).date()
    async with console.core.db.transaction() as conn:
        for state, sends in ((-1, 10_482_117), (2, 10_482_000), (3, 117)):
            await conn.execute(
                "INSERT INTO tally (execution_id, channel, shard, state, reason, brand_id, sends) VALUES (%s, 1, 0, %s, %s, %s, %s)",
                [execution, state, 2 if state == 3 else 0, brand.id, sends],
            )
        for day in (today, today - timedelta(days=40)):
            await conn.execute(
                "INSERT INTO daily_total (brand_id, day, campaign_id, channel, state, reason, sends) VALUES (%s, %s, %s, 1, 2, 0, 5)",
                [brand.id, day, campaign.id],
            )
    at = await console.enters("viewer")
    page = f"{console.root}/settings/usage"

    usage = await services.usage.of(brand.id)
    shown = (await at.get(page)).text
    file = await at.get(f"{page}.csv?first_day={today}&last_day={today}")
    other = await services.usage.of((await services.accounts.create_brand("Other")).id)

    (day,) = usage.days
    assert (day.day, day.audience, day.handed_over, day.skipped) == (today, 10_482_117, 10_482_005, 117)
    assert "10,482,005" in shown
    assert file.text.splitlines()[1] == f"{today},email,10482117,10482005,0,0,117,0,0"
    assert other.days == []
    assert (await services.usage.of(brand.id, today - timedelta(days=40))).handed_over == 10_482_010
    assert "exchange them" in (await at.get(f"{page}?first_day={today}&last_day=2020-01-01")).text
    assert (await at.get(f"{page}.csv?first_day=soon")).status_code == 400
