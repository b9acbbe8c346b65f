"""What a bench does to a running engine: it slows a sender down, and lets a worker stand still."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from stentor.channels.model import SenderPatch
from stentor.cli.bench.club import Club
from stentor.cli.premises import Premises
from stentor.db.sql import QuerySet, Statement

PACE_PER_S = 10.0
FREEZE_S = 30.0

_WITHIN_S = 300.0
_LOOK_EVERY_S = 0.01


class Sql(QuerySet, file="interfering.sql", package=__package__):
    open_waves: Statement


@asynccontextmanager
async def paced(premises: Premises, club: Club) -> AsyncIterator[None]:
    """The club's sender hands over ten messages a second inside the block."""
    senders = premises.services.senders
    await senders.update(club.brand.id, club.sender.id, SenderPatch(pace_per_s=PACE_PER_S))
    yield
    await senders.update(club.brand.id, club.sender.id, SenderPatch(pace_per_s=None))


@asynccontextmanager
async def frozen_worker(premises: Premises, club: Club, execution_id: UUID) -> AsyncIterator[list[tuple[UUID, UUID]]]:
    """A worker that has waves of the execution open stands still for 30 s, from before the block to after it.

    Gives the first and last customer of each of these waves.
    """
    pid, ranges = await _stopped(premises, club, execution_id)
    thaws_at_s = time.monotonic() + FREEZE_S
    try:
        yield ranges
        await asyncio.sleep(thaws_at_s - time.monotonic())
    finally:
        os.kill(pid, signal.SIGCONT)


async def _stopped(premises: Premises, club: Club, execution_id: UUID) -> tuple[int, list[tuple[UUID, UUID]]]:
    async with asyncio.timeout(_WITHIN_S):
        while True:
            waves = await _open_waves(premises, club, execution_id)
            if waves:
                pid = int(waves[0][0])
                os.kill(pid, signal.SIGSTOP)
                still_open = await _open_waves(premises, club, execution_id)
                held = [(first, last) for owner, first, last in still_open if int(owner) == pid]
                if held:
                    return pid, held
                os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(_LOOK_EVERY_S)


async def _open_waves(premises: Premises, club: Club, execution_id: UUID) -> list[tuple[str, UUID, UUID]]:
    async with premises.core.db.read() as conn:
        return await Sql.open_waves.tuples(conn, brand_id=club.brand.id, execution_id=execution_id)
