"""From a queued execution to settled sends, on a real database."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from stentor.campaigns.model import Basis
from stentor.channels.contract import Accepted, Deferred, InDoubt, Message, NotSent, Outcome, Rejected, Wave
from stentor.db.pool import Database
from stentor.deliver.model import WAVE_SENDS_MAX
from stentor.domain.address import email_digest
from stentor.domain.vocabulary import ChannelKind, Lane
from stentor.optouts.model import OptOut
from stentor.optouts.service import add_to_builtin
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Someone, World
from tallies import funnel

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
IN_AN_HOUR = timedelta(hours=1)


async def accepted_in_an_hour(db: Database, channel: ScriptedChannel) -> None:
    channel.answer = lambda _message: Accepted()
    async with Database(db.dsn, size=3, shift=IN_AN_HOUR) as later:
        await Engine(later, channel).drain()


async def test_everybody_who_opted_in_is_reached_and_the_execution_ends(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone(f"p{number}") for number in range(1000)])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    progress = await engine.executions.progress(world.brand_id, execution_id)
    assert (progress.execution.state, progress.execution.audience_size) == ("ended", 1000)
    assert len(set(channel.addresses)) == len(channel.addresses) == 1000
    counts = await funnel(engine, world, execution_id)
    assert (counts.audience, counts.handed_over, counts.pending) == (1000, 1000, 0)


async def test_a_large_audience_is_cut_into_slices_and_chunks_without_losing_anybody(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone(f"p{number}") for number in range(45_000)])
    execution_id = await world.execution(await world.publication())

    slices = await engine.plan()
    await engine.deliver()

    counts = await funnel(engine, world, execution_id)
    assert slices > 3
    assert counts.handed_over == 45_000
    assert len(set(channel.addresses)) == len(channel.addresses) == 45_000


async def test_each_objection_that_is_keyed_by_the_person_skips_with_its_reason(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    bit = EMAIL.bit
    await world.people(
        [
            Someone("good"),
            Someone("refused", refused_mask=bit),
            Someone("bounced", bounced_mask=bit),
            Someone("complained", complained_mask=bit),
            Someone("nowhere", address_mask=0, valid_mask=0),
            Someone("invalid", valid_mask=0),
            Someone("left", channels=0),
            Someone("other_channel_only", channels=SMS.bit),
        ]
    )
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    assert await world.fates(execution_id) == {
        "good": "handed_over",
        "refused": "skipped unsubscribed",
        "bounced": "skipped bounced_before",
        "complained": "skipped complained",
        "nowhere": "skipped no_address",
        "invalid": "skipped invalid_address",
    }


@pytest.mark.fault("F19")
@pytest.mark.parametrize("basis", ["topic", "channel"])
async def test_a_withdrawal_between_planning_and_hand_over_stops_the_send(db: Database, basis: Basis):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("stays"), Someone("leaves")])
    execution_id = await world.execution(await world.publication(basis=basis))
    await engine.plan()

    await world.choose("leaves", 0)
    await engine.deliver()

    assert await world.fates(execution_id) == {"stays": "handed_over", "leaves": "skipped unsubscribed"}
    assert channel.addresses == ["stays@example.com"]


@pytest.mark.fault("F19")
async def test_an_address_on_the_built_in_list_is_left_out_at_the_last_moment(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    await engine.plan()

    async with db.transaction() as conn:
        await add_to_builtin(conn, world.brand_id, [OptOut(EMAIL, email_digest("two@example.com"), "api")])
    await engine.deliver()

    assert await world.fates(execution_id) == {"one": "handed_over", "two": "skipped suppressed"}


async def test_people_who_share_an_address_get_one_message_between_them(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone(name, email="home@example.com", shared=True) for name in ("ada", "ben", "cy")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    assert sorted((await world.fates(execution_id)).values()) == [
        "handed_over",
        "skipped duplicate_address",
        "skipped duplicate_address",
    ]
    assert channel.addresses == ["home@example.com"]


async def test_mode_first_writes_once_on_the_first_channel_without_an_objection(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    both = EMAIL.bit | SMS.bit
    await world.people(
        [
            Someone("both", channels=both, address_mask=both, valid_mask=both),
            Someone("no_mail", channels=both, address_mask=SMS.bit, valid_mask=SMS.bit),
            Someone("none", channels=both, address_mask=0, valid_mask=0),
        ]
    )
    execution_id = await world.execution(await world.publication([EMAIL, SMS], mode="first"))

    await engine.drain()

    assert await world.fates(execution_id) == {
        "both": "handed_over",
        "no_mail": "handed_over",
        "none": "skipped no_address",
    }


async def test_audience_size_counts_people_and_each_channel_its_own(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    both = EMAIL.bit | SMS.bit
    await world.people([Someone("both", channels=both, address_mask=both, valid_mask=both), Someone("mail")])
    execution_id = await world.execution(await world.publication([EMAIL, SMS]))

    await engine.drain()

    progress = await engine.executions.progress(world.brand_id, execution_id)
    assert progress.execution.audience_size == 2
    assert {channel.channel: channel.audience for channel in progress.channels} == {"email": 2, "sms": 1}


async def test_a_person_reads_their_own_language_or_the_nearest_one(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people(
        [
            Someone("default", locale="fi"),
            Someone("brazil", locale="pt-BR"),
            Someone("portugal", locale="pt-PT"),
            Someone("taiwan", locale="zh-Hant-TW"),
            Someone("unsaid"),
        ]
    )
    execution_id = await world.execution(await world.publication(languages=("en", "pt", "pt-BR", "zh-Hant")))

    await engine.drain()

    assert await world.variants(execution_id) == {"default": 0, "brazil": 2, "portugal": 1, "taiwan": 3, "unsaid": 0}


@pytest.mark.fault("F7")
async def test_a_temporary_refusal_is_pending_until_its_next_try(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Deferred("450 greylisted"))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    counts = await funnel(engine, world, execution_id)
    assert (counts.pending, len(channel.taken)) == (1, 1)
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "sending"


async def test_a_retry_that_is_accepted_ends_the_execution(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Deferred("450 greylisted"))
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    await engine.drain()

    await accepted_in_an_hour(db, channel)

    counts = await funnel(engine, world, execution_id)
    assert (counts.handed_over, len(channel.taken)) == (2, 4)
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"


async def test_a_dead_address_fails_and_is_never_written_to_again(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Rejected("550 5.1.1 no such user", bad_address=True))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    publication = await world.publication()
    first = await world.execution(publication)
    await engine.drain()

    second = await world.execution(publication)
    await engine.drain()

    assert await world.fates(first) == {"one": "failed provider_rejected"}
    assert await world.fates(second) == {"one": "skipped bounced_before"}
    assert len(channel.taken) == 1
    (told,) = (await engine.executions.explain(world.brand_id, first, "one")).channels
    assert [answer.answer for answer in told.answers] == ["550 5.1.1 no such user"]
    async with db.read() as conn:
        listed = await (await conn.execute("SELECT digest, cause, source FROM optout_recent")).fetchall()
    assert listed == [(email_digest("one@example.com"), "bounce", f"execution {first}")]


@pytest.mark.fault("F8")
async def test_a_lost_reply_is_in_doubt_and_not_sent_again(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: InDoubt("the connection was lost"))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    assert await world.fates(execution_id) == {"one": "unknown"}
    assert (await funnel(engine, world, execution_id)).unknown == 1
    assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"


async def test_a_lost_reply_is_answered_by_another_try_where_the_sender_wants_that(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: InDoubt("the connection was lost"))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication(lane="transactional"))
    await engine.drain()

    await accepted_in_an_hour(db, channel)

    assert await world.fates(execution_id) == {"one": "handed_over"}
    assert channel.addresses == ["one@example.com"] * 2


async def test_what_was_not_started_is_guarded_and_sent_again(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel()
    turns = iter([NotSent("the wave is too old"), Accepted()])
    channel.answer = lambda message: next(turns) if message.address == "slow@example.com" else Accepted()
    engine = Engine(db, channel)
    await world.people([Someone("fast"), Someone("slow")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    assert await world.fates(execution_id) == {"fast": "handed_over", "slow": "handed_over"}
    assert sorted(channel.addresses) == ["fast@example.com", "slow@example.com", "slow@example.com"]


@pytest.mark.fault("F7")
async def test_a_sender_that_cannot_be_used_keeps_its_people_for_later(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Deferred("connection refused", sender_wide=True))
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()
    await accepted_in_an_hour(db, channel)

    counts = await funnel(engine, world, execution_id)
    assert counts.handed_over == 2


async def test_a_sender_rests_for_as_long_as_its_provider_asks(db: Database):
    world = await World.made(db)
    channel = ScriptedChannel(lambda _message: Deferred("429", retry_after_s=1_200.0, sender_wide=True))
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())

    await engine.drain()
    channel.answer = lambda _message: Accepted()
    async with Database(db.dsn, size=3, shift=timedelta(minutes=15)) as resting:
        await Engine(resting, channel).drain()
    fates = await world.fates(execution_id)
    async with Database(db.dsn, size=3, shift=IN_AN_HOUR) as later:
        await Engine(later, channel).drain()

    assert fates == {"one": "pending"}
    assert await world.fates(execution_id) == {"one": "handed_over"}
    assert len(channel.taken) == 2


async def test_two_planners_and_two_deliverers_share_the_work_and_double_nobody(db: Database):
    world = await World.made(db)
    channels = [ScriptedChannel(), ScriptedChannel()]
    engines = [Engine(db, channel, worker=f"worker-{number}") for number, channel in enumerate(channels)]
    await world.people([Someone(f"p{number}") for number in range(30_000)])
    execution_id = await world.execution(await world.publication())
    # Cut into slices, or the one who does not get to do that finds nothing to do at all.
    await engines[0].planner.plan_next()

    await asyncio.gather(*(engine.plan() for engine in engines))
    await asyncio.gather(*(engine.deliver_beside_others() for engine in engines))
    await engines[0].drain()

    addresses = [address for channel in channels for address in channel.addresses]
    assert len(addresses) == len(set(addresses)) == 30_000
    assert (await funnel(engines[0], world, execution_id)).handed_over == 30_000
    assert (await engines[0].executions.find(world.brand_id, execution_id)).state == "ended"


async def test_dozens_of_small_executions_are_planned_and_sent_together(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone(f"p{number}") for number in range(10)])
    publication = await world.publication()
    executions = [await world.execution(publication) for _ in range(40)]

    planned = await engine.plan()
    claims = await engine.deliver()

    assert (planned, claims) == (1, 1)
    assert len(channel.taken) == 400
    for execution_id in executions:
        assert (await engine.executions.find(world.brand_id, execution_id)).state == "ended"


async def test_an_unknown_topic_fails_the_execution_and_names_it(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    execution_id = await world.execution(await world.publication(), topic_key="nonsense")

    await engine.drain()

    execution = await engine.executions.find(world.brand_id, execution_id)
    assert (execution.state, execution.error_code) == ("failed", "TOPIC_NOT_FOUND")
    assert "nonsense" in (execution.error_message or "")


async def test_a_topic_without_subscribers_publishes_to_nobody(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    execution_id = await world.execution(await world.publication())

    await engine.drain()

    execution = await engine.executions.find(world.brand_id, execution_id)
    assert (execution.state, execution.audience_size) == ("ended", 0)
    assert execution.published_at is not None


async def test_a_cancelled_execution_skips_everybody_who_was_not_handed_over(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    await engine.plan()

    await engine.executions.cancel(world.brand_id, execution_id)
    await engine.drain()

    assert set((await world.fates(execution_id)).values()) == {"skipped execution_cancelled"}
    assert channel.taken == []


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_people_of_a_cancelled_execution_are_skipped_whatever_became_of_their_sender(
    db: Database, is_deleted: bool
):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one"), Someone("two")])
    execution_id = await world.execution(await world.publication())
    await engine.plan()
    async with db.autocommit() as conn:
        await conn.execute(
            "UPDATE sender SET enabled = false, paused_at = created_at, deleted_at = CASE WHEN %s THEN created_at END",
            [is_deleted],
        )
    await engine.drain()
    waiting = await world.fates(execution_id)

    await engine.executions.cancel(world.brand_id, execution_id)
    await engine.drain()

    assert set(waiting.values()) == {"pending"}
    assert set((await world.fates(execution_id)).values()) == {"skipped execution_cancelled"}
    assert channel.taken == []


async def test_a_cancelled_execution_takes_none_of_its_senders_pace(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(300)])
    execution_id = await world.execution(await world.publication())
    await engine.plan()
    async with db.autocommit() as conn:
        await conn.execute("UPDATE sender SET pace_per_s = 1")

    await engine.executions.cancel(world.brand_id, execution_id)
    await engine.drain()

    assert Counter((await world.fates(execution_id)).values()) == {"skipped execution_cancelled": 300}


async def test_a_paused_execution_waits_and_a_resumed_one_goes_on(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    execution_id = await world.execution(await world.publication())
    await engine.plan()

    await engine.executions.pause(world.brand_id, execution_id)
    await engine.drain()
    taken_while_paused = len(channel.taken)
    await engine.executions.resume(world.brand_id, execution_id)
    await engine.drain()

    assert (taken_while_paused, len(channel.taken)) == (0, 1)


class Interrupted(ScriptedChannel):
    """Something happens, to its end, while the first wave is on its way."""

    def __init__(self, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        if self._meanwhile:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return await super().hand_over(wave, messages)


@pytest.mark.parametrize(("order", "becomes"), [("pause", "pending"), ("cancel", "skipped execution_cancelled")])
async def test_after_the_answer_to_an_order_only_the_wave_that_was_guarded_before_it_is_handed_over(
    db: Database, order: str, becomes: str
):
    world = await World.made(db)
    await world.people([Someone(f"p{number}") for number in range(700)])
    execution_id = await world.execution(await world.publication())
    channel = Interrupted(lambda: getattr(engine.executions, order)(world.brand_id, execution_id))
    engine = Engine(db, channel)

    await engine.drain()

    first_wave = len(channel.taken)
    assert 0 < first_wave <= WAVE_SENDS_MAX
    fates = Counter((await world.fates(execution_id)).values())
    assert fates == {"handed_over": first_wave, becomes: 700 - first_wave}


async def test_what_a_pause_holds_up_is_parked_and_stands_in_nobodys_way(db: Database):
    world, channel = await World.made(db), ScriptedChannel()
    engine = Engine(db, channel)
    await world.people([Someone("one")])
    held_up = await world.execution(await world.publication())
    await engine.plan()
    await engine.executions.pause(world.brand_id, held_up)
    async with db.autocommit() as conn:
        await conn.execute(
            """INSERT INTO chunk (execution_id, number, brand_id, sender_id, channel, lane, key_from, key_to, sends, due_at)
            SELECT execution_id, number + more, brand_id, sender_id, channel, lane, key_from, key_to, 0, due_at
            FROM chunk, generate_series(1, 500) AS more"""
        )
    other = await world.execution(await world.publication())

    await engine.drain()
    parked = await parked_chunks(db)
    reached = await world.fates(other)
    await engine.executions.resume(world.brand_id, held_up)
    await engine.drain()

    assert (set(reached.values()), parked) == ({"handed_over"}, 501)
    assert set((await world.fates(held_up)).values()) == {"handed_over"}
    assert await parked_chunks(db) == 0


async def test_slices_of_a_large_execution_go_before_bulk_deliveries(db: Database):
    world = await World.made(db)
    engine = Engine(db, ScriptedChannel())
    await world.people([Someone(f"p{number}") for number in range(21_000)])
    await world.execution(await world.publication())

    await engine.planner.plan_next()
    before_slices = engine.planner.goes_first()
    await engine.planner.plan_next()
    between_slices = engine.planner.goes_first()
    urgent = await engine.deliverer.claim(Lane.ALERT)
    await engine.plan()

    assert (before_slices, between_slices, engine.planner.goes_first()) == (False, True, False)
    assert urgent is None
    assert await engine.deliverer.claim() is not None


async def parked_chunks(db: Database) -> int:
    async with db.read() as conn:
        cursor = await conn.execute("SELECT count(*)::integer FROM chunk WHERE parked AND done_at IS NULL")
        (count,) = await cursor.fetchone() or (0,)
        return count
