"""Limits per hour hold for whom services write to as for whom we do: lists say when, and what leaves here makes room for it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from pull_world import SMS, Client, Pulls, Stage, reader
from stentor.db.pool import Database
from stentor.deliver.hour_buckets import HourLimit
from stentor.deliver.hour_promises import share_of
from stentor.domain.ids import new_id
from stentor.domain.policy import BrandPolicy, CampaignPolicy
from stentor.testing.engine import Engine, ScriptedChannel

pytestmark = pytest.mark.anyio

PER_HOUR = 30
HOUR = timedelta(hours=1)


async def listed(client: Client, campaign: int, *, sent: bool = True) -> dict[str, datetime]:
    return {
        row["CustomerID"]: datetime.fromisoformat(row["ScheduledTime"]).replace(tzinfo=UTC)
        for row in await client.ask(campaign, sent=sent)
    }


def busiest_hour(times: Sequence[datetime]) -> int:
    return max(sum(first <= at < first + HOUR for at in times) for first in times)


async def test_no_hour_of_a_list_has_more_than_its_campaign_may_have_and_the_next_list_says_the_same(db: Database):
    stage = await Stage.made(db, *(reader(f"p{number:02}") for number in range(70)), batch_people=16)
    policy = CampaignPolicy(per_hour=PER_HOUR)
    campaign, execution_id = await stage.campaign(policy)

    first = await listed(stage.client, campaign, sent=False)
    again = await listed(stage.client, campaign)
    fetched = await listed(Client(stage.pulls, stage.world, label="another"), campaign)

    assert len(first) == 70
    assert PER_HOUR - 2 <= busiest_hour(list(first.values())) <= PER_HOUR
    assert max(first.values()) - min(first.values()) < timedelta(hours=2, minutes=30)
    # Who may be written to at once is told so by each list.
    waited = {name for name, at in first.items() if at > min(first.values())}
    assert {name: again[name] for name in waited} == {name: first[name] for name in waited}
    assert fetched == again
    assert set((await stage.world.fates(execution_id)).values()) == {"handed_over"}

    # Another execution of the campaign comes after it.
    second, _ = await _once_more(stage, execution_id)
    later = await listed(stage.client, second)
    assert busiest_hour([*again.values(), *later.values()]) <= PER_HOUR


async def _once_more(stage: Stage, execution_id: UUID) -> tuple[int, UUID]:
    async with stage.world.db.read() as conn:
        row = await (
            await conn.execute("SELECT publication_id FROM execution WHERE id = %s", [execution_id])
        ).fetchone()
    assert row is not None
    made = await stage.world.execution(row[0])
    await stage.pulls.engine.plan()
    async with stage.world.db.read() as conn:
        row = await (await conn.execute("SELECT number FROM partner_run WHERE execution_id = %s", [made])).fetchone()
    assert row is not None
    return row[0], made


async def test_what_leaves_here_waits_for_the_minutes_that_a_list_of_the_brand_was_promised(db: Database):
    stage = await Stage.made(db, *(reader(f"p{number:02}") for number in range(20)))
    await stage.world.brand_policy(BrandPolicy(per_hour={"sms": PER_HOUR}))
    campaign, _ = await stage.campaign()
    times = list((await listed(stage.client, campaign)).values())
    await stage.world.execution(await stage.world.publication((SMS,)))
    await stage.pulls.engine.plan()
    channel, begin = ScriptedChannel(), datetime.now(UTC)

    left: list[datetime] = []
    async with Database(db.dsn, size=6, shift=timedelta()) as later:
        engine = Engine(later, channel)
        # Who finds no room asks again some minutes later.
        for minute in range(180):
            later.shift = timedelta(minutes=minute)
            before = len(channel.taken)
            await engine.deliver()
            left += [datetime.now(UTC) + later.shift] * (len(channel.taken) - before)

    assert len(left) == 20
    assert busiest_hour([*times, *left]) <= PER_HOUR
    assert sum(at < begin + timedelta(minutes=30) for at in left) < 5


async def test_nobody_is_told_a_minute_of_their_night_or_behind_the_deadline(db: Database):
    stage = await Stage.made(db, *(reader(f"p{number:02}", time_zone="UTC") for number in range(40)))
    now = datetime.now(UTC)
    night = {"from": f"{now + timedelta(minutes=9):%H:%M}", "to": f"{now + timedelta(minutes=129):%H:%M}"}
    await stage.world.settings(quiet_hours=[night])
    campaign, execution_id = await stage.campaign(CampaignPolicy(per_hour=60, deadline="150m"))

    times = (await listed(stage.client, campaign)).values()

    evening, morning = now + timedelta(minutes=9), now + timedelta(minutes=128)
    assert all(at < evening or morning < at < now + timedelta(minutes=150) for at in times)
    assert 20 <= len(times) < 40
    assert list((await stage.world.fates(execution_id)).values()).count("pending") == 40 - len(times)


async def test_what_was_promised_to_a_cancelled_execution_others_get(db: Database):
    stage = await Stage.made(db, *(reader(f"p{number:02}") for number in range(40)))
    campaign, execution_id = await stage.campaign(CampaignPolicy(per_hour=PER_HOUR))
    first = await listed(stage.client, campaign, sent=False)
    await stage.pulls.engine.executions.cancel(stage.world.brand_id, execution_id)

    second, _ = await _once_more(stage, execution_id)
    times = await listed(Client(Pulls(db), stage.world), second)

    # A minute may have passed meanwhile; had nothing been given back, it were eighty.
    assert max(times.values()) <= max(first.values()) + timedelta(minutes=5)


@pytest.mark.parametrize("per_hour", [1, 7, 59, 60, 61, 100, 12_345])
def test_minutes_have_an_even_share_and_sixty_of_them_the_hours(per_hour: int):
    limit = HourLimit(new_id(), per_hour)
    shares = [share_of(limit, minute) for minute in range(29_000_000, 29_000_600)]

    assert all(sum(shares[first : first + 60]) <= per_hour for first in range(540))
    assert max(shares) - min(shares) <= 1
    assert sum(shares[:60]) >= per_hour * 0.97 - 1
