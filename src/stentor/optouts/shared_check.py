"""Single look-ups, many at a time: those that wait at the same moment for the same list share one round of statements.

While one round is under way the next one gathers, so the busier it is the more each round takes along. Rounds on each
other's heels keep a distance of milliseconds, because one costs as much as some ten answers; whoever comes later than that
after the last one waits for nothing. A round begins after all who share it have asked: what was acknowledged before somebody
asked, they see.
"""

import asyncio
from typing import NamedTuple, TypeAlias
from uuid import UUID

from stentor.db.pool import Database
from stentor.errors import Problem, Unavailable
from stentor.optouts.bulk import BulkCheck, Checked
from stentor.optouts.look_up import LookUp

WAITING_MAX = 5_000
"""Look-ups that wait in one process; whoever comes later is told to come back."""

# A round of so many takes some milliseconds.
_ROUND_MAX = 500

# From the beginning of one round to that of the next. Without, 5,000 look-ups in a second, seven of them to a round, kept the
# whole process busy.
ROUND_APART_S = 0.003

_Key: TypeAlias = tuple[UUID, str]


class _Waiting(NamedTuple):
    text: str
    answer: asyncio.Future[Checked]


class SharedCheck:
    """Asks lists about one address at a time, for many callers at once."""

    def __init__(self, db: Database, look_up: LookUp) -> None:
        self._bulk = BulkCheck(db, look_up)
        self._waiting: dict[_Key, list[_Waiting]] = {}
        self._rounds: set[asyncio.Task[None]] = set()
        self._waits = 0

    async def check(self, brand_id: UUID, reference: str, text: str) -> Checked:
        """Whether the list holds the address, domain or hash. Raises as `BulkCheck.check`, and Unavailable where too many wait."""
        if self._waits >= WAITING_MAX:
            raise Unavailable("More look-ups are waiting than can be answered soon. Try again in a second.")
        waiting = _Waiting(text, asyncio.get_running_loop().create_future())
        key = brand_id, reference
        if (others := self._waiting.get(key)) is not None:
            others.append(waiting)
        else:
            self._waiting[key] = [waiting]
            task = asyncio.create_task(self._ask(key))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)
        self._waits += 1
        try:
            return await waiting.answer
        finally:
            self._waits -= 1

    async def _ask(self, key: _Key) -> None:
        """Answers all who wait for that list, round by round, until nobody does."""
        waiting, loop = self._waiting[key], asyncio.get_running_loop()
        try:
            while waiting:
                next_at_s = loop.time() + ROUND_APART_S
                # Whoever hung up meanwhile is not asked for.
                asked = [one for one in waiting[:_ROUND_MAX] if not one.answer.done()]
                del waiting[:_ROUND_MAX]
                await self._round(key, asked)
                if len(waiting) < _ROUND_MAX:
                    await asyncio.sleep(next_at_s - loop.time())
        finally:
            del self._waiting[key]
            for one in waiting:
                if not one.answer.done():
                    one.answer.set_exception(Unavailable("This process is stopping. Try again."))

    async def _round(self, key: _Key, asked: list[_Waiting]) -> None:
        try:
            answers = await self._bulk.check(*key, [one.text for one in asked])
        except BaseException as error:
            # Nobody may be left waiting for an answer that no longer comes.
            why = error if isinstance(error, Problem) else Unavailable("The look-up could not be made. Try again.")
            for one in asked:
                if not one.answer.done():
                    one.answer.set_exception(why)
            if not isinstance(error, Problem):
                raise
            return
        for one, answer in zip(asked, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
