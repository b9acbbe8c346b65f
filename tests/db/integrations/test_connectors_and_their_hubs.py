"""What a connector hears of its hub after the pull, whom it could not take in, and how it leaves."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from connector_world import CHANNEL, Joined, joined
from stentor.audience.model import Act, CustomerPatch, Source
from stentor.channels.partners.model import ClientPatch
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.integrations.connector.model import ChannelDraft, ConnectorChannel, Draft, Patch
from stentor.testing.waiting import eventually
from stentor.wiring.pulls import watcher
from trigger_world import rows

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS


@pytest.fixture
async def two(database_dsn: str, tmp_path: Path) -> AsyncIterator[Joined]:
    async with joined(database_dsn, tmp_path) as world:
        yield world


def people(count: int) -> list[CustomerPatch]:
    return [
        CustomerPatch(external_id=f"C{number}", phone=f"+491511{number:07}", attributes={"Loyalty": f"card {number}"})
        for number in range(count)
    ]


def granting(*names: str, numbers: tuple[int, ...] = (CHANNEL,)) -> ClientPatch:
    return ClientPatch(channels=dict.fromkeys(numbers, names))


def draft_like(two: Joined, channels: tuple[ConnectorChannel, ...]) -> Draft:
    """Another connector of the same name and channels."""
    return Draft(
        name="The hub",
        url=two.url,
        username=two.partner.credentials.client.username,
        secret=two.partner.credentials.password,
        channels=tuple(ChannelDraft(number=one.number, campaign_id=one.campaign_id) for one in channels),
    )


async def says_no(two: Joined, name: str) -> None:
    """Somebody says no to the hub, and the hub takes notice."""
    act = Act(source=Source.API, actor="test")
    person = customer_id(two.hub.id, name)
    await two.services.subscriptions.refuse(two.hub.id, person, SMS.bit, act, cause="stop")
    await watcher(two.core).look()


@pytest.mark.parametrize("attributes", [{"Phone": "phone"}, {"Phone": "phone", "Loyalty": "external_id"}])
async def test_whom_the_hub_revokes_before_their_message_leaves_is_not_written_to(
    two: Joined, attributes: dict[str, str]
):
    client = two.partner.credentials.client
    await two.services.hub_clients.update(two.hub.id, client.id, granting("Phone", "Loyalty"))
    connector = await two.connector(attributes=attributes)
    await two.syncer.sync_due()
    execution_id = await two.run(await two.hub_people(people(4)))
    await two.notify()
    worker = two.worker(timedelta(minutes=5))
    assert await worker.work_next()
    assert (await two.only_run(connector)).state == "pulled"

    await says_no(two, "C1")
    await two.work(worker)
    await says_no(two, "C2")
    two.db.shift += timedelta(seconds=3)
    await two.work(worker)
    await two.engine.drain()
    await says_no(two, "C3")
    await two.later(seconds=5)

    assert sorted(two.sent.addresses) == ["+4915110000000", "+4915110000003"]
    run = await two.only_run(connector)
    assert (run.people, run.revoked) == (4, 3)
    assert await two.counted(run.executions) == {"handed_over": 2, "skipped": 2}
    assert await rows(two.db, "SELECT DISTINCT reason FROM send WHERE brand_id = %s AND state = 3", two.service.id) == [
        (26,)
    ]
    assert await two.facts(execution_id) == {"dropped": {"C1", "C2"}}
    assert await two.totals(execution_id) == {"0": 2, "5": 2}


async def test_who_was_erased_at_the_hub_after_the_pull_is_not_written_to(two: Joined):
    connector = await two.connector(attributes={"Phone": "phone"})
    await two.syncer.sync_due()
    await two.run(await two.hub_people(people(2)))
    await two.notify()
    worker = two.worker(timedelta(minutes=5))
    await worker.work_next()

    await two.services.erasures.erase(two.hub.id, "C1", asked_by="test")
    await watcher(two.core).look()
    await two.work(worker)
    await two.later(seconds=5)

    assert two.sent.addresses == ["+4915110000000"]
    assert (await two.only_run(connector)).revoked == 1


async def test_rows_that_nobody_can_be_made_of_are_named_and_told_as_dropped(two: Joined):
    client = two.partner.credentials.client
    await two.services.hub_clients.update(two.hub.id, client.id, granting("Phone", "Loyalty"))
    connector = await two.connector(attributes={"Phone": "phone", "Loyalty": "external_id"})
    await two.syncer.sync_due()
    some = people(3)
    some[1] = CustomerPatch(external_id="C1", phone="+4915110000001", attributes={"Loyalty": "addr:1"})
    execution_id = await two.run(await two.hub_people(some))
    await two.notify()
    await two.work()
    await two.later(seconds=5)

    run = await two.only_run(connector)
    assert (run.people, run.refused, run.last_error) == (2, 1, "")
    (row,) = await two.services.connectors.refused(two.service.id, connector.id, run.id)
    assert (row.external_id, row.template_number, row.is_told) == ("C1", 1, True)
    assert "addr:" in row.why
    assert await two.facts(execution_id) == {"dropped": {"C1"}}
    assert await two.totals(execution_id) == {"0": 2, "5": 1}


async def test_a_connector_that_is_off_or_deleted_leaves_nothing_at_its_hub_but_what_others_registered(two: Joined):
    connector = await two.connector()
    await two.syncer.sync_due()
    other = await two.services.listeners.register(two.hub.id, two.partner.id, 1, "https://other.example.org/")

    async def listening() -> int:
        found = await two.services.listeners.of_client(two.hub.id, two.partner.id)
        assert other.id in {one.id for one in found}
        return len(found) - 1

    assert (await listening(), await two.hub_templates()) == (2, {1: "Welcome"})

    await two.services.connectors.update(two.service.id, connector.id, Patch(enabled=False))
    assert await two.syncer.sync_due()
    assert (await listening(), await two.hub_templates()) == (0, {})
    assert not await two.syncer.sync_due()

    await two.services.connectors.update(two.service.id, connector.id, Patch(enabled=True))
    await two.syncer.sync_due()
    assert (await listening(), await two.hub_templates()) == (2, {1: "Welcome"})

    moved = (ChannelDraft(number=506, campaign_id=connector.channels[0].campaign_id),)
    await two.services.partner_channels.create(two.hub.id, "Other", SMS, number=506)
    await two.services.hub_clients.update(two.hub.id, two.partner.id, granting("Phone", numbers=(CHANNEL, 506)))
    await two.services.connectors.update(two.service.id, connector.id, Patch(channels=moved))
    await two.syncer.sync_due()
    found = await two.services.listeners.of_client(two.hub.id, two.partner.id)
    assert {one.channel for one in found if one.id != other.id} == {506}

    await two.services.connectors.delete(two.service.id, connector.id)
    again = await two.services.connectors.create(two.service.id, draft_like(two, connector.channels))
    assert again.name == connector.name
    assert await two.syncer.sync_due()
    assert await rows(two.db, "SELECT id FROM connector") == [(again.id,)]
    found = await two.services.listeners.of_client(two.hub.id, two.partner.id)
    assert {one.channel for one in found if one.id != other.id} == {CHANNEL}


async def test_a_hub_that_cannot_be_reached_is_left_after_a_day(two: Joined):
    connector = await two.connector()
    await two.syncer.sync_due()
    await two.services.hub_clients.revoke(two.hub.id, two.partner.id)

    async def nobody_is_let_in() -> bool:
        return await two.services.connectors.check(two.service.id, connector.id) != ""

    await eventually(nobody_is_let_in)
    await two.services.connectors.delete(two.service.id, connector.id)
    # Who logged in before is let in for a moment longer: a process that has not leaves it.
    two.restart()

    await two.syncer.sync_due()
    assert await rows(two.db, "SELECT failures FROM connector") == [(1,)]
    two.db.shift += timedelta(hours=25)
    await two.syncer.sync_due()

    assert await rows(two.db, "SELECT id FROM connector") == []
