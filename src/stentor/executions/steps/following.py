"""Who was handed over waits for the next step: written down chunk by chunk, behind the waves and not in them.

Waves know nothing of steps. Whoever was handed over stays so, and a chunk is looked at again whenever more of it was settled:
when it is done, and as it goes where it takes long. Each person is written down once. People fall due together, in turns, so that a run becomes few executions and not one for each person.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from psycopg import Rollback

from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.executions.steps import store
from stentor.executions.steps.model import SettledChunk, Source
from stentor.executions.steps.store import Look
from stentor.failpoints import failpoint

GRAINS_S = (60, 300, 900, 3_600, 14_400, 86_400)
"""To which multiples of seconds due times are rounded up."""

GRAIN_SHARE = 24
"""A person waits longer than the step says by at most this part of it, or a minute, while the run has few turns of the step."""

TURNS_OF_GRAIN = 100
"""After each so many turns of one step of a run, those that are new are as coarse as the next grain."""

SOURCES_AT_ONCE_MAX = 200
CHUNKS_AT_ONCE_MAX = 256
SENDS_AT_ONCE_MAX = 20_000
"""What one transaction looks at: well under a second."""

LOOK_S_MAX = 60
# A due time is never so near that its turn could be started before it is committed, but for a keeper that was frozen.
_MARGIN_S = 5.0
# For so long the keeper goes on while there is more; its other chores wait.
_TURN_S = 2.0


def grain_s(wait_s: int, turns: int) -> int:
    """To which multiple of seconds due times of such a wait are rounded up, in a run that has so many turns of the step."""
    by_wait = max((place for place, grain in enumerate(GRAINS_S) if grain * GRAIN_SHARE <= wait_s), default=0)
    by_wait = min(by_wait, GRAINS_S.index(3_600))
    return GRAINS_S[min(by_wait + turns // TURNS_OF_GRAIN, len(GRAINS_S) - 1)]


async def write_waits(db: Database) -> int:
    """Writes down who waits for a step; the keeper's chore. Returns how many sources it looked at.

    Several keepers at once, which an election may leave for seconds, harm nothing.
    """
    ends_s, seen = boottime_s() + _TURN_S, 0
    while True:
        sources = await _look(db)
        seen += sources
        if sources == 0 or boottime_s() > ends_s:
            return seen


async def _look(db: Database) -> int:
    async with db.transaction() as conn:
        sources = await store.claim_sources(conn, SOURCES_AT_ONCE_MAX)
        by_brand = sorted(sources, key=lambda source: source.brand_id)
        for _, members in groupby(by_brand, key=lambda source: source.brand_id):
            # Of one brand a turn may have been started meanwhile: it is looked at again, and the others are not.
            async with conn.transaction():
                await _look_at(conn, list(members))
        failpoint("step_wait.before_commit")
    failpoint("step_wait.after_commit")
    return len(sources)


async def _look_at(conn: Connection, sources: Sequence[Source]) -> None:
    brand_id = sources[0].brand_id
    anew = [source for source in sources if source.is_over and source.remedies != source.ordered]
    if anew:
        await store.look_again(conn, brand_id, anew)
    found = await store.unseen(conn, brand_id, sources, CHUNKS_AT_ONCE_MAX)
    chunks = list(_some(found))
    of_execution = {source.execution_id: source for source in sources}
    if chunks:
        placed = [(chunk, of_execution[chunk.execution_id]) for chunk in chunks]
        grains_s = {source.execution_id: grain_s(source.wait_s, source.turns) for source in sources}
        people = await store.write_waits(conn, brand_id, placed, grains_s=grains_s, margin_s=_MARGIN_S)
        if not await store.add_to_turns(conn, brand_id, people):
            # A keeper that was frozen in between: with the next look they fall due later.
            raise Rollback
        await store.note_chunks(conn, brand_id, chunks)
    # Where not all was seen, nobody knows of the others whether anything is left of them.
    is_all = len(chunks) == len(found) < CHUNKS_AT_ONCE_MAX
    looks = [Look(source, _rest_s(source) if is_all else 0, is_all and source.is_over) for source in sources]
    await store.looked_at(conn, brand_id, looks)


def _some(chunks: Sequence[SettledChunk]) -> Iterator[SettledChunk]:
    sends = 0
    for chunk in chunks:
        if sends and sends + chunk.sends > SENDS_AT_ONCE_MAX:
            return
        sends += chunk.sends
        yield chunk


def _rest_s(source: Source) -> int:
    """Nobody is late by it: a wait is longer."""
    return max(5, min(LOOK_S_MAX, source.wait_s // 12))
