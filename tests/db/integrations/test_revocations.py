"""Whoever says no after a service has fetched them is told of, whatever way the no came, and handed over no more."""

from pathlib import Path

import psycopg
import pytest

from erasure_world import Erasing
from pull_world import SMS, Client
from revocation_world import NAMES, builtin, code_of, feed, made, told
from stentor import failpoints
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.erasures.merging import MergeService
from stentor.optouts.entry_service import EntryService
from stentor.optouts.lists import ListDraft, ListService
from tallies import unbalanced
from trigger_world import rows

pytestmark = pytest.mark.anyio


async def test_every_kind_of_no_is_found_by_the_next_look(db: Database, tmp_path: Path):
    stage = await made(db, NAMES)
    brand_id, look_up = stage.world.brand_id, stage.pulls.engine.look_up
    ids = [customer_id(brand_id, name) for name in NAMES]
    campaign, execution_id = await stage.campaign()
    assert await stage.client.names(campaign, top=6) == NAMES[:6]
    assert await stage.pulls.look() == 0

    subscriptions, act = SubscriptionService(db), Act(source=Source.API)
    await subscriptions.withdraw(brand_id, ids[0], stage.world.topic_id, act)
    await subscriptions.refuse(brand_id, ids[1], SMS.bit, act, cause="stop")
    await EntryService(db, look_up).add(brand_id, (await builtin(db, brand_id)), ["+4915112345002"])
    await ListService(db, {}).create(brand_id, ListDraft(name="Other", kind="sha512"))
    await EntryService(db, look_up).add(brand_id, await code_of(db, "Other"), ["+4915112345003"])
    await Erasing(stage.world, tmp_path).erase(NAMES[4])
    await MergeService(db).merge(brand_id, NAMES[7], NAMES[5], asked_by="key 7")
    await subscriptions.withdraw(brand_id, ids[6], stage.world.topic_id, act)
    await stage.pulls.look()

    assert await told(stage) == {
        "p0": "unsubscribed",
        "p1": "unsubscribed",
        "p2": "suppressed",
        "p3": "suppressed",
        "(p4)": "no_address",
        "(p5)": "no_address",
        "p6": "unsubscribed",
    }
    assert [one.number for one in await feed(stage)] == [1, 2, 3, 4, 5, 6, 7]
    assert len(await feed(stage, after=5)) == 2
    # Whose page was still to come is skipped, and stays on it all the same: no page becomes shorter.
    fates = await stage.world.fates(execution_id)
    assert (fates["p0"], fates["p6"], fates["p7"]) == ("handed_over", "skipped revoked", "pending")
    assert await stage.client.names(campaign, skip=6) == ["p6", "p7"]
    assert await stage.pulls.look() == 0
    # Whoever was revoked and comes back is not sent this campaign after all.
    await stage.world.choose("p0", SMS.bit)
    assert await stage.client.names(campaign) == ["p7"]
    assert await unbalanced(db) == []
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]


async def test_an_opt_out_that_was_long_in_coming_is_found_although_later_ones_were_before(db: Database):
    stage = await made(db, NAMES[:3])
    campaign, _ = await stage.campaign()
    assert await stage.client.names(campaign) == NAMES[:3]
    brand_id = stage.world.brand_id
    subscriptions, act = SubscriptionService(db), Act(source=Source.API)

    async with await psycopg.AsyncConnection.connect(db.dsn) as slow:
        await slow.execute(
            "INSERT INTO consent_event (part, customer_id, event_id, brand_id, at, kind, channels, source)"
            " SELECT part, customer_id, gen_random_uuid(), brand_id, statement_timestamp(), 'refused', 4, 'api'"
            " FROM customer WHERE external_id = 'p0'"
        )
        await slow.execute("UPDATE customer SET refused_mask = 4, agreed_mask = 0 WHERE external_id = 'p0'")
        await subscriptions.withdraw(brand_id, customer_id(brand_id, "p1"), stage.world.topic_id, act)
        await stage.pulls.look()
        await stage.pulls.look()
        assert await told(stage) == {"p1": "unsubscribed"}
        await slow.commit()
    await stage.pulls.look()

    assert await told(stage) == {"p0": "unsubscribed", "p1": "unsubscribed"}


async def test_who_dies_while_revoking_tells_of_nobody_twice_and_forgets_nobody(db: Database):
    stage = await made(db, NAMES[:4])
    campaign, execution_id = await stage.campaign()
    await stage.client.ask(campaign, top=2)
    brand_id, act = stage.world.brand_id, Act(source=Source.API)
    for name in NAMES[1:3]:
        await SubscriptionService(db).withdraw(brand_id, customer_id(brand_id, name), stage.world.topic_id, act)

    class Died(BaseException):
        """The process is gone."""

    def die() -> None:
        raise Died

    for point in ("revoke.before_commit", "revoke.after_commit", "watched.before_commit"):
        failpoints.arm(f"{point}=die@1", {"die": die})
        try:
            with pytest.raises(Died):
                await stage.pulls.look()
        finally:
            failpoints.arm("")
    await stage.pulls.look()

    assert [(one.number, one.external_id) for one in await feed(stage)] in (
        [(1, "p1"), (2, "p2")],
        [(1, "p2"), (2, "p1")],
    )
    fates = await stage.world.fates(execution_id)
    assert fates == {"p0": "handed_over", "p1": "handed_over", "p2": "skipped revoked", "p3": "pending"}
    assert await unbalanced(db) == []


async def test_a_person_is_told_when_and_by_whom_they_were_fetched_and_revoked(db: Database):
    stage = await made(db, NAMES[:3])
    campaign, execution_id = await stage.campaign()
    other = Client(stage.pulls, stage.world, label="hub client two")
    await stage.client.ask(campaign, top=2)
    await other.ask(campaign)
    brand_id, service = stage.world.brand_id, stage.pulls.service
    await SubscriptionService(db).withdraw(
        brand_id, customer_id(brand_id, "p1"), stage.world.topic_id, Act(source=Source.API)
    )
    await stage.pulls.look()

    traces = await service.trace(brand_id, execution_id, customer_id(brand_id, "p1"))
    unread = await service.trace(brand_id, execution_id, customer_id(brand_id, "p2"))

    assert [(one.puller, one.position, one.channel_number) for one in traces] == [
        ("hub client one", 1, 505),
        ("hub client two", 1, 505),
    ]
    assert all(one.handed_over_at is not None for one in traces)
    assert [(one.puller, one.handed_over_at is None) for one in unread] == [
        ("hub client one", True),
        ("hub client two", False),
    ]
    assert (await service.revoked(brand_id, execution_id, customer_id(brand_id, "p1")))[
        505
    ].reason.label == "unsubscribed"
    assert await service.revoked(brand_id, execution_id, customer_id(brand_id, "p2")) == {}
