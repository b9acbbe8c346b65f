"""What happened to one person, and whether they may be written to now: the same as their sends, their ledger and the guard say."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from listed import Lists
from night_world import NIGHT, NOON, AtTime, a_world, in_zone
from stentor.audience.customer_events import CustomerEventService, Told
from stentor.audience.finding import PersonFinder, Wanted
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.channels.contract import Accepted, Message, Outcome, Rejected
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.policy import BrandCap, BrandPolicy
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.erasures.merging import MergeService
from stentor.errors import NotFound
from stentor.executions import timeline
from stentor.executions.reaching import Reach, ReachService
from stentor.executions.timeline import TimelineEntry, TimelineService
from stentor.optouts.entry_service import EntryService
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from step_world import Walk

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
ACT = Act(source=Source.CONSOLE, actor="ina@example.org")


async def everything(world: World, person: UUID, limit: int = 3) -> list[TimelineEntry]:
    """The whole timeline, page by page; nothing is told twice."""
    service, before = TimelineService(world.db), None
    entries: list[TimelineEntry] = []
    while True:
        page = await service.page(world.brand_id, person, before=before, limit=limit)
        entries += page.entries
        if (before := page.before) is None:
            break
    keys = [(entry.kind, entry.id, entry.external_id) for entry in entries]
    assert len(set(keys)) == len(keys)
    assert [entry.position for entry in entries] == sorted((entry.position for entry in entries), reverse=True)
    return entries


def told(entries: list[TimelineEntry]) -> list[str]:
    """In words, oldest first."""
    return [in_words(entry) for entry in reversed(entries)]


def in_words(entry: TimelineEntry) -> str:
    if entry.event is not None:
        return f"event {entry.event.name}"
    if entry.consent is not None:
        return f"{entry.consent.kind} by {entry.consent.source}"
    assert entry.run is not None
    sends = [f"{send.channel.label} {send.state.label} {send.reason.label}".strip() for send in entry.run.sends]
    return " ".join([*sends, *(f"step {wait.step}" for wait in entry.run.waits)])


async def test_all_that_was_sent_and_not_sent_chosen_and_told_is_there_in_its_order(db: Database):
    def answered(message: Message) -> Outcome:
        return Rejected("550 no such mailbox") if message.address.startswith("bo@") else Accepted()

    walk = Walk(await World.made(db), Engine(db, ScriptedChannel(answered)))
    world = walk.world
    one, bo = await world.people([Someone("one"), Someone("bo")])
    plain = await world.publication(steps=[Following(3600)])
    await world.execution(plain)
    await walk.on()
    await CustomerEventService(db, Clock(), days=400).tell(
        world.brand_id, [Told(external_id="one", name="ordered", at=Clock(db.shift).now())]
    )
    await SubscriptionService(db).refuse(world.brand_id, one, EMAIL.bit, ACT, cause="api")
    skipped = await world.execution(await world.publication())
    await walk.on()
    # Of somebody who is not in it, a run is not told.
    await world.execution(await world.publication(), topic_key="news")

    entries = await everything(world, one)

    assert told(entries)[1:] == [
        "email handed_over step 1",
        "event ordered",
        "refused by console",
        "email skipped unsubscribed",
    ]
    run = next(entry.run for entry in entries if entry.id == skipped)
    assert run is not None
    assert (run.campaign[:4], run.is_test, run.sends[0].reason) == ("News", False, Reason.UNSUBSCRIBED)
    rejected = [entry.run.sends[0] for entry in await everything(world, bo) if entry.run and entry.run.sends]
    assert [send.state for send in rejected] == [SendState.FAILED, SendState.FAILED]
    assert [(each.kind, each.answer) for each in rejected[0].answers] == [("rejected", "550 no such mailbox")]
    with pytest.raises(NotFound):
        await TimelineService(db).page((await World.made(db, "Other")).brand_id, one)


async def test_who_was_merged_into_somebody_is_told_along_under_their_own_id(db: Database):
    world = await World.made(db)
    one, two = await world.people([Someone("one"), Someone("two")])
    await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).drain()
    await MergeService(db).merge(world.brand_id, "one", "two", asked_by="key 1")

    entries = await everything(world, one, limit=1)

    runs = [entry for entry in entries if entry.run]
    assert sorted(entry.external_id for entry in runs) == ["one", "two"]
    assert len({entry.id for entry in runs}) == 1
    with pytest.raises(NotFound):
        await TimelineService(db).page(world.brand_id, two)


async def test_runs_of_a_topic_that_reached_others_are_passed_over_some_at_a_time(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timeline, "_RUNS_AT_ONCE", 2)
    monkeypatch.setattr(timeline, "RUNS_LOOKED_AT_MAX", 2)
    world = await World.made(db)
    (one,) = await world.people([Someone("one")])
    first = await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).drain()
    await world.choose("one", 0)
    for _ in range(5):
        await world.execution(await world.publication())
    await Engine(db, ScriptedChannel()).drain()

    page = await TimelineService(db).page(world.brand_id, one, limit=10)

    assert [entry.kind for entry in page.entries if entry.run] == []
    assert page.before is not None
    assert [entry.id for entry in await everything(world, one) if entry.run] == [first]


async def reach_of(world: World, lists: Lists, name: str) -> Reach:
    engine = Engine(world.db, ScriptedChannel(), lists=lists.files)
    entries = EntryService(world.db, engine.look_up)
    found = await PersonFinder(world.db).find(world.brand_id, Wanted(text=name), region=None, after=None, limit=1)
    service = ReachService(world.db, entries)
    return await service.of(world.brand_id, found.people[0])


async def test_caps_left_are_what_the_guard_would_say(db: Database, tmp_path: Path):
    world, lists = await World.made(db), Lists(db, tmp_path)
    await world.brand_policy(
        BrandPolicy((BrandCap(2, "24h", ("email",)), BrandCap(5, "7d"), BrandCap(1, "1h", ("sms",))))
    )
    await world.people([Someone("one")])
    engine = Engine(db, ScriptedChannel())
    before = Clock(db.shift).now()
    await world.execution(await world.publication())
    await engine.drain()

    once = await reach_of(world, lists, "one")
    await world.execution(await world.publication())
    await engine.drain()
    twice = await reach_of(world, lists, "one")
    third = await world.execution(await world.publication())
    await engine.drain()

    assert [(cap.used, cap.left, cap.opens_at) for cap in once.caps] == [(1, 1, None), (1, 4, None), (0, 1, None)]
    assert [(cap.used, cap.left) for cap in twice.caps] == [(2, 0), (2, 3), (0, 1)]
    (email,) = twice.channels
    assert email.reason is Reason.FREQUENCY_CAP
    assert email.until is not None
    assert before + timedelta(hours=24) <= email.until <= Clock(db.shift).now() + timedelta(hours=24)
    assert (await world.fates(third))["one"] == "skipped frequency_cap"


async def test_quiet_hours_and_the_clock_are_those_of_where_they_are(at: AtTime, tmp_path: Path):
    async with at(NOON) as noon:
        world = await a_world(noon, in_zone("us", "America/Los_Angeles"), in_zone("jp", "Asia/Tokyo"), in_zone("de"))
        await world.settings(quiet_hours=[NIGHT], default_time_zone="Europe/Berlin")
        lists = Lists(noon, tmp_path)

        us, jp, de = [await reach_of(world, lists, name) for name in ("us", "jp", "de")]

    def shown(reach: Reach) -> list[str]:
        return [
            *(f"{clock.time_zone} {clock.local:%H:%M}" for clock in reach.clocks),
            *(f"{one.reason.label or 'open'} {one.until and f'{one.until:%d %H:%M}'}" for one in reach.channels),
        ]

    assert shown(us) == ["America/Los_Angeles 05:00", "quiet_hours 15 15:00"]
    assert shown(jp) == ["Asia/Tokyo 21:00", "quiet_hours 15 23:00"]
    assert shown(de) == ["Europe/Berlin 14:00", "open None"]
    assert (us.zone_from, de.zone_from) == ("time_zone", "group")


async def test_a_break_is_told_with_its_end_and_holds_on_every_channel(db: Database, tmp_path: Path):
    world = await World.made(db)
    (one,) = await world.people([Someone("one")])
    until = Clock(db.shift).now() + timedelta(days=3)
    await SubscriptionService(db).take_break(world.brand_id, one, until, ACT)

    reach = await reach_of(world, Lists(db, tmp_path), "one")
    entries = await everything(world, one)

    assert [(each.reason, each.until) for each in reach.channels] == [(Reason.ON_A_BREAK, until)]
    assert [(entry.consent.kind, entry.consent.until) for entry in entries[:1] if entry.consent] == [("break", until)]


async def test_the_lists_that_hold_an_address_are_named_and_one_for_some_topics_stops_not_all(
    db: Database, tmp_path: Path
):
    world, lists = await World.made(db), Lists(db, tmp_path)
    await world.people([Someone("one"), Someone("two"), Someone("gone", refused_mask=EMAIL.bit)])
    wide, narrow = (
        await lists.made(world.brand_id, "wide"),
        await lists.made(world.brand_id, "narrow", scope="topics", scope_ids=[world.topic_id]),
    )
    await lists.run(wide, ["one@example.com"])
    await lists.recent(narrow, "two@example.com", cause="collect")

    one, two, gone = [await reach_of(world, lists, name) for name in ("one", "two", "gone")]

    assert [(found.list_name, found.cause, found.at) for found in one.opt_outs] == [("wide", "import", None)]
    assert [each.reason for each in one.channels] == [Reason.SUPPRESSED]
    assert [(found.list_name, found.cause, found.scope) for found in two.opt_outs] == [("narrow", "collect", "topics")]
    assert [each.reason for each in two.channels] == [Reason.NONE]
    assert [each.reason for each in gone.channels] == [Reason.UNSUBSCRIBED]
