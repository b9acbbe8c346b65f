"""What happens beside a pull: cancellations, other calls for the same list, processes that die, lists that are replaced."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from pull_world import SMS, Client, Pulls, Stage, reader
from stentor import failpoints
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.policy import CampaignCap, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.executions.service import sweep_expired
from stentor.integrations.pulls.clearing import LISTS_KEPT_MAX, drop_rows, hand_over_sent
from stentor.integrations.pulls.model import FREEZES_WAITING_MAX, Pull, Puller, Wording
from stentor.integrations.pulls.paging import Asked
from stentor.integrations.pulls.reserving import give_back_reservations
from stentor.integrations.pulls.turns import Turns
from tallies import unbalanced
from trigger_world import rows

VOICE = ChannelKind.VOICE

pytestmark = pytest.mark.anyio

ONE_A_WEEK = CampaignPolicy(caps=(CampaignCap(at_most=1, per="7d"),))


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


async def test_who_got_a_page_before_the_cancellation_is_handed_over_and_who_did_not_is_skipped(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, execution_id = await stage.campaign(ONE_A_WEEK)
    failpoints.arm("page_sent.after_commit=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await stage.client.ask(campaign, top=2)
    finally:
        failpoints.arm("")

    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)
    await sweep_expired(db)
    await stage.pulls.engine.drain()
    assert set((await stage.world.fates(execution_id)).values()) == {"pending"}
    assert await stage.client.names(campaign) == []

    async with Database(db.dsn, size=3, shift=timedelta(minutes=1)) as later:
        there = Pulls(later)
        assert await hand_over_sent(later, there.runs, there.hand_over) == 1
    await sweep_expired(db)
    await stage.pulls.engine.drain()
    assert await stage.world.fates(execution_id) == {
        "a": "handed_over",
        "b": "handed_over",
        "c": "skipped execution_cancelled",
    }
    assert await give_back_reservations(db) == 1
    assert await rows(
        db, "SELECT isfinite(at) FROM contact JOIN customer USING (part, customer_id) ORDER BY external_id"
    ) == [
        (True,),
        (True,),
        (False,),
    ]
    assert await unbalanced(db) == []


async def test_a_page_that_is_still_being_sent_keeps_its_people_from_being_skipped_for_five_minutes(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, execution_id = await stage.campaign()
    page = await stage.client.ask(campaign, top=2, sent=False)
    assert len(page) == 2
    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)
    await sweep_expired(db)
    await stage.pulls.engine.drain()
    assert set((await stage.world.fates(execution_id)).values()) == {"pending"}

    db.shift += timedelta(minutes=6)
    await sweep_expired(db)
    await stage.pulls.engine.drain()
    assert set((await stage.world.fates(execution_id)).values()) == {"skipped execution_cancelled"}


async def test_what_a_cancelled_lease_reached_counts_for_caps_although_it_is_told_late(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "ab"])
    campaign, execution_id = await stage.campaign(ONE_A_WEEK)
    service, brand_id = stage.pulls.service, stage.world.brand_id
    pull = await service.freeze(brand_id, stage.client.puller, campaign=campaign, execution_id=None, channel_number=505)
    lease = await service.lease(brand_id, pull.id, rows=1, lease_s=60, attributes=(), asked_by="worker")
    assert lease is not None
    await stage.pulls.engine.executions.cancel(brand_id, execution_id)
    await stage.pulls.engine.drain()

    assert (await service.acknowledge(brand_id, pull.id, lease.page.id)).handed_over == 0

    await give_back_reservations(db)
    assert await rows(
        db, "SELECT isfinite(at) FROM contact JOIN customer USING (part, customer_id) ORDER BY external_id"
    ) == [
        (True,),
        (False,),
    ]


async def test_a_page_that_was_being_made_when_its_execution_was_cancelled_has_nobody(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "ab"])
    campaign, execution_id = await stage.campaign()
    asked = Asked((505,), campaign, 10, 0, Wording())
    page = await stage.pulls.service.page(stage.world.brand_id, stage.client.puller, asked)
    assert await anext(page.pieces)
    await stage.pulls.engine.executions.pause(stage.world.brand_id, execution_id)
    with pytest.raises(Unavailable, match="paused"):
        await page.stands()

    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)

    assert not await page.stands()
    await page.pieces.aclose()


async def test_a_round_freezes_the_lists_of_all_channels_also_those_of_later_pages(db: Database):
    both_ways = SMS.bit | VOICE.bit
    people = [reader(name, channels=both_ways, address_mask=both_ways, valid_mask=both_ways) for name in "ab"]
    stage = await Stage.made(db, *people)
    second = await stage.world.partner(number=506, template=8, name="Kick-off too", channel=ChannelKind.VOICE)
    publication = await stage.world.publication((SMS, VOICE), partners=[stage.partner, second])
    await stage.world.execution(publication)
    await stage.pulls.engine.plan()
    both = {"channels": (505, 506), "top": 2}
    first = [await stage.client.names(1, skip=skip, **both) for skip in (0, 2, 4)]

    await stage.world.choose("b", 0)
    again = [await stage.client.names(1, skip=skip, **both) for skip in (0, 2)]

    assert first == [["a", "b"], ["a", "b"], []]
    assert again == [["a", "a"], []]


async def test_whoever_asked_before_a_list_was_frozen_reads_that_one(db: Database):
    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign()
    run = await stage.pulls.runs.of_number(stage.world.brand_id, campaign, 505)
    assert run is not None
    ((asked_at,),) = await rows(db, "SELECT clock_timestamp()")
    other = Client(Pulls(db), stage.world)

    newer = await stage.pulls.freezer.freeze(run, stage.client.puller, asked_at=asked_at)
    older = await other.pulls.freezer.freeze(run, stage.client.puller, asked_at=asked_at)
    ((asked_at,),) = await rows(db, "SELECT clock_timestamp()")

    assert older == newer
    assert (await other.pulls.freezer.freeze(run, stage.client.puller, asked_at=asked_at)).id != newer.id
    assert (await stage.pulls.freezer.freeze(run, other.puller, asked_at=newer.started_at)).id != newer.id


async def test_a_brand_freezes_one_list_at_a_time_and_others_need_not_wait_for_it(db: Database):
    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign()
    other = await Stage.made(db, reader("x"), name="Other")
    other_campaign, _ = await other.campaign()
    run = await stage.pulls.runs.of_number(stage.world.brand_id, campaign, 505)
    beside = await stage.pulls.runs.of_number(other.world.brand_id, other_campaign, 505)
    assert run is not None
    assert beside is not None
    turns = Turns(patience=timedelta(milliseconds=50))

    async with turns.turn(run, stage.client.puller), turns.turn(beside, stage.client.puller):
        waiting = [
            asyncio.ensure_future(turns.turn(run, Puller(new_id(), "another")).__aenter__())
            for _ in range(FREEZES_WAITING_MAX + 1)
        ]
        refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in refused} == {Unavailable}
    assert len([each for each in refused if "calls of this brand wait" in str(each)]) == 1
    async with turns.turn(run, stage.client.puller):
        pass


async def test_a_freeze_may_take_longer_over_people_than_other_transactions_may_stand_still(db: Database):
    limit_s = 0.5

    def busy() -> None:
        with psycopg.connect(db.dsn, autocommit=True) as conn:
            conn.execute("SELECT pg_sleep(%s)", [limit_s + 0.2])

    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign(ONE_A_WEEK)
    async with Database(db.dsn, size=4, stands_still=timedelta(seconds=limit_s)) as hasty:
        failpoints.arm("pull_wave.after_commit=busy@1", {"busy": busy})
        try:
            assert await Client(Pulls(hasty), stage.world).names(campaign) == ["a"]
        finally:
            failpoints.arm("")


async def test_of_lists_that_a_client_replaces_again_and_again_the_latest_keep_their_rows(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, execution_id = await stage.campaign()
    service, brand_id = stage.pulls.service, stage.world.brand_id

    async def frozen() -> Pull:
        return await service.freeze(
            brand_id, stage.client.puller, campaign=campaign, execution_id=None, channel_number=505
        )

    leased = await frozen()
    assert await service.lease(brand_id, leased.id, rows=1, lease_s=60, attributes=(), asked_by="worker")
    lists = [await frozen() for _ in range(LISTS_KEPT_MAX + 2)]

    assert await drop_rows(db) == 6

    left = await service.pulls(brand_id, execution_id=execution_id, before=None, limit=100)
    assert [pull.id for pull in left] == [pull.id for pull in (leased, *lists[2:])][::-1]


async def test_a_brands_lists_have_so_many_rows_at_once_and_no_more(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, _ = await stage.campaign()
    await stage.client.ask(campaign)
    async with db.autocommit() as conn:
        await conn.execute("UPDATE pull SET rows = 9000")
        await conn.execute("UPDATE chunk SET sends = 2000")
    client = Client(Pulls(db, rows_max=10_000), stage.world)

    with pytest.raises(Unavailable, match="have 9,000 rows") as refused:
        await client.ask(campaign)
    assert refused.value.retry_after_s == 600

    async with db.autocommit() as conn:
        await conn.execute("UPDATE pull SET emptied_at = now(), dropped_at = now()")
    assert len(await client.ask(campaign)) == 3


async def test_a_page_that_two_read_on_from_at_once_is_noted_once(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, execution_id = await stage.campaign()
    service, brand_id = stage.pulls.service, stage.world.brand_id
    pull = await service.freeze(brand_id, stage.client.puller, campaign=campaign, execution_id=None, channel_number=505)

    both = await asyncio.gather(
        *(service.rows(brand_id, pull.id, after=(0, 2), limit=2, attributes=(), asked_by="one") for _ in range(2))
    )

    assert [[row.external_id for row in page.rows] for page in both] == [["c"], ["c"]]
    assert (await service.pull(brand_id, pull.id)).handed_over_rows == 2
    assert list((await stage.world.fates(execution_id)).values()).count("handed_over") == 2


async def test_of_what_was_forgotten_nobody_is_fetched(db: Database):
    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign()
    assert await stage.client.names(campaign) == ["a"]
    await rows(db, "UPDATE execution SET forgotten_at = now() RETURNING 1")

    assert await stage.client.names(campaign) == []
