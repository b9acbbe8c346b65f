"""A/B tests: everybody is always in the same arm, the winner is found once, and who waited gets it by a second execution."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from stentor import failpoints
from stentor.audience.segments.expressions import Language
from stentor.campaigns.experiments import Arm, Experiment, Winner
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Conflict, Forbidden, Invalid, NotFound
from stentor.executions.audiences import OfTag
from stentor.executions.experiment_store import ArmNumbers
from stentor.executions.experiments import ExperimentReport, Rate, verdict
from stentor.executions.forecasting import Trial
from stentor.executions.forgetting import PayloadKeeper
from stentor.executions.history import drop_history_of
from stentor.testing.engine import Engine, ScriptedChannel
from stentor.testing.world import Following, Someone, World
from trigger_world import rows

pytestmark = pytest.mark.anyio

EMAIL, SMS = ChannelKind.EMAIL, ChannelKind.SMS
TENTHS = (Arm("short", 0.2), Arm("long", 0.2))
BY_CLICKS = Winner(by="clicked", after="1h", at_least=5)


class Stage(msgspec.Struct, frozen=True):
    """A brand with people who have a tag, and what runs campaigns for them."""

    db: Database
    world: World
    engine: Engine
    tag: OfTag

    async def run(self, publication_id: UUID) -> UUID:
        """An execution for everybody who has the tag, sent as far as it goes."""
        execution_id = await self.world.execution(publication_id, audience=self.tag)
        await self.engine.drain()
        return execution_id

    async def report(self, execution_id: UUID) -> ExperimentReport:
        return await self.engine.experiments.report(self.world.brand_id, execution_id)

    async def places(self, execution_id: UUID) -> dict[UUID, int]:
        found = await rows(
            self.db,
            f"SELECT customer_id, arm FROM cast_member WHERE execution_id = '{execution_id}'",  # noqa: S608
        )
        return dict(found)

    async def react(self, execution_id: UUID, arm: int, kind: str, people: int) -> None:
        """So many people of an arm are reported to have done that."""
        async with self.db.transaction() as conn:
            await conn.execute(
                "INSERT INTO delivery_event (execution_id, customer_id, brand_id, event_id, at, part, channel, kind)"
                " SELECT m.execution_id, m.customer_id, m.brand_id, gen_random_uuid(), statement_timestamp(), m.part, 1, %s"
                " FROM cast_member m WHERE m.execution_id = %s AND m.arm = %s ORDER BY m.customer_id LIMIT %s",
                [kind, execution_id, arm, people],
            )

    async def come_due(self, execution_id: UUID) -> int:
        """The time has come for the winner to be looked for."""
        async with self.db.transaction() as conn:
            await conn.execute(
                "UPDATE experiment SET decide_at = decide_at - interval '2 hours' WHERE execution_id = %s",
                [execution_id],
            )
        return await self.engine.experiments.decide_due()

    async def runs_of(self, execution_id: UUID) -> list[UUID]:
        found = await rows(self.db, f"SELECT id FROM execution WHERE parent_id = '{execution_id}'")  # noqa: S608
        return [run_id for (run_id,) in found]


@pytest.fixture
async def stage(db: Database) -> Stage:
    world = await World.made(db)
    names = [f"p{number}" for number in range(300)]
    both = EMAIL.bit | SMS.bit
    await world.people(
        [
            Someone(name, channels=both, address_mask=both, valid_mask=both, locale="de" if place % 2 else "en")
            for place, name in enumerate(names)
        ]
    )
    return Stage(db, world, Engine(db, ScriptedChannel()), OfTag(await world.tag(names)))


async def test_arms_part_people_as_their_shares_say_and_always_in_the_same_way(stage: Stage):
    thirds = Experiment(arms=(Arm("short", 0.3), Arm("long", 0.3)), holdout=0.1, winner=BY_CLICKS)
    publication_id = await stage.world.publication(
        (EMAIL, EMAIL), basis="channel", experiment=thirds, arms=("short", "long")
    )

    told = await stage.engine.executions.dry_run(
        stage.world.brand_id, publication_id, Trial("", {}, Clock().now(), stage.tag)
    )
    first, second = await stage.run(publication_id), await stage.run(publication_id)
    report, places = await stage.report(first), await stage.places(first)

    assert places == await stage.places(second)
    counted = Counter(places.values())
    assert [arm.people for arm in report.arms] == [counted[0], counted[1]]
    assert (report.held_out, report.rest, sum(counted.values())) == (counted[8], counted[9], 300)
    # Four standard deviations, and one in 16,000 tests; the people are the same ones each time.
    assert all(abs(counted[arm] - 90) < 32 for arm in (0, 1, 9))
    assert abs(counted[8] - 30) < 21
    assert told.parted == {"short": counted[0], "long": counted[1], "held_out": counted[8], "rest": counted[9]}
    assert told.audience_size == counted[0] + counted[1]
    written = await rows(
        stage.db,
        "SELECT DISTINCT m.arm, s.variant FROM send s JOIN cast_member m USING (execution_id, part, customer_id)",
    )
    assert sorted(written) == [(0, 0), (1, 1)]


async def test_arms_go_across_samples_and_holdouts_of_the_campaign(stage: Stage):
    found = await rows(
        stage.db,
        "SELECT v.in_arm, v.other, count(*)::integer FROM (SELECT arm_point(brand_id, customer_id) < 2147483648 AS in_arm,"
        " holdout_objection(brand_id, customer_id, 2147483648) <> 0 AS other FROM customer) v GROUP BY 1, 2",
    )
    assert len(found) == 4
    assert all(45 < people < 105 for _, _, people in found)


async def test_without_a_winner_everybody_but_the_holdout_is_in_an_arm(stage: Stage):
    experiment = Experiment(arms=(Arm("short", 0.45), Arm("long", 0.45)), holdout=0.1)
    execution_id = await stage.run(
        await stage.world.publication((EMAIL, SMS), basis="channel", experiment=experiment, arms=("short",))
    )

    report = await stage.report(execution_id)

    short, long = report.arms
    assert (report.state, report.rest, short.people + long.people + report.held_out) == ("comparing", 0, 300)
    # By text both are written to, by mail those of one arm alone.
    assert await rows(stage.db, "SELECT channel, count(*)::integer FROM send GROUP BY 1 ORDER BY 1") == [
        (1, short.people),
        (2, short.people + long.people),
    ]
    with pytest.raises(Conflict, match="nobody waits"):
        await stage.engine.experiments.choose(stage.world.brand_id, execution_id, "short", chosen_by="key 1")


async def _waiting(stage: Stage, winner: Winner = BY_CLICKS, **more: Any) -> UUID:
    """An execution whose rest waits, with routes by language within its arms."""
    german = Language(values=("de",))
    publication_id = await stage.world.publication(
        (EMAIL, EMAIL, EMAIL),
        basis="channel",
        experiment=Experiment(arms=TENTHS, holdout=0.1, winner=winner),
        whens=(german,),
        arms=("short", "long", None),
        **more,
    )
    return await stage.run(publication_id)


async def test_the_rest_gets_what_did_best_by_a_second_execution(stage: Stage):
    execution_id = await _waiting(stage)
    await stage.react(execution_id, 0, "clicked", 4)
    await stage.react(execution_id, 1, "clicked", 2)
    await stage.react(execution_id, 1, "opened", 9)

    assert await stage.engine.experiments.decide_due() == 0
    await stage.come_due(execution_id)
    async with stage.db.transaction() as conn:
        await conn.execute(
            "UPDATE customer c SET refused_mask = %s FROM (SELECT m.part, m.customer_id FROM cast_member m WHERE m.arm = 9"
            " ORDER BY 2 LIMIT 1) w WHERE c.part = w.part AND c.customer_id = w.customer_id",
            [EMAIL.bit],
        )
        # As somebody is who was erased and has come back.
        await conn.execute(
            "UPDATE customer c SET created_at = statement_timestamp() FROM (SELECT m.part, m.customer_id FROM cast_member m"
            " WHERE m.arm = 9 ORDER BY 2 DESC LIMIT 1) w WHERE c.part = w.part AND c.customer_id = w.customer_id"
        )
    await stage.engine.drain()

    report = await stage.report(execution_id)
    short, long = report.arms
    assert (report.state, report.winner, report.decided_by) == ("won", "short", "experiment")
    assert (short.clicked.people, long.clicked.people, long.opened.people) == (4, 2, 9)
    assert report.run_id is not None
    run = (await stage.engine.executions.progress(stage.world.brand_id, report.run_id)).execution
    assert (run.parent_id, run.audience_size, run.state) == (execution_id, report.rest, "ended")
    fates = Counter((await stage.world.fates(report.run_id)).values())
    assert fates == {"handed_over": report.rest - 2, "skipped unsubscribed": 1, "skipped no_address": 1}
    # Who is written to in German has the arm's own route, all others the one that all arms have; nobody two of them.
    sent = await rows(
        stage.db,
        "SELECT DISTINCT c.locale, s.variant FROM send s JOIN customer c USING (part, customer_id)"
        " JOIN execution e ON e.id = s.execution_id WHERE e.parent_id IS NOT NULL",
    )
    assert sorted(sent) == [("de", 0), ("en", 2)]
    assert set((await stage.places(report.run_id)).values()) == {0}
    assert await stage.come_due(execution_id) == 0


async def test_what_is_told_of_who_is_in_no_arm(stage: Stage):
    execution_id = await _waiting(stage)
    names = dict(
        await rows(
            stage.db,
            "SELECT m.arm, min(c.external_id) FROM cast_member m JOIN customer c USING (part, customer_id) GROUP BY 1",
        )
    )

    explain = stage.engine.executions.explain
    told = {arm: await explain(stage.world.brand_id, execution_id, name) for arm, name in names.items()}

    assert [told[arm].channels[0].arm for arm in (0, 1)] == ["short", "long"]
    assert told[8].outside.startswith("Held out by the campaign's experiment")
    assert told[9].outside.startswith("In the rest, which waits for the winner")


@pytest.mark.parametrize(
    ("otherwise", "state", "winner"), [("ask", "asking", None), ("first", "won", "short"), ("nobody", "nobody", None)]
)
async def test_a_tie_is_left_to_what_was_said_of_it(stage: Stage, otherwise: Any, state: str, winner: str | None):
    execution_id = await _waiting(stage, msgspec.structs.replace(BY_CLICKS, otherwise=otherwise))

    await stage.come_due(execution_id)

    report = await stage.report(execution_id)
    assert (report.state, report.undecided, report.winner) == (state, "tie", winner)
    assert len(await stage.runs_of(execution_id)) == (winner is not None)


async def test_somebody_chooses_before_the_time_or_ends_it(stage: Stage):
    execution_id, other = await _waiting(stage), await _waiting(stage)
    experiments, brand_id = stage.engine.experiments, stage.world.brand_id

    with pytest.raises(Invalid, match="there are short, long"):
        await experiments.choose(brand_id, execution_id, "red", chosen_by="key 1")
    with pytest.raises(Forbidden):
        await experiments.choose(brand_id, execution_id, "long", chosen_by="key 1", is_test=True)
    chosen = await experiments.choose(brand_id, execution_id, "long", chosen_by="key 1")
    ended = await experiments.cancel(brand_id, other, cancelled_by="key 1")

    assert (chosen.state, chosen.winner, chosen.decided_by) == ("won", "long", "key 1")
    assert await stage.runs_of(execution_id) == [chosen.run_id]
    assert (ended.state, await stage.runs_of(other)) == ("cancelled", [])
    for decided in (execution_id, other):
        with pytest.raises(Conflict, match="it is decided"):
            await experiments.choose(brand_id, decided, "short", chosen_by="key 1")
    with pytest.raises(NotFound):
        await experiments.report((await World.made(stage.db, "Other")).brand_id, execution_id)


async def test_what_is_paused_waits_and_what_is_cancelled_never_runs_again(stage: Stage):
    execution_id, cancelled = await _waiting(stage), await _waiting(stage)
    executions, brand_id = stage.engine.executions, stage.world.brand_id
    # As they were before their last message left.
    async with stage.db.transaction() as conn:
        await conn.execute("UPDATE execution SET state = 'sending', ended_at = NULL")
    for one in (execution_id, cancelled):
        await stage.react(one, 1, "clicked", 3)
    await executions.pause(brand_id, execution_id)
    await executions.cancel(brand_id, cancelled)

    assert await stage.come_due(execution_id) + await stage.come_due(cancelled) == 0
    with pytest.raises(Conflict, match="is paused"):
        await stage.engine.experiments.choose(brand_id, execution_id, "long", chosen_by="key 1")
    assert (await stage.report(cancelled)).state == "cancelled"
    await executions.resume(brand_id, execution_id)
    await stage.engine.experiments.decide_due()

    assert (await stage.report(execution_id)).winner == "long"
    assert await stage.runs_of(cancelled) == []


async def test_a_run_that_has_ended_is_paused_and_cancelled_with_its_steps_and_its_experiment(stage: Stage):
    executions, brand_id = stage.engine.executions, stage.world.brand_id
    paused, cancelled = [await _waiting(stage, steps=[Following(60)]) for _ in range(2)]
    for one in (paused, cancelled):
        await stage.react(one, 1, "clicked", 3)
        assert (await executions.find(brand_id, one)).state == "ended"
    await executions.pause(brand_id, paused)
    await executions.cancel(brand_id, cancelled)

    assert await stage.come_due(paused) + await stage.come_due(cancelled) == 0
    with pytest.raises(Conflict, match="is paused"):
        await stage.engine.experiments.choose(brand_id, paused, "long", chosen_by="key 1")
    told = await stage.report(cancelled)
    assert (told.state, told.decided_by, told.decide_at) == ("cancelled", "cancellation", None)
    # Whatever had been left to wait for was over before the pause was.
    async with stage.db.transaction() as conn:
        await conn.execute("UPDATE stepping SET ended_at = statement_timestamp()")
    await executions.resume(brand_id, paused)
    await stage.engine.experiments.decide_due()

    assert (await stage.report(paused)).winner == "long"
    assert await stage.runs_of(cancelled) == []


async def test_of_a_run_that_has_ended_and_has_no_steps_the_experiment_is_cancelled(stage: Stage):
    executions, brand_id = stage.engine.executions, stage.world.brand_id
    execution_id, asking = await _waiting(stage), await _waiting(stage)
    await stage.come_due(asking)
    assert (await stage.report(asking)).state == "asking"
    for one in (execution_id, asking):
        with pytest.raises(Conflict, match="is ended"):
            await executions.pause(brand_id, one)
        await executions.cancel(brand_id, one)
        assert (await stage.report(one)).state == "cancelled"
        with pytest.raises(Conflict, match="is ended"):
            await executions.cancel(brand_id, one)
    assert await stage.come_due(execution_id) == 0


async def test_who_cancels_while_the_winner_is_decided_waits_for_it_and_is_told(stage: Stage):
    execution_id = await _waiting(stage, steps=[Following(60)])
    await stage.react(execution_id, 1, "clicked", 3)
    executions, brand_id = stage.engine.executions, stage.world.brand_id

    async def cancel() -> None:
        try:
            await executions.cancel(brand_id, execution_id)
        except Conflict:
            return

    await asyncio.gather(stage.come_due(execution_id), cancel(), stage.engine.experiments.decide_due(), cancel())

    report = await stage.report(execution_id)
    assert report.state in {"won", "cancelled"}
    assert len(await stage.runs_of(execution_id)) == (report.state == "won")


async def test_what_was_said_stays_until_the_rest_has_it_too(stage: Stage):
    experiments, brand_id = stage.engine.experiments, stage.world.brand_id
    waiting, asking = await _waiting(stage), await _waiting(stage)
    async with stage.db.transaction() as conn:
        await conn.execute("UPDATE execution SET context = jsonb_build_object('match', 'Reds')")
    await stage.come_due(asking)
    async with Database(stage.db.dsn, size=2, shift=timedelta(days=31)) as later:
        forgotten = [await PayloadKeeper(later).forget(brand_id, days=30)]
        dropped = await drop_history_of(later, brand_id, days=30)
        chosen = await experiments.choose(brand_id, asking, "long", chosen_by="key 1")
        await experiments.cancel(brand_id, waiting, cancelled_by="key 1")
        forgotten.append(await PayloadKeeper(later).forget(brand_id, days=30))

    said = dict(await rows(stage.db, "SELECT id, context FROM execution"))
    assert (forgotten[0], dropped) == (0, 0)
    assert forgotten[1] >= 2
    assert said == {waiting: {}, asking: {}, chosen.run_id: {"match": "Reds"}}


class Lost(Exception):
    """The process is gone."""


def lose() -> None:
    raise Lost


@pytest.mark.parametrize(("point", "runs"), [("experiment.before_commit", 0), ("experiment.after_commit", 1)])
async def test_a_winner_is_found_once_wherever_the_process_dies(stage: Stage, point: str, runs: int):
    execution_id = await _waiting(stage)
    await stage.react(execution_id, 1, "clicked", 3)
    failpoints.arm(f"{point}=lose@1", {"lose": lose})
    try:
        await stage.come_due(execution_id)
        assert len(await stage.runs_of(execution_id)) == runs
    finally:
        failpoints.arm("")

    await asyncio.gather(*(stage.engine.experiments.decide_due() for _ in range(3)))

    assert len(await stage.runs_of(execution_id)) == 1
    assert (await stage.report(execution_id)).winner == "long"


async def test_subscribers_of_a_topic_who_left_it_are_left_out_of_the_rest(stage: Stage):
    publication_id = await stage.world.publication(
        (EMAIL, EMAIL), experiment=Experiment(arms=TENTHS, winner=BY_CLICKS), arms=("short", "long")
    )
    execution_id = await stage.world.execution(publication_id)
    await stage.engine.drain()
    await stage.engine.experiments.choose(stage.world.brand_id, execution_id, "short", chosen_by="key 1")
    ((leaver,),) = await rows(
        stage.db,
        "SELECT min(c.external_id) FROM cast_member m JOIN customer c USING (part, customer_id) WHERE m.arm = 9",
    )
    await stage.world.choose(leaver, 0)

    await stage.engine.drain()

    (run_id,) = await stage.runs_of(execution_id)
    assert (await stage.world.fates(run_id))[leaver] == "skipped unsubscribed"


def test_the_interval_of_a_rate_is_wilsons():
    # Ten of a hundred: the example that the interval is usually explained by.
    rate = Rate.of(10, 100)
    assert (rate.rate, round(rate.low or 0, 4), round(rate.high or 0, 4)) == (0.1, 0.0552, 0.1744)
    assert (Rate.of(0, 10).low, Rate.of(10, 10).high) == (0.0, pytest.approx(1.0))
    assert Rate.of(0, 0) == Rate(0, None, None, None)


def test_without_evidence_nobody_wins_by_numbers():
    few = [ArmNumbers(handed_over=4, clicked=4), ArmNumbers(handed_over=50, clicked=1)]
    assert verdict(BY_CLICKS, few) == "no_evidence"
    enough = [ArmNumbers(handed_over=5, clicked=1), ArmNumbers(handed_over=50, clicked=11)]
    decision = verdict(BY_CLICKS, enough)
    assert not isinstance(decision, str)
    assert decision.winner == 1
