"""A service fetches whom an execution sends by its channel: a list that is guarded once, stays as it is, and loses nobody."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pull_world import SMS, Client, Pulls, Stage, reader
from stentor import failpoints
from stentor.db.pool import Database
from stentor.domain.address import phone_digest
from stentor.domain.policy import BrandCap, BrandPolicy, CampaignCap, CampaignPolicy
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.integrations.pulls.clearing import Unfinished, drop_rows, hand_over_sent
from stentor.integrations.pulls.model import Wording
from stentor.integrations.pulls.paging import Asked
from stentor.integrations.pulls.reserving import give_back_reservations
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from tallies import unbalanced
from trigger_world import rows

VOICE = ChannelKind.VOICE

pytestmark = pytest.mark.anyio


class Died(BaseException):
    """The process is gone."""


def die() -> None:
    raise Died


async def stopped(stage: Stage, name: str) -> None:
    """That person's number is on the built-in list."""
    ((phone,),) = await rows(stage.world.db, "SELECT phone FROM customer WHERE external_id = %s", name)
    async with stage.world.db.transaction() as conn:
        await add_to_builtin(conn, stage.world.brand_id, [OptOut(SMS, phone_digest(phone), "stop")])


async def test_a_page_says_who_gets_what_and_when_and_is_handed_over_when_it_was_sent(db: Database):
    stage = await Stage.made(db, reader("b"), reader("a", time_zone="Europe/Berlin"), reader("c", refused_mask=SMS.bit))
    campaign, execution_id = await stage.campaign()
    async with db.autocommit() as conn:
        await conn.execute(
            """UPDATE customer SET attributes = '{"city": "Kiel \\"K\\"", "n": 3}' WHERE external_id = 'a'"""
        )

    unsent = await stage.client.ask(campaign, sent=False, attributes=("city", "Email", "n", "none"))
    assert await stage.world.fates(execution_id) == {"a": "pending", "b": "pending", "c": "skipped unsubscribed"}
    sent = await stage.client.ask(campaign, attributes=("city", "Email", "n", "none"))

    ((at,),) = await rows(
        db, "SELECT to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM partner_run"
    )
    said = {"TemplateID": 7, "ScheduledTime": at}
    assert (
        sent
        == unsent
        == [
            {"CustomerID": "a", **said, "CustomerAttributes": ['Kiel "K"', "a@example.com", "3", ""]},
            {"CustomerID": "b", **said, "CustomerAttributes": ["", "b@example.com", "", ""]},
        ]
    )
    assert await stage.client.ask(campaign, skip=1) == [{"CustomerID": "b", **said}]
    assert await stage.client.ask(campaign, attributes=("city", "Email"), delimiter="|", top=1) == [
        {"CustomerID": "a", **said, "CustomerAttribute": 'Kiel "K"|a@example.com'}
    ]
    assert await stage.client.ask(campaign, shape="campaign_details", with_templates=True, top=1) == [
        {"CustomerID": "a", "ChannelID": 505, "ScheduledTime": at, "SendID": f"{campaign}-505-7", "TemplateID": 7}
    ]
    assert await stage.client.ask(campaign, shape="execution_details", action_number=3, top=1) == [
        {
            "CustomerID": "a",
            "ActionID": 3,
            "ChannelID": 505,
            "TemplateID": 7,
            "TemplateName": "Kick-off",
            "ScheduleTime": at,
            "PromoCode": "",
        }
    ]
    assert await stage.world.fates(execution_id) == {
        "a": "handed_over",
        "b": "handed_over",
        "c": "skipped unsubscribed",
    }
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]
    assert await unbalanced(db) == []
    assert await rows(db, "SELECT sum(handed_over)::integer, count(*)::integer FROM pull_page") == [(2, 5)]


async def test_pages_of_any_size_follow_each_other_in_the_order_of_ids_to_an_empty_one(db: Database):
    names = sorted(f"{letter}{number}" for letter in "aBé" for number in range(5))
    stage = await Stage.made(db, *map(reader, names))
    campaign, execution_id = await stage.campaign()

    pages = [await stage.client.names(campaign, top=4, skip=skip) for skip in range(0, 24, 4)]

    assert [len(page) for page in pages] == [4, 4, 4, 3, 0, 0]
    assert [name for page in pages for name in page] == sorted(names, key=str.encode)
    assert await stage.client.names(campaign, top=2_000_000) == sorted(names, key=str.encode)
    assert await stage.client.names(campaign, top=0) == await stage.client.names(campaign, skip=15) == []
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}


async def test_what_is_not_the_clients_and_what_is_over_has_nobody_and_what_is_paused_has_to_wait(db: Database):
    stage = await Stage.made(db, reader("a"), reader("b"))
    other = await Stage.made(db, reader("x"), name="Other")
    campaign, execution_id = await stage.campaign()
    await stage.campaign()

    assert await other.client.names(campaign) == await stage.client.names(99) == []
    assert await stage.client.names(campaign, channels=(506,)) == []
    await stage.pulls.engine.executions.pause(stage.world.brand_id, execution_id)
    with pytest.raises(Unavailable, match="paused"):
        await stage.client.ask(campaign)
    await stage.pulls.engine.executions.resume(stage.world.brand_id, execution_id)
    assert await stage.client.names(campaign, top=1) == ["a"]
    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)

    assert await stage.client.names(campaign, skip=1) == await stage.client.names(campaign) == []
    await stage.pulls.engine.drain()
    assert await stage.world.fates(execution_id) == {"a": "handed_over", "b": "skipped execution_cancelled"}
    assert await unbalanced(db) == []


async def test_whoever_dies_while_freezing_leaves_no_list_and_the_next_one_has_everybody_once(db: Database):
    stage = await Stage.made(
        db, *[reader(f"p{number}") for number in range(8)], reader("shared", shared=True), batch_people=3
    )
    campaign, execution_id = await stage.campaign()
    everybody = [*(f"p{number}" for number in range(8)), "shared"]
    for point in (
        "freeze_begun.after_commit",
        "freeze_batch.after_commit@2",
        "pull_wave.after_commit",
        "freeze.before_commit",
    ):
        name, _, hit = point.partition("@")
        failpoints.arm(f"{name}=die@{hit or 1}", {"die": die})
        try:
            with pytest.raises(Died):
                await stage.client.ask(campaign)
        finally:
            failpoints.arm("")

    first = await stage.client.names(campaign, top=5)
    assert await rows(db, "SELECT count(*)::integer FROM pull WHERE frozen_at IS NOT NULL") == [(1,)]
    # Killed after the last byte, before that is noted: asked again it is the same, and nobody is handed over twice.
    failpoints.arm("page_sent.before_commit=die@1", {"die": die})
    with pytest.raises(Died):
        await stage.client.ask(campaign, top=5, skip=5)
    failpoints.arm("")
    second = await stage.client.names(campaign, top=5, skip=5)

    assert first + second == everybody
    assert await stage.world.fates(execution_id) == dict.fromkeys(everybody, "handed_over")
    assert await rows(db, "SELECT max(tries)::integer FROM send") == [(1,)]
    async with Database(db.dsn, size=2, shift=timedelta(hours=2)) as later:
        while await drop_rows(later):
            pass
    assert await rows(db, "SELECT count(*)::integer, count(DISTINCT customer_id)::integer FROM pull_row") == [(9, 9)]


async def test_two_who_freeze_the_same_list_at_once_come_one_after_the_other(db: Database):
    stage = await Stage.made(db, *[reader(f"p{number}") for number in range(6)])
    campaign, execution_id = await stage.campaign()
    beside = Client(Pulls(db), stage.world)
    beside.puller = stage.client.puller

    pages = await asyncio.gather(*(client.names(campaign) for client in (stage.client, beside, stage.client)))

    assert {tuple(page) for page in pages} == {tuple(f"p{number}" for number in range(6))}
    assert await rows(db, "SELECT count(*)::integer FROM pull WHERE replaced_at IS NULL") == [(1,)]
    assert await rows(db, "SELECT count(*)::integer FROM pull_row") == await rows(
        db, "SELECT sum(rows)::integer FROM pull"
    )
    assert await rows(db, "SELECT max(tries)::integer, count(*)::integer FROM send WHERE state = 2") == [(1, 6)]
    assert await unbalanced(db) == []
    assert (await stage.pulls.engine.executions.find(stage.world.brand_id, execution_id)).state == "ended"


async def test_a_list_stays_as_it_is_until_the_client_freezes_it_anew(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abcde"])
    campaign, execution_id = await stage.campaign()
    other = Client(stage.pulls, stage.world, label="hub client two")

    assert await stage.client.names(campaign, top=2) == ["a", "b"]
    for name in "bd":
        await stopped(stage, name)
    await stage.world.choose("c", 0)
    assert await stage.client.names(campaign, top=2, skip=2) == ["c", "d"]
    assert await stage.client.names(campaign, top=2, skip=4) == ["e"]
    assert await other.names(campaign) == ["a", "e"]
    assert await stage.client.names(campaign, skip=3) == ["d", "e"]

    assert await stage.client.names(campaign) == ["a", "e"]
    assert await stage.client.names(campaign, skip=2) == []
    assert await stage.world.fates(execution_id) == dict.fromkeys("abcde", "handed_over")
    assert await unbalanced(db) == []


async def test_who_is_erased_keeps_a_position_and_nothing_else(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, _ = await stage.campaign()
    assert await stage.client.names(campaign, top=1) == ["a"]
    async with db.autocommit() as conn:
        await conn.execute("DELETE FROM customer WHERE external_id = 'b'")

    page = await stage.client.ask(campaign, skip=1, attributes=("Email", "city"))

    assert [(row["CustomerID"], row["CustomerAttributes"]) for row in page] == [
        ("", ["", ""]),
        ("c", ["c@example.com", ""]),
    ]
    await stage.world.people([reader("b")])
    assert await stage.client.names(campaign, skip=1) == ["", "c"]
    assert await stage.client.names(campaign) == ["a", "c"]


async def test_lists_caps_and_shared_addresses_are_asked_when_a_list_is_frozen(db: Database):
    policy = CampaignPolicy(caps=(CampaignCap(at_most=1, per="7d"),))
    stage = await Stage.made(
        db, *[reader(name) for name in "abc"], *[reader(name, shared=True, phone="+491511234567") for name in "xy"]
    )
    await stopped(stage, "b")
    campaign, execution_id = await stage.campaign(policy)

    assert await stage.client.names(campaign, top=1) == ["a"]
    assert await stage.client.names(campaign, top=1) == ["a"]
    first = await stage.world.fates(execution_id)
    await stopped(stage, "c")
    assert await stage.client.names(campaign) in (["a", "x"], ["a", "y"])

    left_out = {"b": "skipped suppressed", "c": "skipped suppressed"}
    assert (first["a"], first["b"], first["c"]) == ("handed_over", "skipped suppressed", "pending")
    fates = await stage.world.fates(execution_id)
    assert fates.items() >= left_out.items()
    assert sorted((fates["x"], fates["y"])) == ["handed_over", "skipped duplicate_address"]
    assert await rows(db, "SELECT count(*)::integer FROM contact WHERE isfinite(at)") == [(2,)]
    assert await rows(db, "SELECT count(*)::integer FROM contact WHERE at = 'infinity'") == [(0,)]
    assert await unbalanced(db) == []


async def test_what_a_list_reserved_for_people_whom_nobody_fetched_is_given_back(db: Database):
    policy = CampaignPolicy(caps=(CampaignCap(at_most=1, per="7d"),))
    stage = await Stage.made(db, *[reader(name) for name in "ab"])
    campaign, execution_id = await stage.campaign(policy)
    assert await stage.client.names(campaign, top=1) == ["a"]
    assert await give_back_reservations(db) == 0

    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)
    await stage.pulls.engine.drain()

    assert await give_back_reservations(db) == 1
    assert await give_back_reservations(db) == 0
    assert await rows(db, "SELECT count(*)::integer FROM contact WHERE at = 'infinity'") == [(0,)]
    assert await rows(db, "SELECT count(*)::integer FROM contact WHERE isfinite(at)") == [(1,)]


async def test_what_a_freeze_reserved_is_given_back_although_it_was_killed(db: Database):
    policy = CampaignPolicy(caps=(CampaignCap(at_most=1, per="7d"),))
    stage = await Stage.made(db, *[reader(name) for name in "ab"])
    campaign, execution_id = await stage.campaign(policy)
    failpoints.arm("pull_wave.after_commit=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await stage.client.ask(campaign)
    finally:
        failpoints.arm("")
    assert await give_back_reservations(db) == 0

    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)
    await stage.pulls.engine.drain()

    assert await give_back_reservations(db) == 2
    assert await give_back_reservations(db) == 0
    assert await rows(
        db, "SELECT count(*)::integer, count(*) FILTER (WHERE at = 'infinity')::integer FROM contact"
    ) == [(2, 0)]
    assert await rows(db, "SELECT settled_to FROM pulled_run") == [(4096,)]


async def test_whoever_a_list_without_caps_hands_over_settles_what_another_reserved(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "ab"])
    campaign, _ = await stage.campaign()
    assert await stage.client.names(campaign, top=1) == ["a"]
    await stage.world.brand_policy(BrandPolicy((BrandCap(1, "7d"),)))
    assert await Client(Pulls(db), stage.world, label="hub client two").names(campaign, sent=False) == ["a", "b"]

    assert await stage.client.names(campaign, skip=1) == ["b"]

    assert await rows(db, "SELECT isfinite(at) FROM contact") == [(True,)]


async def test_quiet_hours_keep_nobody_off_a_list_and_say_from_when_on(db: Database):
    now = datetime.now(UTC)
    stage = await Stage.made(db, reader("quiet", time_zone="UTC"), reader("open", time_zone="Pacific/Auckland"))
    rule = {"from": f"{now - timedelta(hours=2):%H:%M}", "to": f"{now + timedelta(hours=3):%H:%M}"}
    await stage.world.settings(quiet_hours=[rule])
    campaign, execution_id = await stage.campaign()

    page = {row["CustomerID"]: row["ScheduledTime"] for row in await stage.client.ask(campaign)}

    assert datetime.fromisoformat(page["quiet"] + "Z") > now + timedelta(hours=2)
    assert datetime.fromisoformat(page["open"] + "Z") <= datetime.now(UTC)
    assert await stage.world.fates(execution_id) == {"quiet": "handed_over", "open": "handed_over"}


async def test_what_nobody_waits_in_any_more_is_ended_by_whoever_comes_next(db: Database):
    stage = await Stage.made(db, reader("a"))
    campaign, _ = await stage.campaign()
    failpoints.arm("page_moved.after_commit=die@1", {"die": die})
    try:
        await stage.client.ask(campaign)
    finally:
        failpoints.arm("")
    assert await rows(db, "SELECT state FROM execution") == [("sending",)]
    assert await rows(db, "SELECT state FROM send") == [(2,)]

    _, waits_id = await stage.campaign()
    await stage.client.names(2, sent=False)
    unfinished = Unfinished(db, stage.pulls.runs, stage.pulls.hand_over, at_once=1)

    assert [await unfinished.finish() for _ in range(4)] == [1, 0, 0, 0]

    assert (await stage.pulls.engine.executions.find(stage.world.brand_id, waits_id)).state == "sending"
    assert await rows(db, "SELECT state FROM execution ORDER BY id") == [("ended",), ("sending",)]


async def test_pages_that_are_sent_faster_than_they_are_handed_over_go_together_and_each_counts_its_own(db: Database):
    stage = await Stage.made(db, *[reader(f"p{number}") for number in range(9)])
    campaign, execution_id = await stage.campaign()
    first = await stage.client.names(campaign, top=2)
    service = stage.pulls.service
    pages = [
        await service.page(stage.world.brand_id, stage.client.puller, Asked((505,), campaign, top, skip, Wording()))
        # The second follows the first, the third does not; of the last one all but one were handed over before.
        for skip, top in ((2, 1), (3, 3), (7, 2), (1, 6))
    ]
    for page in pages:
        assert page.on_sent is not None
        await page.on_sent()
    await service.drained()

    assert first == ["p0", "p1"]
    (pull,) = await service.pulls(stage.world.brand_id, execution_id=execution_id, before=None, limit=10)
    noted = await service.pages(stage.world.brand_id, pull.id, before=None, limit=10)
    counted = [(page.position_from, page.position_to, page.handed_over) for page in reversed(noted)]
    assert counted == [(0, 2, 2), (2, 3, 1), (3, 6, 3), (7, 9, 2), (1, 7, 1)]
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}
    assert await rows(db, "SELECT max(tries)::integer FROM send") == [(1,)]
    assert await unbalanced(db) == []


async def test_who_asks_for_what_comes_next_has_the_page_before_although_nobody_lived_to_note_it(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abcde"])
    campaign, execution_id = await stage.campaign()
    await stage.client.ask(campaign, top=1)
    for skip in (1, 3):
        failpoints.arm("page_sent.before_commit=die@1", {"die": die})
        try:
            with pytest.raises(Died):
                await stage.client.ask(campaign, top=2, skip=skip)
        finally:
            failpoints.arm("")
    assert list((await stage.world.fates(execution_id)).values()).count("handed_over") == 1

    # Asked for again, the last page is still on its way; the one before it has arrived.
    await stage.client.ask(campaign, top=2, skip=3, sent=False)
    await stage.pulls.service.drained()
    assert list((await stage.world.fates(execution_id)).values()).count("handed_over") == 3
    assert await stage.client.names(campaign, top=2, skip=5) == []
    await stage.pulls.service.drained()

    assert await stage.world.fates(execution_id) == dict.fromkeys("abcde", "handed_over")
    assert await rows(db, "SELECT state FROM execution") == [("ended",)]
    assert await rows(db, "SELECT count(*)::integer FROM pull_sending") == [(0,)]
    assert await unbalanced(db) == []


async def test_a_page_that_was_sent_is_handed_over_although_its_process_died_of_it(db: Database):
    stage = await Stage.made(db, *[reader(name) for name in "abc"])
    campaign, execution_id = await stage.campaign()
    failpoints.arm("page_sent.after_commit=die@1", {"die": die})
    try:
        with pytest.raises(Died):
            await stage.client.ask(campaign, top=2)
    finally:
        failpoints.arm("")
    assert set((await stage.world.fates(execution_id)).values()) == {"pending"}
    assert await hand_over_sent(db, stage.pulls.runs, stage.pulls.hand_over) == 0

    async with Database(db.dsn, size=3, shift=timedelta(minutes=1)) as later:
        there = Pulls(later)
        assert await hand_over_sent(later, there.runs, there.hand_over) == 1
        assert await hand_over_sent(later, there.runs, there.hand_over) == 0

    assert list((await stage.world.fates(execution_id)).values()).count("handed_over") == 2
    assert await unbalanced(db) == []
