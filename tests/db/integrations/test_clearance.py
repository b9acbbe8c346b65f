"""Campaigns that a service clears person by person before they are executed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from listener_world import SECRETS, delivering, later, said, url_of
from stentor import failpoints
from stentor.channels.outbound import Outbound
from stentor.channels.partners.model import HubCaller
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, new_id, part_of
from stentor.domain.policy import CampaignPolicy, policy_violations
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Invalid, TooLarge
from stentor.executions.partner_runs import run_of_number
from stentor.integrations.clearance.service import (
    CANCELLED_FOR,
    TOLD_MAX,
    ClearanceService,
    Releaser,
    forget_clearances,
)
from stentor.integrations.listeners.service import ListenerService
from stentor.integrations.listeners.telling import Teller
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.http_sink import HttpProvider
from stentor.testing.world import Someone, World
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS
HOUR = 3_600


class Conditional(NamedTuple):
    """A campaign of three people that a client clears, planned and on hold."""

    world: World
    engine: Engine
    caller: HubCaller
    clearances: ClearanceService
    listeners: ListenerService
    execution_id: UUID

    async def processed(self, after: str | None = None) -> list[str]:
        pages = self.clearances.processed(self.caller, 1, after=after)
        return [external_id async for page in pages for external_id in page]

    async def cancelled(self) -> list[str]:
        return [external_id async for page in self.clearances.cancelled(self.caller, 1) for external_id in page]

    async def pullable(self) -> list[int]:
        async with self.world.db.read() as conn:
            run = await run_of_number(conn, self.world.brand_id, 1)
        return [] if run is None else run.channels


@pytest.fixture
async def conditional(db: Database) -> Conditional:
    world, engine = await World.made(db), Engine(db, ScriptedChannel())
    await world.people(
        [Someone(f"p{number}", channels=SMS.bit, address_mask=SMS.bit, valid_mask=SMS.bit) for number in range(3)]
    )
    client_id = new_id()
    publication = await world.publication(
        (SMS,), partners=[await world.partner()], policy=CampaignPolicy(clearance="1h", deadline="2d")
    )
    async with db.transaction() as conn:
        await conn.execute(
            "INSERT INTO hub_client (id, brand_id, name, username, password, key_digest, created_at, updated_at)"
            " VALUES (%s, %s, 'texter', 'texter', 'x', %s, now(), now())",
            [client_id, world.brand_id, client_id.bytes * 2],
        )
        await conn.execute(
            "INSERT INTO client_channel (client_id, number, brand_id) VALUES (%s, 505, %s)", [client_id, world.brand_id]
        )
    execution_id = await world.execution(publication)
    await engine.drain()
    return Conditional(
        world,
        engine,
        HubCaller(client_id, world.brand_id, "texter", {505: ()}, b""),
        ClearanceService(db),
        ListenerService(db, SECRETS, Outbound(allow_loopback=True)),
        execution_id,
    )


@pytest.mark.fact("F4.4.5")
async def test_only_who_was_cleared_in_time_is_listed_and_then_it_is_told(db: Database, conditional: Conditional):
    world, clearances, caller = conditional.world, conditional.clearances, conditional.caller
    teller, releaser = Teller(db), Releaser(db)
    async with HttpProvider() as far, delivering(db) as mail:
        for event in (1, 5, 13):
            await conditional.listeners.register(world.brand_id, caller.client_id, event, url_of(far))
        await teller.tell()
        await mail.all()
        held = [said(request) for request in far.record.requests]
        assert await conditional.pullable() == []
        assert await conditional.processed() == ["p0", "p1", "p2"]
        assert await conditional.processed("p0") == ["p1", "p2"]
        assert await clearances.tell(caller, 1, {"p0": True, "p1": True, "nobody": True}) == 2
        assert await clearances.tell(caller, 1, {"p1": False}) == 1
        later(db, seconds=HOUR - 30)
        assert not await releaser.release_due()

        later(db, seconds=31)
        with pytest.raises(Invalid, match="no longer"):
            await clearances.tell(caller, 1, {"p2": True})
        assert await releaser.release_due()
        assert not await releaser.release_due()
        await mail.all()
        after = [said(request) for request in list(far.record.requests)[1:]]

    (clearance,) = held
    assert list(clearance) == ["EventTypeID", "TimeStamp", "CampaignID", "ClearanceRequiredBy"]
    assert (clearance["EventTypeID"], clearance["CampaignID"]) == (5, 1)
    waits = datetime.strptime(clearance["ClearanceRequiredBy"], "%Y-%m-%d %H:%M").replace(tzinfo=UTC) - datetime.now(
        UTC
    )
    assert timedelta(minutes=58) < waits <= timedelta(hours=1)
    assert sorted(one["EventTypeID"] for one in after) == [1, 13]
    assert await conditional.pullable() == [505]
    assert await world.fates(conditional.execution_id) == {
        "p0": "pending",
        "p1": "skipped not_cleared",
        "p2": "skipped not_cleared",
    }
    assert await unbalanced(db) == []
    explained = await conditional.engine.executions.explain(world.brand_id, conditional.execution_id, "p1")
    assert {check.reason for check in explained.channels[0].checks if check.outcome == "objected"} == {"not_cleared"}
    later(db, days=32)
    assert await forget_clearances(db) == 2


async def test_a_campaign_of_which_nobody_is_cleared_is_over(db: Database, conditional: Conditional):
    later(db, seconds=HOUR + 1)

    await Releaser(db).release_due()

    progress = await conditional.engine.executions.find(conditional.world.brand_id, conditional.execution_id)
    assert progress.state == "ended"
    assert await unbalanced(db) == []


@pytest.mark.parametrize("point", ["skipped.before_commit", "skipped.after_commit", "released.before_commit"])
async def test_wherever_its_release_breaks_off_it_goes_on(db: Database, conditional: Conditional, point: str):
    await conditional.clearances.tell(conditional.caller, 1, {"p0": True})
    later(db, seconds=HOUR + 1)
    failpoints.arm(f"clearance_{point}=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await Releaser(db).release_due()
    finally:
        failpoints.arm("")
    assert await conditional.pullable() == []

    await Releaser(db).release_due()

    assert await conditional.pullable() == [505]
    assert sorted((await conditional.world.fates(conditional.execution_id)).values()) == [
        "pending",
        "skipped not_cleared",
        "skipped not_cleared",
    ]
    assert await unbalanced(db) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE execution SET state = 'cancelled', cancelled_at = now() WHERE id = %s",
        "UPDATE execution SET paused_at = now() WHERE id = %s",
    ],
)
async def test_a_campaign_that_is_cancelled_or_paused_while_it_is_released_is_told_as_published_to_nobody(
    db: Database, conditional: Conditional, change: str
):
    world = conditional.world
    for event in (1, 4, 13):
        await conditional.listeners.register(
            world.brand_id, conditional.caller.client_id, event, "http://127.0.0.1:9001/"
        )
    await Teller(db).tell()
    later(db, seconds=HOUR + 1)
    failpoints.arm("clearance_skipped.after_commit=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await Releaser(db).release_due()
    finally:
        failpoints.arm("")
    # It was found due, and its people were looked at: from here on as the process that did not die.
    async with db.transaction() as conn:
        await conn.execute(change.encode(), [conditional.execution_id])
    assert not await Releaser(db).release_one(world.brand_id, conditional.execution_id)

    async with db.read() as conn:
        told = await (await conn.execute("SELECT event FROM notice")).fetchall()
    assert told == []
    assert await conditional.pullable() == []


async def test_one_that_is_held_and_cancelled_is_told_as_cancelled_and_whom_it_was_for(
    db: Database, conditional: Conditional
):
    world = conditional.world
    await conditional.listeners.register(world.brand_id, conditional.caller.client_id, 4, "http://127.0.0.1:9001/")
    await conditional.engine.executions.cancel(world.brand_id, conditional.execution_id)

    while await Teller(db).tell():
        pass

    async with db.read() as conn:
        told = await (await conn.execute("SELECT event FROM notice")).fetchall()
    assert told == [("campaign_cancelled",)]
    assert await conditional.cancelled() == ["p0", "p1", "p2"]


@pytest.mark.fact("F4.8.C14", "F5d.GetCanceledCampaignCustomers")
async def test_whom_a_cancelled_campaign_was_for_is_told_for_two_hours(db: Database, conditional: Conditional):
    later(db, seconds=HOUR + 1)
    assert await conditional.cancelled() == []
    db.shift = timedelta()
    await conditional.clearances.tell(conditional.caller, 1, {"p0": True, "p2": True})
    later(db, seconds=HOUR + 1)
    await Releaser(db).release_due()
    await conditional.engine.executions.cancel(conditional.world.brand_id, conditional.execution_id)

    at_once = await conditional.cancelled()
    await conditional.engine.drain()
    skipped = await conditional.cancelled()
    later(db, seconds=CANCELLED_FOR.total_seconds() + 1)

    assert (at_once, skipped, await conditional.cancelled()) == (["p0", "p2"], ["p0", "p2"], [])


async def test_a_client_clears_its_own_campaigns_alone_and_some_thousand_people_at_once(
    db: Database, conditional: Conditional
):
    theirs = HubCaller(new_id(), new_id(), "other", {505: ()}, b"")
    elsewhere = HubCaller(new_id(), conditional.world.brand_id, "caller", {506: ()}, b"")

    for caller, number in ((theirs, 1), (elsewhere, 1), (conditional.caller, 2)):
        with pytest.raises(Invalid, match="has to be cleared"):
            await conditional.clearances.tell(caller, number, {"p0": True})
        assert [page async for page in conditional.clearances.processed(caller, number)] == []
        assert [page async for page in conditional.clearances.cancelled(caller, number)] == []
    with pytest.raises(TooLarge):
        await conditional.clearances.tell(conditional.caller, 1, {f"c{number}": True for number in range(TOLD_MAX + 1)})


@pytest.mark.parametrize("policy", [{"clearance": "8d"}, {"clearance": "soon"}, {"clearance": "2h", "deadline": "1h"}])
def test_a_clearance_ends_in_a_week_and_before_the_deadline(policy: dict[str, Any]):
    (broken,) = policy_violations(CampaignPolicy(**policy), "/policy")

    assert broken.pointer == "/policy/clearance"


class Died(BaseException):
    """In place of the process."""


def die() -> None:
    raise Died


async def test_who_is_cleared_by_a_call_that_was_in_time_is_cleared_however_late_it_ends(
    db: Database, conditional: Conditional
):
    execution_id, brand_id = conditional.execution_id, conditional.world.brand_id
    customer = customer_id(brand_id, "p0")
    async with db.transaction() as blocking:
        # Somebody else tells of the same person, so that the call stands still after it was found to be in time.
        await blocking.execute(
            "INSERT INTO clearance (execution_id, part, customer_id, brand_id, cleared, told_at, channel_number)"
            " VALUES (%s, %s, %s, %s, false, now(), 505)",
            [execution_id, part_of(customer), customer, brand_id],
        )
        telling = asyncio.ensure_future(conditional.clearances.tell(conditional.caller, 1, {"p0": True}))
        await _waiting(db, 1)
        later(db, seconds=HOUR + 1)
        releasing = asyncio.ensure_future(Releaser(db).release_due())
        await _waiting(db, 2)
        with pytest.raises(Invalid, match="no longer"):
            await conditional.clearances.tell(conditional.caller, 1, {"p1": True})

    assert await telling == 1
    assert await releasing
    assert await conditional.world.fates(execution_id) == {
        "p0": "pending",
        "p1": "skipped not_cleared",
        "p2": "skipped not_cleared",
    }


async def _waiting(db: Database, processes: int) -> None:
    """Returns when so many wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await rows(db, query) != [(processes,)]:  # noqa: ASYNC110  only the database can say
            await asyncio.sleep(0.01)
