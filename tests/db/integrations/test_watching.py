"""What holds the watcher up holds up nothing else, and what has not changed is not asked twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from erasure_world import Erasing
from listed import Lists
from pull_world import SMS, Pulls, Stage
from revocation_world import builtin, code_of, made, told
from stentor import failpoints
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.db.pool import Database
from stentor.domain.ids import customer_id, part_of
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures import exporting
from stentor.errors import NotFound
from stentor.executions import explaining
from stentor.executions import store as executions
from stentor.executions.audiences import OfTag
from stentor.executions.barring import Barred, bar
from stentor.integrations.pulls import store
from stentor.integrations.pulls.asking_again import AskAgain
from stentor.integrations.pulls.clearing import drop_rows
from stentor.integrations.pulls.model import Pull
from stentor.integrations.pulls.watching import Watcher
from stentor.optouts.entry_service import EntryService
from stentor.optouts.lists import ListDraft, ListService
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.testing.world import Someone
from trigger_world import rows

pytestmark = pytest.mark.anyio

ACT = Act(source=Source.API)


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


async def withdraw(stage: Stage, *names: str) -> None:
    for name in names:
        person = customer_id(stage.world.brand_id, name)
        await SubscriptionService(stage.world.db).withdraw(stage.world.brand_id, person, stage.world.topic_id, ACT)


async def test_a_list_that_cannot_be_read_keeps_nobody_else_from_being_told_of(db: Database, tmp_path: Path):
    first, second = await made(db, ["p0", "p1"], name="First"), await made(db, ["p0"], name="Second")
    for stage in (first, second):
        campaign, _ = await stage.campaign()
        await stage.client.ask(campaign)
    lists, brand_id = Lists(db, tmp_path), first.world.brand_id
    # This process knows no storage where its file would be.
    await lists.run(await lists.made(brand_id, "l", channels=SMS.bit), ["+4915112345009"])
    await SubscriptionService(db).refuse(
        brand_id, customer_id(brand_id, "p1"), ChannelKind.EMAIL.bit, ACT, cause="stop"
    )
    await withdraw(first, "p0")
    await withdraw(second, "p0")

    await first.pulls.look()

    assert (await told(first), await told(second)) == ({"p0": "unsubscribed"}, {"p0": "unsubscribed"})


async def test_one_brands_many_noes_do_not_keep_others_waiting(db: Database):
    stages = [await made(db, ["p0", "p1", "p2"], name=name) for name in ("Many", "Few")]
    for stage in stages:
        campaign, _ = await stage.campaign()
        await stage.client.ask(campaign)
    many, few = stages
    pulls = many.pulls
    ask_again = AskAgain(db, pulls.engine.look_up, pulls.hand_over)
    watcher = Watcher(db, pulls.runs, pulls.engine.look_up, ask_again, turn_s=0.0, asked_at_once=1)
    await withdraw(many, "p0", "p1", "p2")
    await withdraw(few, "p0")

    looks = [(await watcher.look(), len(await told(many)), len(await told(few))) for _ in range(4)]

    assert looks == [(2, 1, 1), (1, 2, 1), (1, 3, 1), (0, 3, 1)]


async def test_who_is_fetched_after_the_watch_ended_was_asked_again_and_is_watched(db: Database):
    stage = await made(db, [f"p{number}" for number in range(5)])
    campaign, execution_id = await stage.campaign()
    await stage.client.ask(campaign, top=2)
    await withdraw(stage, "p4")
    await stage.pulls.look()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE pulled_run SET watched_until = now() - interval '1 day'")
    await withdraw(stage, "p1", "p3")
    await stage.pulls.watcher.look()

    assert await stage.client.names(campaign, skip=2) == ["p2", "p3", "p4"]

    assert await told(stage) == {"p4": "unsubscribed", "p3": "unsubscribed"}
    assert (await stage.world.fates(execution_id))["p3"] == "skipped revoked"
    await stage.pulls.look()
    assert await told(stage) == {"p4": "unsubscribed", "p3": "unsubscribed", "p1": "unsubscribed"}
    ((until,),) = await rows(db, "SELECT watched_until FROM pulled_run")
    assert until > datetime.now(UTC) + timedelta(days=6)


async def test_what_was_dealt_with_is_not_asked_again_while_something_long_is_under_way(db: Database):
    stage = await made(db, ["p0", "p1", "p2"])
    brand_id, look_up = stage.world.brand_id, stage.pulls.engine.look_up
    campaign, _ = await stage.campaign()
    await stage.client.ask(campaign)
    await ListService(db, {}).create(brand_id, ListDraft(name="Other", kind="sha512"))
    await stage.pulls.look()

    async with await psycopg.AsyncConnection.connect(db.dsn) as slow:
        await slow.execute("SELECT pg_current_xact_id()")
        await EntryService(db, look_up).add(brand_id, await code_of(db, "Other"), ["f" * 128])
        await withdraw(stage, "p1")
        assert await stage.pulls.watcher.look() == 1
        # A digest leads to nobody: all are asked, once.
        swept = [await stage.pulls.watcher.sweep() for _ in range(3)]
        await stage.pulls.watcher.look()
        again = await stage.pulls.watcher.sweep()
        await withdraw(stage, "p2")
        assert await stage.pulls.watcher.look() == 1

    assert (swept[0], again) == (True, False)
    assert await told(stage) == {"p1": "unsubscribed", "p2": "unsubscribed"}


async def test_what_strangers_said_themselves_has_nobody_else_asked(db: Database):
    stage = await Stage.made(db, Someone("p0"))
    brand_id = stage.world.brand_id
    partner = await stage.world.partner(ChannelKind.EMAIL, number=510)
    await stage.world.execution(await stage.world.publication(partners=[partner]))
    await stage.pulls.engine.plan()
    ((campaign,),) = await rows(db, "SELECT number FROM partner_run")
    assert await stage.client.names(campaign, channels=(510,)) == ["p0"]
    await stage.pulls.look()

    swept: dict[str, bool] = {}
    for cause in ("unsubscribe", "api"):
        # Of an address that is known by its digest alone, and to nobody here.
        async with db.transaction() as conn:
            await add_to_builtin(conn, brand_id, [OptOut(ChannelKind.EMAIL, cause[0].encode() * 16, cause)])
        await stage.pulls.watcher.look()
        swept[cause] = await stage.pulls.watcher.sweep()

    # What somebody wrote down of others may be a domain.
    assert swept == {"unsubscribe": False, "api": True}


async def test_people_of_casts_are_found_without_looking_through_all_runs(db: Database):
    stage = await made(db, ["p0", "p1"])
    wide, _ = await stage.campaign()
    tag_id = await stage.world.tag(["p0"])
    publication_id = await stage.world.publication((SMS,), partners=[stage.partner], basis="channel")
    cast_id = await stage.world.execution(publication_id, audience=OfTag(tag_id))
    await stage.pulls.engine.plan()
    ((cast,),) = await rows(db, "SELECT number FROM partner_run WHERE execution_id = %s", cast_id)
    for campaign in (wide, cast):
        await stage.client.ask(campaign)
    people = [customer_id(stage.world.brand_id, name) for name in ("p0", "p1")]
    for person in people:
        await SubscriptionService(db).refuse(stage.world.brand_id, person, SMS.bit, ACT, cause="stop")

    assert await stage.pulls.look() == 3

    assert await rows(db, "SELECT is_wide, revoked FROM pulled_run ORDER BY is_wide") == [(False, 1), (True, 2)]


async def test_who_wants_the_chunks_alone_is_passed_by_nobody_who_shares_them(db: Database):
    stage = await made(db, ["p0", "p1"])
    campaign, execution_id = await stage.campaign()
    run = await stage.pulls.runs.of_number(stage.world.brand_id, campaign, 505)
    assert run is not None
    order: list[str] = []

    async def alone() -> None:
        async with db.transaction() as conn:
            await executions.cancel(conn, stage.world.brand_id, execution_id)
            order.append("cancelled")

    async def shared() -> None:
        async with db.transaction() as conn:
            await store.share_pulled(conn, run)
            order.append("shared")

    async def waiting(count: int) -> None:
        async with asyncio.timeout(10):
            while (await rows(db, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"))[0][
                0
            ] < count:
                continue

    async with db.transaction() as conn:
        assert await store.share_pulled(conn, run) != []
        cancelling = asyncio.create_task(alone())
        await waiting(1)
        sharing = asyncio.create_task(shared())
        await waiting(2)
    await asyncio.gather(cancelling, sharing)

    assert order == ["cancelled", "shared"]


async def test_a_look_begins_a_second_before_what_shows_to_be_under_way(db: Database):
    async with db.transaction() as conn:
        moment = await store.Sql.moment.value(conn)
        (now,) = await (await conn.execute("SELECT statement_timestamp()")).fetchone() or (None,)

    assert now - moment >= timedelta(seconds=1)


async def test_whoever_has_another_address_or_none_since_the_list_was_frozen_is_asked_again(
    db: Database, tmp_path: Path
):
    stage = await made(db, [f"p{number}" for number in range(4)])
    brand_id, erasing = stage.world.brand_id, Erasing(stage.world, tmp_path)
    await EntryService(db, stage.pulls.engine.look_up).add(brand_id, await builtin(db, brand_id), ["+4915112345777"])
    campaign, execution_id = await stage.campaign()
    assert await stage.client.names(campaign, top=1) == ["p0"]
    await stage.pulls.look()
    await erasing.add("p1", phone="+4915112345777")
    await erasing.add("p3", phone="+4915112345778")
    await erasing.erase("p2")

    assert await stage.client.names(campaign, skip=1) == ["p1", "", "p3"]

    assert set((await told(stage)).items()) == {("p1", "suppressed"), ("(p2)", "no_address")}
    fates = await stage.world.fates(execution_id)
    assert (fates["p1"], fates["p3"]) == ("skipped revoked", "handed_over")
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]


async def test_a_list_that_is_dropped_is_refused_before_its_rows_go_and_its_revocations_stay(db: Database):
    stage = await made(db, ["p0", "p1", "p2"])
    campaign, _ = await stage.campaign()
    brand_id, service = stage.world.brand_id, stage.pulls.service

    async def freeze() -> Pull:
        return await service.freeze(
            brand_id, stage.client.puller, campaign=campaign, execution_id=None, channel_number=505
        )

    pull, _ = await freeze(), await freeze()
    await withdraw(stage, "p1")
    await stage.pulls.look()
    async with Database(db.dsn, size=3, shift=timedelta(minutes=30)) as half:
        lease = await Pulls(half).service.lease(
            brand_id, pull.id, rows=3, lease_s=3_600, attributes=[], asked_by="worker"
        )
    assert lease is not None
    async with Database(db.dsn, size=3, shift=timedelta(minutes=70)) as later:
        await drop_rows(later)
        # The lease is good still.
        assert (await service.pull(brand_id, pull.id)).rows == 3
    async with Database(db.dsn, size=3, shift=timedelta(minutes=100)) as later:
        failpoints.arm("pull_rows_dropped.after_commit=die@1", {"die": die})
        try:
            with pytest.raises(Died):
                await drop_rows(later)
        finally:
            failpoints.arm("")
        left = await rows(db, "SELECT count(*) FROM pull_row WHERE pull_id = %s", pull.id)
        with pytest.raises(NotFound):
            await service.rows(brand_id, pull.id, after=None, limit=10, attributes=[], asked_by="worker")
        await drop_rows(later)

    assert left == [(3,)]
    assert await rows(db, "SELECT count(*) FROM pull_row WHERE pull_id = %s", pull.id) == [(0,)]
    assert [one.external_id for one in await service.revocations(brand_id, pull.id, after=0, limit=10)] == ["p1"]


async def test_who_cannot_be_reached_on_a_channel_without_lists_is_revoked_elsewhere_too(db: Database):
    push = ChannelKind.PUSH
    fields: dict[str, Any] = {"channels": push.bit, "address_mask": push.bit, "valid_mask": push.bit}
    stage = await Stage.made(db, Someone("p0", **fields), Someone("p1", **fields))
    brand_id = stage.world.brand_id
    partner = await stage.world.partner(push, number=510)
    execution_id = await stage.world.execution(await stage.world.publication((push,), partners=[partner]))
    await stage.pulls.engine.plan()
    ((campaign,),) = await rows(db, "SELECT number FROM partner_run")
    assert await stage.client.names(campaign, channels=(510,)) == ["p0", "p1"]
    async with db.transaction() as conn:
        await bar(conn, brand_id, push, [Barred(execution_id, customer_id(brand_id, "p1"), None, "bounce")])

    await stage.pulls.look()

    assert await told(stage) == {"p1": "bounced_before"}


async def test_an_export_says_which_services_were_given_the_person_and_when(db: Database):
    stage = await made(db, ["p0", "p1"])
    campaign, execution_id = await stage.campaign()
    await stage.client.ask(campaign, top=1)

    told_of: dict[str, list[dict[str, Any]]] = {}
    for name in ("p0", "p1"):
        person = customer_id(stage.world.brand_id, name)
        key = {"brand_id": stage.world.brand_id, "part": part_of(person), "customer_id": person}
        async with db.read() as conn:
            found = await exporting.Sql.pulls.column(conn, **key, execution_ids=[execution_id])
        told_of[name] = found

    assert [(one["service"], len(one["fetched"])) for one in told_of["p0"]] == [("hub client one", 1)]
    assert told_of["p0"][0]["fetched"][0]["by"] == "hub client one"
    assert [(one["position"], one["fetched"]) for one in told_of["p1"]] == [(1, [])]


async def test_explaining_goes_back_to_few_of_the_lists_of_a_client_that_asks_each_minute(db: Database):
    stage = await made(db, ["p0"])
    campaign, execution_id = await stage.campaign()
    await stage.client.ask(campaign)
    async with db.autocommit() as conn:
        await conn.execute(
            "INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, started_at, frozen_at)"
            " SELECT uuidv7(), brand_id, execution_id, channel_number, gen_random_uuid(), 'other', started_at, frozen_at FROM pull"
        )
        await conn.execute(
            "INSERT INTO pull (id, brand_id, execution_id, channel_number, puller_id, puller, started_at, frozen_at)"
            " SELECT uuidv7(), brand_id, execution_id, channel_number, puller_id, puller, started_at, frozen_at"
            " FROM pull, generate_series(1, 100) WHERE puller <> 'other'"
        )
    async with db.read() as conn:
        lists = await explaining.Sql.frozen_lists.tuples(
            conn,
            brand_id=stage.world.brand_id,
            execution_id=execution_id,
            channel_number=505,
            until=datetime.now(UTC) + timedelta(hours=1),
            of_each=explaining.FROZEN_OF_EACH_MAX,
            limit=explaining.FROZEN_LISTS_MAX,
        )

    assert len(lists) == explaining.FROZEN_OF_EACH_MAX + 1


async def test_runs_that_are_forgotten_find_who_reads_their_lists_by_an_index(db: Database):
    found = await rows(db, "SELECT indexdef FROM pg_indexes WHERE tablename = 'pull_latest'")

    assert any(text.endswith("(pull_id)") for (text,) in found)
