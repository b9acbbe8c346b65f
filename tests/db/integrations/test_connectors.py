"""Stentor as the service of a hub: joined, notified, pulled, executed by our own flow, and told what became of everybody."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from connector_world import Joined, joined
from stentor import failpoints
from stentor.audience.model import CustomerPatch
from stentor.backups.fence import fence
from stentor.campaigns.model import TemplatePatch
from stentor.domain.address import phone_digest
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, NotFound
from stentor.integrations.connector.model import Patch
from stentor.integrations.connector.runs import forget_runs
from stentor.integrations.connector.syncing import Syncer
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.wiring.connectors import connector_links
from trigger_world import rows

pytestmark = pytest.mark.anyio


PLACES = (
    "claimed",
    "page_read",
    "before_page",
    "page_kept",
    "before_pulled",
    "after_pulled",
    "before_start",
    "after_start",
    "totals_told",
    "before_pushed",
    "after_pushed",
)


SMS = ChannelKind.SMS


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


@pytest.fixture
async def two(database_dsn: str, tmp_path: Path) -> AsyncIterator[Joined]:
    async with joined(database_dsn, tmp_path) as world:
        yield world


def person(number: int) -> CustomerPatch:
    return CustomerPatch(
        external_id=f"C{number}",
        phone=f"+491511{number:07}",
        email=f"c{number}@example.org",
        attributes={"Country": "FI"},
    )


async def test_a_hubs_campaign_is_executed_here_and_both_agree_to_the_person(two: Joined):
    connector = await two.connector("Hi {{ Country }}", attributes={"Phone": "phone", "Country": "attributes.Country"})
    assert await two.services.connectors.check(two.service.id, connector.id) == ""
    assert await two.syncer.sync_due()
    assert await two.hub_templates() == {1: "Welcome"}
    tag = await two.hub_people([person(number) for number in range(10)])

    execution_id = await two.run(tag)
    assert await two.notify() == 1
    await two.work()
    await two.later(seconds=5)

    run = await two.only_run(connector)
    assert (run.state, run.rows_read, run.people, run.last_error) == ("running", 10, 10, "")
    assert len(two.sent.addresses) == 10
    assert await two.totals(execution_id) == {"0": 10}
    stands = await two.services.connectors.get(two.service.id, connector.id)
    assert stands.state == "ready"
    assert None not in {stands.synced_at, stands.noticed_at, stands.pulled_at, stands.pushed_at}


async def test_what_our_guard_left_out_and_what_happened_later_is_told_once(two: Joined):
    connector = await two.connector()
    await two.syncer.sync_due()
    tag = await two.hub_people([person(number) for number in range(4)])
    async with two.db.transaction() as conn:
        await add_to_builtin(conn, two.service.id, [OptOut(SMS, phone_digest("+4915110000001"), "stop")])
    execution_id = await two.run(tag)
    await two.notify()
    await two.notify()
    await two.work()
    await two.later(seconds=5)

    assert await two.totals(execution_id) == {"0": 3, "5": 1}
    assert await two.facts(execution_id) == {"dropped": {"C1"}}

    run = await two.only_run(connector)
    await two.report(run.executions[0], "C2", "delivered")
    await two.report(run.executions[0], "C2", "clicked")
    await two.report(run.executions[0], "C3", "unsubscribed")
    await two.later(hours=4)
    calls = await rows(
        two.db, "SELECT event, sum(calls)::integer FROM reported_interaction GROUP BY event ORDER BY event"
    )
    await two.later(hours=4)

    assert await two.totals(execution_id) == {"0": 3, "1": 1, "3": 1, "4": 1, "5": 1}
    assert await two.facts(execution_id) == {
        "dropped": {"C1"},
        "delivered": {"C2"},
        "clicked": {"C2"},
        "unsubscribed": {"C3"},
    }
    assert [count for _, count in calls] == [1, 1, 1, 1]
    assert calls == await rows(
        two.db, "SELECT event, sum(calls)::integer FROM reported_interaction GROUP BY event ORDER BY event"
    )

    await two.later(days=7)
    assert (await two.only_run(connector)).state == "closed"


async def test_crashes_at_every_place_lose_and_double_nobody(two: Joined):
    await agree_after_crashes(two, people=5, page_rows=2)


@pytest.mark.prove
async def test_crashes_among_a_thousand_people_lose_and_double_nobody(two: Joined):
    await agree_after_crashes(two, people=1_000, page_rows=150)


async def agree_after_crashes(two: Joined, *, people: int, page_rows: int) -> None:
    """A campaign whose service dies at every place that there is; in the end both sides know the same of everybody."""
    connector = await two.connector()
    await two.syncer.sync_due()
    async with two.db.transaction() as conn:
        await add_to_builtin(conn, two.service.id, [OptOut(SMS, phone_digest("+4915110000001"), "stop")])
    execution_id = await two.run(await two.hub_people([person(number) for number in range(people)]))
    await two.notify()

    for place in PLACES:
        failpoints.arm(f"connector.{place}=die@1", {"die": die})
        with pytest.raises(Died):
            await two.later_by(two.worker(page_rows=page_rows), seconds=3)
        failpoints.arm("")
    await two.later(minutes=10)

    everybody = {f"+491511{number:07}" for number in range(people)}
    assert sorted(two.sent.addresses) == sorted(everybody - {"+4915110000001"})
    assert await two.totals(execution_id) == {"0": people - 1, "5": 1}
    assert await two.facts(execution_id) == {"dropped": {"C1"}}
    run = await two.only_run(connector)
    assert (run.people, run.rows_read) == (people, people)
    here = await two.counted(run.executions)
    assert here == {"handed_over": people - 1, "skipped": 1}
    assert await two.counted([execution_id]) == {"handed_over": people}


async def test_what_the_hub_cancels_is_cancelled_here_and_told_as_dropped(two: Joined):
    connector = await two.connector()
    await two.syncer.sync_due()
    token = two.syncer.listener_url(connector.id).rpartition("/")[2]
    execution_id = await two.run(await two.hub_people([person(number) for number in range(3)]))
    await two.notify()
    await two.work()
    for campaign in (1, 99):
        cancelled = b'{"EventTypeID":4,"TimeStamp":"2026-11-21 10:00","CampaignID":%d}' % campaign
        await two.services.connector_notices.take(token, cancelled)
    await two.work()
    await two.later(minutes=10)

    run = await two.only_run(connector)
    assert run.cancelled_at is not None
    assert two.sent.addresses == []
    assert await two.totals(execution_id) == {"5": 3}


async def test_templates_keep_their_numbers_and_the_hub_hears_of_every_change(two: Joined):
    connector = await two.connector()
    await two.syncer.sync_due()
    second = await two.template("Second", "Hello")
    await two.syncer.sync_due()
    assert await two.hub_templates() == {1: "Welcome", 2: "Second"}

    await two.services.templates.update(two.service.id, second, TemplatePatch(name="Other"))
    await two.syncer.sync_due()
    assert await two.hub_templates() == {1: "Welcome", 2: "Other"}

    await two.services.templates.delete(two.service.id, second)
    await two.syncer.sync_due()
    assert await two.hub_templates() == {1: "Welcome"}
    assert not await two.syncer.sync_due()

    await two.template("Third", "Hey")
    two.syncer = Syncer(two.db, two.opener, connector_links(two.core), two.url + "/elsewhere")
    await two.services.connectors.update(two.service.id, connector.id, Patch(secret=two.partner.credentials.password))
    await two.syncer.sync_due()
    assert await two.hub_templates() == {1: "Welcome", 3: "Third"}
    urls = await rows(two.db, "SELECT DISTINCT url FROM listener")
    assert [url.startswith(f"{two.url}/elsewhere/hooks/connectors/") for (url,) in urls] == [True]


async def test_a_hub_that_does_not_let_us_in_is_told_with_what_to_do(two: Joined):
    connector = await two.connector(secret="wrong")
    assert "correct them in the connector" in await two.services.connectors.check(two.service.id, connector.id)
    await two.syncer.sync_due()

    stands = await two.services.connectors.get(two.service.id, connector.id)
    assert stands.state == "failing"
    assert "correct them in the connector" in stands.last_error
    assert not await two.syncer.sync_due()

    async with two.db.transaction() as conn:
        await conn.execute("UPDATE installation SET backup_at = now(), restored_at = now(), paused_at = now()")
    await fence(two.db)
    restored = await two.services.connectors.get(two.service.id, connector.id)
    assert (restored.state, "A backup was restored" in restored.last_error) == ("off", True)


async def test_nobody_hears_at_an_address_that_was_not_given_out(two: Joined):
    connector = await two.connector()
    token = two.syncer.listener_url(connector.id).rpartition("/")[2]
    notice = b'{"EventTypeID":13,"CampaignID":9,"ChannelID":505}'

    for wrong in (token[:-4] + "AAAA", "x"):
        with pytest.raises(NotFound):
            await two.services.connector_notices.take(wrong, notice)
    with pytest.raises(Invalid):
        await two.services.connector_notices.take(token, b"{}")
    for told in (b'{"EventTypeID":13,"CampaignID":9,"ChannelID":999}', b'{"EventTypeID":2}'):
        await two.services.connector_notices.take(token, told)
    assert await two.services.connectors.runs(two.service.id, connector.id) == []

    await two.services.connector_notices.take(token, notice)
    await two.services.connector_notices.take(token, notice)
    await two.services.connectors.update(two.service.id, connector.id, Patch(enabled=False))
    await two.later(hours=25)
    with pytest.raises(NotFound):
        await two.services.connector_notices.take(token, notice)
    await two.services.connectors.update(two.service.id, connector.id, Patch(enabled=True))
    await two.later(hours=1)
    late = await two.only_run(connector)
    assert (late.state, "Run the campaign again" in late.last_error) == ("failed", True)

    two.db.shift += timedelta(days=61)
    assert await forget_runs(two.db) == 1
    assert await two.services.connectors.runs(two.service.id, connector.id) == []
