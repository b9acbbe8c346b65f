"""The Preference Centre and opt-out lists in the console."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from browsing import form_token
from console_world import OWN, ConsoleWorld
from stentor.audience.model import Act, CustomerPatch, Source, TopicDraft
from stentor.domain.vocabulary import ChannelKind
from stentor.optouts.model import ListDraft

pytestmark = pytest.mark.anyio

HOSTILE = "<img src=x onerror=alert(1)>"
EMAIL, SMS = ChannelKind.EMAIL.bit, ChannelKind.SMS.bit
ACT = Act(source=Source.API)


async def test_a_topic_is_made_changed_and_archived(console: ConsoleWorld):
    services, brand = console.services, console.brand
    at = await console.enters("marketer")
    root = f"{console.root}/topics"
    token = {"form_token": form_token(await at.get(f"{root}/new"))}
    said = {"key": "reds", "name": HOSTILE, "description": f"{HOSTILE}\r\nSecond line", "channel-email": "yes"}

    none = await at.post(root, data={**token, **said, "channel-email": ""}, headers=OWN)
    made = await at.post(root, data={**token, **said}, headers=OWN)
    again = await at.post(root, data={**token, **said}, headers=OWN)
    topic = await services.topics.get(brand.id, "reds")
    page = f"{root}/{topic.id}"
    changed = await at.post(page, data={**token, "name": "Reds", "channel-sms": "yes"}, headers=OWN)
    wrong = await at.post(page, data={**token, "name": " ", "channel-sms": "yes"}, headers=OWN)
    shown = (await at.get(page)).text + (await at.get(root)).text
    archived = await at.post(f"{page}/archive", data=token, headers=OWN)
    kept = await services.topics.get(brand.id, "reds")
    deleted = await at.post(f"{page}/delete", data=token, headers=OWN)

    assert (none.status_code, 'value="reds"' in none.text, "at least one channel" in none.text) == (400, True, True)
    assert (made.status_code, again.status_code, changed.status_code) == (303, 409, 303)
    assert topic.description == f"{HOSTILE}\nSecond line"
    assert (wrong.status_code, 'id="name-error"' in wrong.text) == (400, True)
    assert HOSTILE not in shown + none.text
    assert (archived.status_code, kept.enabled, kept.channels, kept.name) == (303, False, SMS, "Reds")
    assert (deleted.status_code, await services.topics.page(brand.id)) == (303, [])


async def test_growth_and_channels_are_counted_as_people_come_go_merge_and_are_erased(console: ConsoleWorld):
    services, brand = console.services, console.brand
    topic = await services.topics.create(brand.id, TopicDraft(key="reds", name="Reds", channels=EMAIL | SMS))
    for name in ("ann", "ben", "cem", "dan"):
        await services.customers.upsert(brand.id, CustomerPatch(external_id=name))
        await services.subscriptions.subscribe(brand.id, name, "reds", EMAIL if name == "ann" else None, ACT)
    await services.subscriptions.subscribe(brand.id, "ann", "reds", SMS, ACT)
    await services.subscriptions.unsubscribe(brand.id, "ann", "reds", EMAIL, ACT)
    await services.subscriptions.unsubscribe(brand.id, "ben", "reds", None, ACT)
    await services.merges.merge(brand.id, "cem", "dan", asked_by="test")
    at = await console.enters("viewer")
    today = datetime.now(UTC).date()

    growth = await services.topics.growth(brand.id, "reds")
    page = (await at.get(f"{console.root}/topics/{topic.id}")).text
    matrix = (await at.get(f"{console.root}/topics")).text
    past = await services.topics.growth(brand.id, "reds", today - timedelta(days=9), today - timedelta(days=2))

    assert growth.subscribers == 2
    assert growth.by_channel == {"email": 1, "sms": 2}
    assert [(one.day, one.gained, one.lost) for one in growth.days] == [(today, 4, 2)]
    assert past.days == []
    assert '<dd class="fig">+2</dd>' in page
    assert '<td class="num" data-l="SMS">2</td>' in matrix
    assert "Write a day as" in (await at.get(f"{console.root}/topics/{topic.id}?first_day=soon")).text
    async with console.core.db.read() as conn:
        told = await (
            await conn.execute("SELECT count(*) FROM subscription WHERE channels & %s <> 0", [SMS])
        ).fetchone()
    assert told == (growth.by_channel["sms"],)


async def test_somebody_is_found_by_any_hash_and_no_address_is_left_behind(console: ConsoleWorld):
    services, brand = console.services, console.brand
    plain = await services.optout_lists.create(brand.id, ListDraft(name=HOSTILE))
    hashed = await services.optout_lists.create(brand.id, ListDraft(name="Hashed", kind="sha256"))
    await services.optout_entries.add(brand.id, str(plain.id), ["aino@example.org"], source=HOSTILE)
    digest = hashlib.sha256(b"ben@example.org").hexdigest()
    await services.optout_entries.add(brand.id, str(hashed.id), [digest])
    other = await services.accounts.create_brand("Other")
    at, elsewhere = await console.enters("viewer"), await console.enters("viewer", other)
    page = f"{console.root}/optouts"
    token = {"form_token": form_token(await at.get(page))}

    async def asked(text: str) -> str:
        answer = await at.post(f"{page}/find", data={**token, "address": text}, headers=OWN)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert HOSTILE not in answer.text
        return answer.text

    as_md5 = hashlib.md5(b"aino@example.org", usedforsecurity=False).hexdigest()
    assert "&lt;img src=x" in await asked("Aino@example.org")
    assert "the address itself" in await asked(as_md5)
    assert "<bdi>Hashed</bdi>" in await asked("ben@example.org")
    assert "<bdi>Hashed</bdi>" in await asked(digest.upper())
    assert "Not listed" in await asked("cem@example.org")
    wrong = await at.post(f"{page}/find", data={**token, "address": "what"}, headers=OWN)
    assert (wrong.status_code, "no entry of a list" in wrong.text) == (400, True)
    theirs = {"form_token": form_token(await elsewhere.get(f"/console/brands/{other.id}/optouts"))}
    foreign = await elsewhere.post(
        f"/console/brands/{other.id}/optouts/find", data={**theirs, "address": "aino@example.org"}, headers=OWN
    )
    assert "Not listed" in foreign.text
    one = f"{page}/lists/{plain.id}/find"
    found = await at.post(one, data={**token, "address": "aino@example.org"}, headers=OWN)
    assert "was written down" in found.text
    assert HOSTILE not in found.text + (await at.get(f"{page}/lists/{plain.id}?cause=api")).text
    assert "None of that cause" in (await at.get(f"{page}/lists/{plain.id}?cause=stop")).text


async def test_lists_and_entries_are_changed_by_hand_with_who_and_why(console: ConsoleWorld):
    services, brand = console.services, console.brand
    at = await console.enters("marketer")
    page = f"{console.root}/optouts"
    token = {"form_token": form_token(await at.get(f"{page}/new"))}
    said = {"name": HOSTILE, "kind": "plain", "hash": "sha1", "email": "yes", "enabled": "yes", "expiry_days": "30"}

    wrong = await at.post(page, data={**token, **said, "email": "", "expiry_days": "x"}, headers=OWN)
    made = await at.post(page, data={**token, **said}, headers=OWN)
    held = next(one for one in await services.optout_lists.page(brand.id) if not one.built_in)
    union = await at.post(
        page,
        data={**token, "name": "All", "kind": "grouped", "members": f"{held.code}\r\n", "enabled": "yes"},
        headers=OWN,
    )
    one = f"{page}/lists/{held.id}"
    added = await at.post(
        f"{one}/entries", data={**token, "address": "ann@example.org", "source": "a letter"}, headers=OWN
    )
    again = await at.post(f"{one}/entries", data={**token, "address": "ann@example.org", "source": ""}, headers=OWN)
    number = await at.post(f"{one}/entries", data={**token, "address": "+358401112222", "source": ""}, headers=OWN)
    unsaid = await at.post(
        f"{one}/entries/remove", data={**token, "address": "ann@example.org", "reason": " "}, headers=OWN
    )
    missing = await at.post(
        f"{one}/entries/remove", data={**token, "address": "ben@example.org", "reason": "x"}, headers=OWN
    )
    removed = await at.post(
        f"{one}/entries/remove", data={**token, "address": "ann@example.org", "reason": HOSTILE}, headers=OWN
    )
    off = await at.post(one, data={**token, "name": "Off", "expiry_days": ""}, headers=OWN)
    past = await services.optout_entries.history(brand.id, str(held.id), "ann@example.org")
    changed = await services.optout_lists.get(brand.id, str(held.id))

    assert (wrong.status_code, made.status_code, union.status_code) == (400, 303, 303)
    assert (held.hash, held.channels, held.expiry_days) == ("sha1", EMAIL, 30)
    # Where entries lapse, one that is said again counts anew.
    assert [each.headers["location"].rpartition("=")[2] for each in (added, again)] == ["added", "added"]
    assert (number.status_code, unsaid.status_code, missing.status_code) == (400, 400, 404)
    assert 'value="ben@example.org"' in missing.text
    assert missing.headers["cache-control"] == "no-store"
    assert removed.status_code == 303
    assert (past[-1].reason, past[-1].actor.startswith("marketer.")) == (HOSTILE, True)
    assert "a letter" in {one.source for one in past}
    assert (off.status_code, changed.name, changed.is_enabled, changed.expiry_days) == (303, "Off", False, None)
    kept = await at.post(f"{one}/delete", data=token, headers=OWN)
    assert (kept.status_code, "member of All" in kept.text) == (409, True)


async def test_a_file_is_uploaded_by_the_link_of_its_page_and_a_reader_sees_no_link(console: ConsoleWorld):
    services, brand = console.services, console.brand
    held = await services.optout_lists.create(brand.id, ListDraft(name=HOSTILE))
    at, reader = await console.enters("marketer"), await console.enters("viewer")
    root = f"{console.root}/optouts"
    token = {"form_token": form_token(await at.get(root))}

    begun = await at.post(f"{root}/lists/{held.id}/imports", data=token, headers=OWN)
    job = begun.headers["location"]
    page = (await at.get(job)).text
    link = re.search(r'data-upload="([^"]+)"', page)
    assert link is not None
    sent = await at.put(link[1], content=b"ann@example.org\nwhat\n")
    after = (await at.get(job)).text
    scrub = await at.post(f"{root}/scrubs", data={**token, f"list-{held.id}": "yes"}, headers=OWN)
    nothing = await at.post(f"{root}/scrubs", data=token, headers=OWN)
    export = await at.post(
        f"{root}/lists/{held.id}/exports", data={**token, "format": "spreadsheet", "column-plain": "yes"}, headers=OWN
    )
    empty = await at.post(f"{root}/lists/{held.id}/exports", data={**token, "format": "csv"}, headers=OWN)
    everything = (await at.get(f"{root}/jobs")).text
    gone = await at.post(f"{job}/remove", data=token, headers=OWN)

    assert "/storage/" not in (await reader.get(job)).text
    assert sent.status_code == 200, sent.text
    assert "waits for a worker" in after
    assert "data-upload" not in after
    assert 'hx-trigger="every 2s"' in after
    assert (scrub.status_code, nothing.status_code) == (303, 400)
    assert (export.status_code, empty.status_code) == (303, 400)
    jobs = await services.optout_jobs.page(brand.id)
    assert [one.kind for one in jobs] == ["export", "scrub", "import"]
    assert jobs[0].spec["spreadsheet"] is True
    assert all(one.asked_by.startswith("marketer.") for one in jobs)
    assert HOSTILE not in page + after + everything
    assert (gone.status_code, (await services.optout_jobs.page(brand.id))[2].state) == (303, "removed")
