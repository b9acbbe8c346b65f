"""Two Stentors joined as hub and service: killed in the middle, whichever side it is, both books agree to the person."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from stentor.channels.model import SenderPatch
from stentor.cli.bench.books import differences, service_counts
from stentor.cli.bench.federation import Federation, federation
from stentor.cli.bench.installations import Installation
from stentor.domain.vocabulary import SendState
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.waiting import eventually

pytestmark = [pytest.mark.prove, pytest.mark.anyio, pytest.mark.timeout(900)]

PEOPLE = 6_000
# So slow that there is a middle to be killed in.
PACE_PER_S = 1_000
# A dead worker's waves are given up by its lease, a hub that does not answer is asked again after 2, 10, then 60 s.
AGREE_WITHIN_S = 300.0
MOMENT_WITHIN_S = 180.0
STRIKES = 3
# Between a moment and the strike: so that seeds strike at different instructions.
LATER_S = 0.4

Moment = Callable[[Federation], Awaitable[bool]]


async def pulling(two: Federation) -> bool:
    """The service has some of the people, and not all."""
    return any(run.rows_read > 0 for run in await two.runs())


async def noticed(two: Federation) -> bool:
    """The service has heard of the campaign."""
    return bool(await two.runs())


async def sending(two: Federation) -> bool:
    """The service has sent some."""
    return await _sent(two) > 0


async def nearly_sent(two: Federation) -> bool:
    """The service has sent most."""
    return await _sent(two) > PEOPLE // 2


async def _sent(two: Federation) -> int:
    for run in await two.runs():
        async with two.service.premises.core.db.read() as conn:
            return (await service_counts(conn, two.service_club.brand.id, run.id)).sent
    return 0


def kill_role(role: str, side: Installation) -> None:
    """One of the processes of that role, which `serve` starts again."""
    for pid in side.pids(role)[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def strike(two: Federation, side: str, what: str) -> None:
    """Kills that of the hub or of the service; whole installations are started again at once."""
    struck = two.hub if side == "hub" else two.service
    if what != "serve":
        kill_role(what, struck)
        return
    await struck.kill()
    await struck.start()


MOMENTS: list[Moment] = [noticed, pulling, sending, nearly_sent]


@pytest.mark.parametrize("what", ["api", "worker", "serve"])
@pytest.mark.parametrize("side", ["hub", "service"])
async def test_either_side_is_killed_in_the_middle_and_both_books_agree_to_the_person(
    side: str, what: str, tmp_path: Path
):
    """At each of several moments of one campaign, a little later by a seed that the test's own name gives."""
    draw = random.Random(f"{side} {what}")
    await agree_after(tmp_path, [(moment, side, what) for moment in MOMENTS], draw)


@pytest.mark.parametrize("seed", range(3))
async def test_both_are_killed_at_random_and_both_books_agree_to_the_person(seed: int, tmp_path: Path):
    draw = random.Random(seed)
    plan = [
        (moment, draw.choice(["hub", "service"]), draw.choice(["api", "worker", "serve"]))
        for moment in sorted(draw.choices(MOMENTS, k=STRIKES * 2), key=MOMENTS.index)
    ]
    await agree_after(tmp_path, plan, draw)


async def _slow_down(two: Federation) -> None:
    club = two.service_club
    patch = SenderPatch(pace_per_s=PACE_PER_S)
    await two.service.premises.services.senders.update(club.brand.id, club.sender.id, patch)


async def agree_after(folder: Path, plan: list[tuple[Moment, str, str]], draw: random.Random) -> None:
    with SinkProcess(folder / "mail") as sink:
        async with federation(sink.port) as two:
            await two.add_people(PEOPLE)
            await two.join(key=draw.random() < 0.5)
            await _slow_down(two)
            called = await two.trigger()
            for moment, side, what in plan:
                await eventually(partial(moment, two), MOMENT_WITHIN_S)
                await asyncio.sleep(draw.random() * LATER_S)
                await strike(two, side, what)

            await two.until_told(called.execution_id, AGREE_WITHIN_S)
            hub, service = await two.books(called.execution_id)
        arrived = [stored.recipient for stored in sink.stored()]

    assert differences(hub, service) == []
    in_doubt = service.in_state(SendState.UNKNOWN)
    sent = service.in_state(SendState.HANDED_OVER)
    assert len(hub.states) == PEOPLE
    assert len(arrived) == len(set(arrived))
    assert len(sent) <= len(arrived) <= len(sent) + len(in_doubt)
