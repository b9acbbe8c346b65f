"""The guard at work: what two cap rules, quiet hours, opt-outs and duplicates cost, and that nobody waits behind a blast."""

import asyncio
from datetime import timedelta
from typing import Any

from stentor.cli.bench.alerts import PEOPLE_PER_ALERT, Timed, alerts, messages
from stentor.cli.bench.club import Club, add_generator, add_people, add_topics, found_club
from stentor.cli.bench.executions import call, until_ended, until_published
from stentor.cli.bench.optout import measure_opt_outs
from stentor.cli.bench.result import Measure, megabytes, microseconds, milliseconds, per_s, ratio, seconds
from stentor.cli.bench.sink import checked_sink
from stentor.cli.memory import MemoryWatch
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.clock import Clock
from stentor.domain.policy import CampaignPolicy
from stentor.domain.quiet_hours import DAYS
from stentor.wiring.roles import deliverer, open_channels, planner

PEOPLE = 1_000_000
_SHARE = 8
_METERED_SHARE = 50
_ALERT_TOPICS = 25
_IDLE_S = 30.0
_GUARDED, _ALERT, _MESSAGE = "guarded", "goal", "receipt"
_ALL, _SOME, _FEW = "all", "some", "few"


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """All measures of the guard and of the lanes; a blast goes to `people`, guarded deliveries to an eighth of them.

    Opt-outs are measured at full speed, at ten messages a second and across a frozen worker; the worst of the three counts.
    """
    async with MemoryWatch(premises.data) as memory:
        results = await _guarded(premises, people)
        situations = await measure_opt_outs(premises)
    found = situations.values()
    results["optout_to_last_handover_p99_s"] = seconds(max(one.opt_outs.p99_s for one in found))
    results["stop_to_last_handover_worst_s"] = seconds(max(one.stops.worst_s for one in found))
    return results | {"peak_rss_mb": megabytes(memory.peak_mb)}


async def _guarded(premises: Premises, people: int) -> dict[str, Measure]:
    some, few = max(1, people // _SHARE), max(1, people // _METERED_SHARE)
    with checked_sink() as sink:
        async with premises.running(workers=0):
            club = await found_club(premises, smtp_port=sink.port)
            await premises.services.accounts.update_brand_settings(club.brand.id, _rules())
            await add_generator(premises, club, _GUARDED, policy=CampaignPolicy(tags=("bulk",)))
            await add_generator(premises, club, _ALERT, lane="alert")
            await add_generator(premises, club, _MESSAGE, lane="transactional", basis="none")
            await add_people(premises, club, people)
            for topic_key, number in ((_ALL, people), (_SOME, some), (_FEW, few)):
                await add_topics(premises, club, [topic_key], number)
            goals = [f"goal-{number}" for number in range(_ALERT_TOPICS)]
            await add_topics(premises, club, goals, min(people, _ALERT_TOPICS * PEOPLE_PER_ALERT))
        us_per_person = await _metered(premises, club)
        async with premises.running():
            planned_per_s, smtp_per_s = await _delivered(premises, club, people)
            idle = await alerts(premises, club, _ALERT, goals, duration_s=_IDLE_S)
            single = await messages(premises, club, _MESSAGE, duration_s=_IDLE_S)
            alone_s = await _blast_s(premises, club)
            busy, slowdown = await _beside_alerts(premises, club, goals, people=people, alone_s=alone_s)
    return {
        "guarded_plan_2_workers_per_s": per_s(planned_per_s),
        "guarded_smtp_per_s": per_s(smtp_per_s),
        "guard_us_per_person": microseconds(us_per_person),
        "alert_idle_p99_ms": milliseconds(idle.p99_ms()),
        "alert_busy_p99_ms": milliseconds(busy.p99_ms()),
        "blast_slowdown": ratio(slowdown),
        "transactional_p99_ms": milliseconds(single.p99_ms()),
    }


def _rules() -> dict[str, Any]:
    """Two rolling caps that count and hold back nobody here, and quiet hours on a day that is far away in every zone."""
    caps = [
        {"at_most": 1_000, "per": "7d", "channels": ["email"], "tags": ["bulk"]},
        {"at_most": 1_000, "per": "24h", "tags": ["bulk"]},
    ]
    far_day = DAYS[(Clock().now() + timedelta(days=3)).weekday()]
    return {
        "policy": {"caps": caps},
        "quiet_hours": [{"from": "09:00", "to": "17:00", "days": [far_day], "action": "hold"}],
    }


async def _metered(premises: Premises, club: Club) -> float:
    """Microseconds that the guard's statements took for each person, the median of the waves of a worker by itself."""
    async with premises.running(workers=0):
        await call(premises, club, _FEW, generator_id=_GUARDED)
    planning = planner(premises.core)
    while await planning.plan_next():
        pass
    channels = open_channels(premises.core)
    worker = deliverer(premises.core, channels, "bench")
    try:
        while claim := await worker.claim():
            await worker.deliver(claim, stop=asyncio.Event())
    finally:
        await channels.aclose()
    if worker.guard_meter.median_us is None:
        fail("Nobody was guarded.")
    return worker.guard_meter.median_us


async def _delivered(premises: Premises, club: Club, people: int) -> tuple[float, float]:
    """People planned per second while the sender is paused, and messages handed over per second when it goes on."""
    senders = premises.services.senders
    await senders.pause(club.brand.id, club.sender.id)
    planned_s = []
    # The first pays for connections and prepared statements.
    for topic_key in (_FEW, _ALL):
        called = await call(premises, club, topic_key, generator_id=_GUARDED)
        planned_s.append((await until_published(premises, club, called.execution_id)).total_seconds())
        await premises.services.executions.cancel(club.brand.id, called.execution_id)
        await until_ended(premises, club, called.execution_id)
    called = await call(premises, club, _SOME, generator_id=_GUARDED)
    await until_published(premises, club, called.execution_id)
    started_at = Clock().now()
    await senders.resume(club.brand.id, club.sender.id)
    ended = await until_ended(premises, club, called.execution_id)
    return people / planned_s[-1], ended.handed_over / (ended.at - started_at).total_seconds()


async def _blast_s(premises: Premises, club: Club) -> float:
    """How long a call to everybody takes from its POST to its last message accepted."""
    called = await call(premises, club, _ALL)
    ended = await until_ended(premises, club, called.execution_id)
    return ended.at.timestamp() - called.sent_at_s


async def _beside_alerts(
    premises: Premises, club: Club, goals: list[str], *, people: int, alone_s: float
) -> tuple[Timed, float]:
    """The alerts while a blast runs, and how many times as long it takes, their own messages subtracted."""
    blast = asyncio.create_task(_blast_s(premises, club))
    busy = await alerts(premises, club, _ALERT, goals, duration_s=alone_s)
    took_s = await blast
    their_share_s = len(busy.took_s) * PEOPLE_PER_ALERT / people * alone_s
    return busy, (took_s - their_share_s) / alone_s
