"""Planning: audience, person-keyed guard, one recorded row for each person; while the sender is paused, so nothing else."""

import statistics

from stentor.cli.bench.club import Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import call, until_published
from stentor.cli.bench.result import Measure, megabytes, per_s, ratio
from stentor.cli.memory import MemoryWatch
from stentor.cli.premises import Premises

PEOPLE = 1_000_000
_SHARE = 10
_SMALL_RUNS = 3
_ALL, _SOME = "all", "some"


async def measure(premises: Premises, people: int) -> dict[str, Measure]:
    """People planned per second, from the call's acceptance to its publication, with one worker and with two.

    `plan_growth` is the time for all people over the time for a tenth of them, both with one worker.
    """
    some = max(1, people // _SHARE)
    async with MemoryWatch(premises.data) as memory:
        async with premises.running(workers=0):
            club = await found_club(premises)
            await premises.services.senders.pause(club.brand.id, club.sender.id)
            await add_people(premises, club, people)
            await add_topics(premises, club, [_ALL], people)
            await add_topics(premises, club, [_SOME], some)
        async with premises.running(workers=1):
            # The first one pays for connections and prepared statements, which is not what grows.
            small_s = [await _planned_s(premises, club, _SOME) for _ in range(_SMALL_RUNS + 1)][1:]
            one_s = await _planned_s(premises, club, _ALL)
        async with premises.running(workers=2):
            await _planned_s(premises, club, _SOME)
            two_s = await _planned_s(premises, club, _ALL)
    return {
        "plan_1_worker_per_s": per_s(people / one_s),
        "plan_2_workers_per_s": per_s(people / two_s),
        "plan_growth": ratio(one_s / statistics.median(small_s)),
        "peak_rss_mb": megabytes(memory.peak_mb),
    }


async def _planned_s(premises: Premises, club: Club, topic_key: str) -> float:
    called = await call(premises, club, topic_key)
    return (await until_published(premises, club, called.execution_id)).total_seconds()
