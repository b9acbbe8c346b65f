"""What partners report: totals are shown beside what is known of people, and facts move the people themselves, once."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from msgspec import structs

from reporting_world import CHANNEL, Carried, carried, reporting_brand
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.model import Brand
from stentor.audience.model import Act, Source
from stentor.audience.subscriptions import SubscriptionService
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.domain.vocabulary import ChannelKind
from stentor.erasures.merging import MergeService
from stentor.errors import Invalid, NotFound, TooLarge
from stentor.failpoints import arm
from stentor.integrations.metrics.interactions import InteractionService
from stentor.integrations.metrics.model import FactKind, Figure, Interaction, ReportedTemplate, Told, ToldFact, Total
from stentor.integrations.metrics.reported import ReportedService
from stentor.integrations.metrics.telling import FactService, forget_told_facts
from stentor.integrations.metrics.totals import TotalService

pytestmark = pytest.mark.anyio

SMS = ChannelKind.SMS
NOW = datetime.now(UTC)
TODAY = NOW.date()


@pytest.fixture
async def run(db: Database) -> Carried:
    world = await reporting_brand(db, "ann", "bob", "cat", "dan")
    return await carried(db, world.brand_id, ["ann", "bob", "cat"])


async def brand_of(run: Carried, **settings: str) -> Brand:
    async with run.db.transaction() as conn:
        await conn.execute(
            "UPDATE brand SET settings = settings || jsonb_object(%s::text[], %s::text[]) WHERE id = %s",
            [list(settings), list(settings.values()), run.brand_id],
        )
    brand = await BrandDirectory(run.db).by_id(run.brand_id)
    assert brand is not None
    return brand


def total(metric: int, value: int, *, template: int = 7, campaign: int = 324, channel: int = CHANNEL) -> Total:
    return Total(campaign=campaign, channel=channel, template=template, metric=metric, value=value)


def fact(name: str, kind: FactKind, *, id: str | None = None, campaign: int = 324, detail: str = "") -> ToldFact:  # noqa: A002
    return ToldFact(
        id=id or f"{name}-{kind.label}",
        campaign=campaign,
        channel=CHANNEL,
        template=7,
        external_id=name,
        kind=kind,
        at=NOW,
        detail=detail,
    )


def interaction(event: int, *names: str, day: int = 0, campaign: int = 324) -> Interaction:
    when = TODAY + timedelta(days=day)
    return Interaction(campaign=campaign, channel=CHANNEL, template=7, event=event, day=when, customers=list(names))


async def interact(run: Carried, said: Interaction) -> Told:
    return await InteractionService(run.db, Clock()).report(run.brand_id, said, actor="hub client Texts")


async def tell(run: Carried, *facts: ToldFact) -> Told:
    return await FactService(run.db, Clock()).tell(run.brand_id, facts, actor="key 1")


async def figures(run: Carried) -> dict[int, dict[str, tuple[int | None, int | None, int, int | None]]]:
    """By template and metric: reported, people, what holds, and the difference."""
    return {
        one.template: {each.metric: (each.reported, each.people, each.counted, each.difference) for each in one.figures}
        for one in await ReportedService(run.db).of_execution(run.brand_id, run.execution_id)
    }


async def test_a_total_stands_in_the_place_of_the_one_before_or_is_added_where_the_brand_says_so(run: Carried):
    replacing, adding = await brand_of(run), await brand_of(run, metrics_mode="add")
    totals = TotalService(run.db)

    await totals.report(replacing, [total(0, 10), total(1, 5), total(1, 8), total(7, 1), total(9, 2, template=8)])
    await totals.report(replacing, [total(1, 9)])
    replaced = await figures(run)
    await totals.report(adding, [total(1, 1), total(1, 1), total(9, 3)])

    assert replaced == {
        7: {
            "sent": (10, None, 10, None),
            "delivered": (9, None, 9, None),
            "bounced": (1, None, 1, None),
        },
        8: {"bounced": (2, None, 2, None)},
    }
    added = await figures(run)
    assert (added[7]["delivered"][0], added[7]["bounced"][0]) == (11, 4)
    assert await run.rows("SELECT DISTINCT state FROM send WHERE brand_id = %s") == [(2,)]


async def test_one_item_that_is_about_nothing_refuses_all_and_is_named(run: Carried):
    brand, totals = await brand_of(run), TotalService(run.db)
    bad = {
        "/1/campaign": [total(1, 1, campaign=9), total(1, 1, channel=506), total(1, 1, campaign=2**40)],
        "/1/template": [total(1, 1, template=99), total(1, 1, template=0)],
        "/1/metric": [total(10, 1)],
        "/1/value": [total(1, -1), total(1, 10**16)],
    }
    for pointer, items in bad.items():
        for item in items:
            with pytest.raises(Invalid, match=r"^Item 2: .* Nothing was taken\.$") as refused:
                await totals.report(brand, [total(1, 1), item])
            assert refused.value.violations[0].pointer == pointer

    with pytest.raises(TooLarge, match="at most 100"):
        await totals.report(brand, [total(1, 1)] * 101)
    with pytest.raises(Invalid, match="No campaign 324 went out by channel 505"):
        await totals.report(brand, [total(1, 1)], channels=[506])
    assert await figures(run) == {}


async def test_an_opt_out_a_bounce_and_a_complaint_move_the_person_and_the_address(run: Carried):
    told = [
        await interact(run, interaction(4, "ann", "dan", "nobody", "x" * 300)),
        await interact(run, interaction(6, "bob")),
        await interact(run, interaction(9, "cat")),
        await interact(run, interaction(2, "ann")),
    ]

    assert told == [Told(4, 1, 0, 3), Told(1, 1, 0, 0), Told(1, 1, 0, 0), Told(1, 1, 0, 0)]
    assert await run.history() == [
        ("ann", "opened"),
        ("ann", "unsubscribed"),
        ("bob", "complained"),
        ("cat", "bounced"),
    ]
    assert [await run.masks(name) for name in ("ann", "bob", "cat", "dan")] == [
        (SMS.bit, 0, 0),
        (0, 0, SMS.bit),
        (0, SMS.bit, 0),
        (0, 0, 0),
    ]
    assert await run.listed() == {
        "358401110000": "unsubscribe",
        "358401110001": "complaint",
        "358401110002": "bounce",
    }
    ledger = await SubscriptionService(run.db).ledger(run.brand_id, "ann")
    assert [(one.kind, one.source, one.actor, one.note) for one in ledger[:1]] == [
        ("refused", "partner", "hub client Texts", "by channel 505")
    ]


async def test_calls_are_counted_as_often_as_they_come_and_people_once(run: Carried):
    first = await interact(run, interaction(2, "ann", "bob", "ann"))
    again = await interact(run, interaction(2, "ann", "bob", "cat", "nobody"))
    tomorrow = await interact(run, interaction(2, "ann", day=1))
    (shown,) = await ReportedService(run.db).of_execution(run.brand_id, run.execution_id)

    assert (first, again, tomorrow) == (Told(3, 2, 1, 0), Told(4, 1, 2, 1), Told(1, 1, 0, 0))
    assert (shown.calls, shown.named, shown.unknown) == (3, 8, 1)
    assert [(one.metric, one.people) for one in shown.figures] == [("opened", 3)]
    people = await ReportedService(run.db).people(run.brand_id, run.execution_id, FactKind.OPENED, channels=[CHANNEL])
    assert sorted((one.external_id, one.day) for one in people) == [("ann", TODAY), ("bob", TODAY), ("cat", TODAY)]


async def test_whoever_came_back_is_not_opted_out_by_the_same_report_again(run: Carried):
    await interact(run, interaction(4, "ann"))
    person = customer_id(run.brand_id, "ann")
    await SubscriptionService(run.db).agree(run.brand_id, person, SMS.bit, Act(source=Source.REPLY))

    await interact(run, interaction(4, "ann"))
    await tell(run, fact("ann", FactKind.DELIVERED))

    assert await run.masks("ann") == (0, 0, 0)
    assert await run.listed() == {}


async def test_who_came_back_is_opted_out_by_a_later_no_and_not_by_the_same_one_in_other_words(run: Carried):
    await interact(run, interaction(4, "ann"))
    await interact(run, interaction(7, "bob"))
    person = customer_id(run.brand_id, "ann")
    await SubscriptionService(run.db).agree(run.brand_id, person, SMS.bit, Act(source=Source.REPLY))
    async with run.db.transaction() as conn:
        await conn.execute("UPDATE customer SET bounced_mask = 0 WHERE brand_id = %s", [run.brand_id])
    at = NOW - timedelta(minutes=30)
    other = Interaction(campaign=324, channel=CHANNEL, template=8, event=4, day=TODAY, customers=["ann"])

    told = [
        await interact(run, other),
        await interact(run, interaction(4, "ann", day=-1)),
        await interact(run, interaction(9, "bob", day=-1)),
        await tell(run, structs.replace(fact("ann", FactKind.UNSUBSCRIBED), at=at)),
    ]
    assert [one.added for one in told] == [1, 1, 1, 1]
    assert (await run.masks("ann"), await run.masks("bob")) == ((0, 0, 0), (0, 0, 0))

    later = datetime.now(UTC) + timedelta(minutes=1)
    await tell(run, structs.replace(fact("ann", FactKind.UNSUBSCRIBED, id="later"), at=later))
    assert await run.masks("ann") == (SMS.bit, 0, 0)


async def test_facts_are_taken_of_those_alone_whom_that_channel_wrote_to(run: Carried):
    async with run.db.transaction() as conn:
        await conn.execute("UPDATE send SET state = 0 WHERE customer_id = %s", [customer_id(run.brand_id, "ann")])
        await conn.execute(
            "UPDATE send SET state = 3, reason = 2 WHERE customer_id = %s", [customer_id(run.brand_id, "bob")]
        )
        await conn.execute(
            "INSERT INTO chunk SELECT execution_id, 1, brand_id, gen_random_uuid(), channel, lane, key_from, key_to, sends,"
            " due_at, done_at FROM chunk"
        )
        await conn.execute("UPDATE send SET chunk = 1 WHERE customer_id = %s", [customer_id(run.brand_id, "cat")])
    said = [fact(name, FactKind.UNSUBSCRIBED) for name in ("ann", "bob", "cat")]

    assert await interact(run, interaction(4, "ann", "bob", "cat")) == Told(3, 0, 0, 3)
    assert await tell(run, *said) == Told(3, 0, 0, 3)
    assert [await run.masks(name) for name in ("ann", "bob", "cat")] == [(0, 0, 0)] * 3
    assert await run.history() == []

    # Whose list was frozen may have been written to: what became of them is told before the page is acknowledged, too.
    async with run.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO pulled_run (execution_id, channel_number, brand_id, channel, watched_until)"
            " VALUES (%s, %s, %s, %s, now())",
            [run.execution_id, CHANNEL, run.brand_id, int(SMS)],
        )
    assert await tell(run, *said) == Told(3, 1, 0, 2)
    assert await run.history() == [("ann", "unsubscribed")]


async def test_a_bounce_is_of_the_address_that_was_written_to(run: Carried):
    async with run.db.transaction() as conn:
        await conn.execute(
            "INSERT INTO customer_past (part, customer_id, until, brand_id, address_mask, valid_mask, bounced_mask,"
            " complained_mask, email_digest, phone_digest, place) SELECT part, customer_id, now(), brand_id, address_mask,"
            " valid_mask, 0, 0, email_digest, phone_digest, place FROM customer WHERE external_id = 'ann'"
        )
        await conn.execute(
            "UPDATE customer SET phone = '+358409999999', phone_digest = decode(repeat('ab', 16), 'hex')"
            " WHERE external_id = 'ann'"
        )

    await interact(run, interaction(7, "ann"))

    assert await run.masks("ann") == (0, 0, 0)
    assert await run.rows("SELECT cause, address FROM optout_recent WHERE brand_id = %s") == [("bounce", None)]


async def test_what_is_no_interaction_is_refused_and_the_unnamed_event_is_counted_alone(run: Carried):
    assert await interact(run, interaction(8, "ann")) == Told(1, 0, 1, 0)
    assert await run.history() == []
    for said in (interaction(10, "ann"), interaction(2, "ann", day=2), interaction(2, "ann", day=-3)):
        with pytest.raises(Invalid):
            await interact(run, said)
    with pytest.raises(Invalid, match="No campaign 325"):
        await interact(run, interaction(2, "ann", campaign=325))
    with pytest.raises(TooLarge, match="at most 10000"):
        await interact(run, interaction(2, *["ann"] * 10_001))


async def test_a_fact_that_is_told_again_under_its_id_changes_nothing(run: Carried):
    batch = [
        fact("ann", FactKind.DELIVERED),
        fact("ann", FactKind.OPENED, id="o1"),
        fact("ann", FactKind.OPENED, id="o2"),
        fact("bob", FactKind.DROPPED, detail="no such number"),
        fact("cat", FactKind.UNSUBSCRIBED),
        fact("cat", FactKind.UNSUBSCRIBED),
        fact("dan", FactKind.DELIVERED),
    ]
    first, again = await tell(run, *batch), await tell(run, *batch)
    other = await tell(run, fact("bob", FactKind.DELIVERED, id="o1"))

    assert (first, again, other) == (Told(7, 5, 1, 1), Told(7, 0, 6, 1), Told(1, 0, 1, 0))
    assert (await figures(run))[7] == {
        "delivered": (None, 1, 1, None),
        "opened": (None, 1, 1, None),
        "unsubscribed": (None, 1, 1, None),
        "dropped": (None, 1, 1, None),
    }
    words = await run.rows("SELECT answer FROM delivery_event WHERE brand_id = %s AND kind = 'dropped'")
    assert (words, await run.masks("cat")) == ([("no such number",)], (SMS.bit, 0, 0))

    assert await forget_told_facts(run.db) == 0
    async with run.db.transaction() as conn:
        await conn.execute("UPDATE told_fact SET told_at = told_at - interval '31 days'")
    assert await forget_told_facts(run.db) == 5


async def test_one_line_that_cannot_be_taken_refuses_the_batch(run: Carried):
    late = ToldFact(
        id="l", campaign=324, channel=CHANNEL, external_id="ann", kind=FactKind.SENT, at=NOW + timedelta(days=2)
    )
    bad = {
        "/1/campaign": fact("ann", FactKind.SENT, campaign=1),
        "/1/at": late,
        "/1/external_id": fact("", FactKind.SENT),
    }
    for pointer, one in bad.items():
        with pytest.raises(Invalid, match=r"^Line 2: ") as refused:
            await tell(run, fact("ann", FactKind.DELIVERED), one)
        assert refused.value.violations[0].pointer == pointer

    assert await run.history() == []
    assert await tell(run) == Told(0, 0, 0, 0)


async def test_of_somebody_who_was_erased_no_words_are_kept(run: Carried):
    async with run.db.transaction() as conn:
        await conn.execute("DELETE FROM customer WHERE external_id = 'bob' AND brand_id = %s", [run.brand_id])

    told = await tell(
        run, fact("bob", FactKind.DROPPED, detail="Bob's number is +358 40"), fact("bob", FactKind.BOUNCED)
    )

    assert told == Told(2, 2, 0, 0)
    assert await run.rows("SELECT DISTINCT answer FROM delivery_event WHERE brand_id = %s") == [("",)]


async def test_people_win_over_totals_and_the_difference_is_shown(run: Carried):
    await TotalService(run.db).report(await brand_of(run), [total(1, 5), total(2, 1)])
    await tell(run, fact("ann", FactKind.DELIVERED), fact("bob", FactKind.DELIVERED), fact("bob", FactKind.CLICKED))
    (shown,) = await ReportedService(run.db).of_execution(run.brand_id, run.execution_id)

    assert shown == ReportedTemplate(CHANNEL, "Texts", 7, "Welcome 7", shown.figures, 0, 0, 0)
    at = shown.figures[0].reported_at
    assert shown.figures == [
        Figure("delivered", 5, 2, 2, 3, at),
        Figure("opened", 1, None, 1, None, at),
        Figure("clicked", None, 1, 1, None, None),
    ]
    with pytest.raises(NotFound):
        await ReportedService(run.db).of_execution(run.brand_id, uuid4())
    with pytest.raises(NotFound):
        await ReportedService(run.db).of_execution(uuid4(), run.execution_id)


async def test_what_somebody_did_is_told_by_day_and_by_channel(run: Carried):
    other = await carried(run.db, run.brand_id, ["ann"], number=325)
    await interact(run, interaction(2, "ann"))
    await interact(other, interaction(3, "ann", campaign=325))
    await interact(other, interaction(7, "bob", campaign=325))
    reported = ReportedService(run.db)

    told = await reported.of_person(run.brand_id, "ann", TODAY - timedelta(days=1), TODAY, channels=[CHANNEL, 506])

    assert sorted((one.day, one.campaign, one.group, one.channel, one.template, one.event) for one in told) == [
        (TODAY, 324, 1, CHANNEL, 7, 2),
        (TODAY, 325, 1, CHANNEL, 7, 3),
    ]
    assert await reported.of_person(run.brand_id, "ann", TODAY, TODAY, channels=[506]) == []
    assert (
        await reported.of_person(run.brand_id, "ann", TODAY - timedelta(9), TODAY - timedelta(2), channels=[CHANNEL])
        == []
    )
    assert await reported.of_person(run.brand_id, "nobody", TODAY, date.max, channels=[CHANNEL]) == []


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
async def test_a_report_that_dies_anywhere_is_said_again_and_counted_once(run: Carried, point: str):
    class Dead(Exception):
        pass

    def die() -> None:
        raise Dead

    brand = await brand_of(run)
    for theme in ("totals", "interactions", "partner_facts"):
        for is_first in (True, False):
            arm(f"{theme}.{point}=die@1" if is_first else "", {"die": die})
            try:
                match theme:
                    case "totals":
                        await TotalService(run.db).report(brand, [total(1, 3)])
                    case "interactions":
                        await interact(run, interaction(4, "ann"))
                    case _:
                        await tell(run, fact("bob", FactKind.BOUNCED))
                assert not is_first
            except Dead:
                assert is_first
            finally:
                arm("")

    assert await figures(run) == {
        7: {"delivered": (3, None, 3, None), "unsubscribed": (None, 1, 1, None), "bounced": (None, 1, 1, None)}
    }
    assert await run.history() == [("ann", "unsubscribed"), ("bob", "bounced")]


async def test_whoever_was_merged_speaks_for_whom_they_became(run: Carried):
    await MergeService(run.db).merge(run.brand_id, "dan", "ann", asked_by="key 1")

    told = [await interact(run, interaction(4, "ann")), await tell(run, fact("ann", FactKind.COMPLAINED))]

    assert told == [Told(1, 1, 0, 0), Told(1, 1, 0, 0)]
    assert await run.masks("dan") == (SMS.bit, 0, SMS.bit)
    assert "unsubscribe" in (await run.listed()).values()
    seen = await ReportedService(run.db).of_person(run.brand_id, "ann", TODAY, TODAY, channels=[CHANNEL])
    assert sorted(one.event for one in seen) == [4, 6]


async def test_batches_that_come_at_once_count_each_person_once(run: Carried):
    batch = [fact(name, kind) for name in ("ann", "bob", "cat") for kind in (FactKind.OPENED, FactKind.BOUNCED)]
    others = [fact(name, FactKind.OPENED, id=f"other-{name}") for name in ("cat", "bob", "ann")]

    told = await asyncio.gather(*(tell(run, *each) for each in (batch, batch[::-1], others, others[::-1], batch)))

    assert sum(one.added for one in told) == 9
    assert sum(one.repeated for one in told) == 15
    assert (await figures(run))[7] == {"opened": (None, 3, 3, None), "bounced": (None, 3, 3, None)}
