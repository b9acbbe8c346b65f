"""Segments: kept under a name, counted live, and asked who is in them."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from stentor.accounts.audit import record
from stentor.audience.model import Customer
from stentor.audience.segments import store
from stentor.audience.segments.expressions import Expression, checked
from stentor.audience.segments.model import Count, Known, Seen, Segment, SegmentPatch, Use, Users
from stentor.audience.segments.naming import unknown_names
from stentor.audience.segments.standing import compiled
from stentor.audience.tags import known_tags
from stentor.audience.topics import known_topics
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.domain.ids import PARTS, new_id
from stentor.domain.text import checked_name
from stentor.errors import Conflict, Invalid, NotFound, RateLimited, Unavailable

NAME_CHARS_MAX = 200
SEGMENTS_MAX = 1000
PAGE_MAX = 1000
COUNT_S_MAX = 5.0
COUNTS_AT_ONCE_MAX = 2
"""Of one process. Each takes all cores that the database gives it."""

SAMPLE_PARTS = 64
"""Of the 4,096: so many are counted where all took too long. Ids are hashes, so that they are a random share."""

SAMPLE_S_MAX = 2.0


class SegmentService:
    """Makes, changes, counts and removes segments.

    `known_campaigns` says which ids are campaigns of the brand; `users` what goes by a segment.
    """

    def __init__(
        self,
        db: Database,
        known_campaigns: Known,
        users: Sequence[Users] = (),
        *,
        count_s: float = COUNT_S_MAX,
        sample_s: float = SAMPLE_S_MAX,
    ) -> None:
        self._db = db
        self._known = {"tags": known_tags, "topics": known_topics, "campaigns": known_campaigns}
        self._users = users
        self._count_s = count_s
        self._sample_s = sample_s
        self._turns = asyncio.Semaphore(COUNTS_AT_ONCE_MAX)

    async def create(self, brand_id: UUID, name: str, expression: Expression) -> Segment:
        """The new segment. Raises Invalid, Conflict when the name is taken, QuotaExceeded for more than 1,000."""
        name, expression = checked_name(name, NAME_CHARS_MAX), checked(expression)
        async with self._db.transaction() as conn:
            await self._check_names(conn, brand_id, expression)
            await check_quota(conn, brand_id, "segments", SEGMENTS_MAX, store.count_segments)
            segment_id = new_id()
            if not await store.insert_segment(conn, brand_id, segment_id, name, expression):
                raise _taken(name)
            segment = await _found(conn, brand_id, segment_id)
            await record(conn, "segment.created", segment_id, brand_id=brand_id, after=_told(segment))
            return segment

    async def get(self, brand_id: UUID, segment_id: UUID) -> Segment:
        """The segment. Raises NotFound."""
        async with self._db.read() as conn:
            return await _found(conn, brand_id, segment_id)

    async def page(self, brand_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX) -> list[Segment]:
        """Up to 1,000 segments in the order of their making, from behind the id `after`."""
        async with self._db.read() as conn:
            return await store.page_of_segments(conn, brand_id, after=after, limit=min(limit, PAGE_MAX))

    async def update(self, brand_id: UUID, segment_id: UUID, patch: SegmentPatch) -> Segment:
        """The segment with those changes; whatever goes by it goes by the new expression from its next start on.

        Raises Invalid, NotFound, and Conflict when the name is taken.
        """
        name = None if patch.name is msgspec.UNSET else checked_name(patch.name, NAME_CHARS_MAX)
        expression = None if patch.expression is msgspec.UNSET else checked(patch.expression)
        try:
            async with self._db.transaction() as conn:
                if expression is not None:
                    await self._check_names(conn, brand_id, expression)
                if name is not None and await store.is_named(conn, brand_id, segment_id, name):
                    raise _taken(name)
                await store.lock_segment(conn, brand_id, segment_id)
                before = await _found(conn, brand_id, segment_id)
                await store.update_segment(conn, brand_id, segment_id, name=name, expression=expression)
                after = await _found(conn, brand_id, segment_id)
                await record(
                    conn, "segment.updated", segment_id, brand_id=brand_id, before=_told(before), after=_told(after)
                )
                return after
        except psycopg.errors.UniqueViolation:
            raise _taken(name or "") from None

    async def delete(self, brand_id: UUID, segment_id: UUID) -> None:
        """Removes a segment that nothing goes by. Raises NotFound, and Conflict while anything does."""
        try:
            async with self._db.transaction() as conn:
                await store.lock_segment(conn, brand_id, segment_id)
                segment = await _found(conn, brand_id, segment_id)
                if used := await self._uses(conn, brand_id, segment_id):
                    raise _used(used)
                await store.delete_segment(conn, brand_id, segment_id)
                await record(conn, "segment.deleted", segment_id, brand_id=brand_id, before=_told(segment))
        except psycopg.errors.ForeignKeyViolation:
            raise _used(()) from None

    async def uses(self, brand_id: UUID, segment_id: UUID) -> list[Use]:
        """The schedules that go by the segment, and the executions that wait for its people. Raises NotFound."""
        async with self._db.read() as conn:
            await _found(conn, brand_id, segment_id)
            return await self._uses(conn, brand_id, segment_id)

    async def count(self, brand_id: UUID, expression: Expression) -> Count:
        """How many people the expression means now; an estimate where that takes more than 5 s.

        Raises Invalid; RateLimited when this process counts for two others all that time.
        """
        expression = checked(expression)
        async with self._db.read() as conn:
            await self._check_names(conn, brand_id, expression)
        return await self._counted(brand_id, expression)

    async def count_of(self, brand_id: UUID, segment_id: UUID) -> Count:
        """How many people are in the segment now, as `count`. Raises NotFound too."""
        return await self._counted(brand_id, (await self.get(brand_id, segment_id)).expression)

    async def members(
        self, brand_id: UUID, segment_id: UUID, *, after: UUID | None = None, limit: int = PAGE_MAX
    ) -> list[Customer]:
        """Up to 1,000 people who are in it now, in the order of their ids, from behind `after`.

        Raises NotFound; Unavailable where finding them takes more than 5 s, as with one in a million; RateLimited as `count`.
        """
        segment = await self.get(brand_id, segment_id)
        try:
            async with self._turn(), self._db.read(statement_timeout=timedelta(seconds=self._count_s)) as conn:
                condition = await compiled(conn, brand_id, segment.expression)
                return await store.members(conn, brand_id, condition, after=after, limit=min(limit, PAGE_MAX))
        except Unavailable as error:
            if not _took_too_long(error):
                raise
            raise Unavailable(
                f"Nobody was found within {self._count_s:g} s. Ask how many there are, or narrow the segment by a "
                "subscription, a tag or an event, which are found by themselves.",
                retry_after_s=60,
            ) from None

    async def seen(self, brand_id: UUID) -> Seen:
        """What the brand's people have that conditions can ask for, in a random sample of at most 2,000 of them."""
        async with self._db.read(statement_timeout=timedelta(seconds=self._count_s)) as conn:
            return await store.seen(conn, brand_id, random.randrange(PARTS))

    async def _counted(self, brand_id: UUID, expression: Expression) -> Count:
        begun_s = boottime_s()
        async with self._turn():
            found, share = await self._count_parts(brand_id, expression, PARTS, self._count_s), 1.0
            if found is None:
                share = SAMPLE_PARTS / PARTS
                found = await self._count_parts(brand_id, expression, SAMPLE_PARTS, self._sample_s)
        people, reachable = found or (None, {})
        estimate = None if people is None or share == 1 else round(people / share)
        return Count(
            people=people if share == 1 else None,
            estimate=estimate,
            sampled_share=share if found else 0.0,
            reachable={channel: round(number / share) for channel, number in reachable.items()},
            took_ms=round((boottime_s() - begun_s) * 1000),
        )

    async def _count_parts(
        self, brand_id: UUID, expression: Expression, parts: int, patience_s: float
    ) -> tuple[int, dict[str, int]] | None:
        """None where it takes longer than that."""
        try:
            async with self._db.read(statement_timeout=timedelta(seconds=patience_s)) as conn:
                condition = await compiled(conn, brand_id, expression)
                return await store.count(conn, brand_id, condition, parts=parts)
        except Unavailable as error:
            if _took_too_long(error):
                return None
            raise

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._count_s):
                await self._turns.acquire()
        except TimeoutError:
            text = f"{COUNTS_AT_ONCE_MAX} segments are being counted already; ask again in a few seconds."
            raise RateLimited(text, retry_after_s=5) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _uses(self, conn: Connection, brand_id: UUID, segment_id: UUID) -> list[Use]:
        return [use for find in self._users for use in await find(conn, brand_id, segment_id)]

    async def _check_names(self, conn: Connection, brand_id: UUID, expression: Expression) -> None:
        if violations := await unknown_names(conn, brand_id, expression, self._known, "/expression"):
            raise Invalid(violations[0].message, violations=violations)


async def _found(conn: Connection, brand_id: UUID, segment_id: UUID) -> Segment:
    segment = await store.find_segment(conn, brand_id, segment_id)
    if segment is None:
        raise NotFound(f"This brand has no segment {segment_id}.")
    return segment


def _told(segment: Segment) -> dict[str, Any]:
    return {"name": segment.name, "expression": msgspec.to_builtins(segment.expression)}


def _taken(name: str) -> Conflict:
    return Conflict(f"The brand has a segment {name!r} already; change that one or choose another name.")


def _used(uses: Sequence[Use]) -> Conflict:
    named = ", ".join(f"the {use.kind} {use.name!r}" for use in uses[:3]) or "a schedule or an execution"
    more = f" and {len(uses) - 3} more" if len(uses) > 3 else ""
    return Conflict(f"The segment is used by {named}{more}. Let them go by another one first.")


def _took_too_long(error: Unavailable) -> bool:
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)
