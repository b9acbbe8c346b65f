"""Planning: who is meant, and the first half of the guard, in one transaction per slice.

A planner holds what it plans by a row lock, so there is no lease to expire: a planner that is killed loses its
transaction, and the next one starts the slice anew with nothing written.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from stentor.audience import reach
from stentor.audience.reach import PlannableTopic
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.executions import store
from stentor.executions.facts import PublicationSource
from stentor.executions.model import ClaimedSlice, PlannedRoute, QueuedExecution
from stentor.executions.slicing import SLICE_PEOPLE, Slice, cut_slices
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

QUEUED_MAX = 128
"""Executions resolved in one transaction: at 10 people each, more of them gain nothing and hold their locks longer."""


class Planner:
    """Turns queued executions into sends and chunks. Any number of planners work side by side."""

    def __init__(self, db: Database, publications: PublicationSource, *, shard: int) -> None:
        self._db = db
        self._publications = publications
        self._shard = shard

    async def plan_next(self) -> bool:
        """Plans one slice, or resolves the executions that wait; False when there is nothing to do."""
        return await self._plan_slice() or await self._resolve_queued()

    async def _plan_slice(self) -> bool:
        async with self._db.transaction() as conn:
            piece = await store.claim_slice(conn)
            if piece is None:
                return False
            publication = await self._publications.load(piece.brand_id, piece.publication_id)
            routes = _routes(piece.execution_id, piece.topic_id, piece.lane, publication, _slice_of(piece))
            people = await self._write_sends(conn, publication, routes)
            await store.slice_planned(conn, piece, people[piece.execution_id])
        await self._end_finished([piece.execution_id])
        log.debug("slice.planned", execution_id=str(piece.execution_id), slice=piece.number)
        return True

    async def _resolve_queued(self) -> bool:
        async with self._db.transaction() as conn:
            queued = await store.claim_queued(conn, QUEUED_MAX)
            by_brand: dict[UUID, list[QueuedExecution]] = defaultdict(list)
            for execution in queued:
                by_brand[execution.brand_id].append(execution)
            small = [
                execution_id
                for brand_id, executions in sorted(by_brand.items())
                for execution_id in await self._resolve_brand(conn, brand_id, executions)
            ]
        if small:
            await self._end_finished(small)
        return bool(queued)

    async def _resolve_brand(self, conn: Connection, brand_id: UUID, queued: Sequence[QueuedExecution]) -> list[UUID]:
        topics = await reach.topics_to_plan(conn, brand_id, {execution.topic_key for execution in queued})
        small: dict[UUID, list[tuple[QueuedExecution, PlannableTopic]]] = defaultdict(list)
        room = SLICE_PEOPLE
        for execution in queued:
            topic = topics.get(execution.topic_key)
            if topic is None:
                text = f"No topic has the key or id {execution.topic_key!r} in this brand. Create it, or correct topic_key."
                await store.fail(conn, execution, "TOPIC_NOT_FOUND", text)
            elif not topic.enabled:
                text = f"The topic {topic.key!r} is disabled. Enable it, then run the event generator again."
                await store.fail(conn, execution, "TOPIC_DISABLED", text)
            elif topic.subscribers <= room:
                room -= topic.subscribers
                small[execution.publication_id].append((execution, topic))
            else:
                publication = await self._publications.load(brand_id, execution.publication_id)
                slices = cut_slices(topic.subscribers, len(publication.content.routes))
                await store.start_planning(conn, execution, topic.topic_id, slices)
        planned: list[UUID] = []
        for publication_id, members in small.items():
            publication = await self._publications.load(brand_id, publication_id)
            planned += await self._plan_small(conn, publication, members)
        return planned

    async def _plan_small(
        self,
        conn: Connection,
        publication: Publication,
        members: Sequence[tuple[QueuedExecution, PlannableTopic]],
    ) -> list[UUID]:
        routes: list[PlannedRoute] = []
        for execution, topic in members:
            whole = cut_slices(min(topic.subscribers, SLICE_PEOPLE), len(publication.content.routes))[0]
            routes += _routes(execution.id, topic.topic_id, execution.lane, publication, whole)
        people = await self._write_sends(conn, publication, routes)
        await store.publish_small(
            conn,
            publication.brand_id,
            [(execution.id, topic.topic_id, people[execution.id]) for execution, topic in members],
        )
        return [execution.id for execution, _ in members]

    async def _write_sends(
        self, conn: Connection, publication: Publication, routes: Sequence[PlannedRoute]
    ) -> Mapping[UUID, int]:
        """Writes sends, chunks and counters of these routes; returns people by execution."""
        brand_id, mode = publication.brand_id, publication.content.mode
        await store.plan_sends(conn, brand_id, mode, routes)
        counts = await store.planned_counts(conn, brand_id, routes)
        await store.insert_chunks(conn, brand_id, routes, counts)
        moves = Moves(brand_id)
        people: dict[UUID, int] = defaultdict(int)
        for count in counts:
            moves.planned(count.execution_id, count.channel, count.state, count.reason, count.sends)
            people[count.execution_id] += count.sends
        await moves.write(conn, self._shard)
        if mode == "all" and len(publication.content.routes) > 1:
            people.update(await store.planned_people(conn, brand_id, routes))
        return people

    async def _end_finished(self, execution_ids: Sequence[UUID]) -> None:
        async with self._db.transaction() as conn:
            await store.end_finished(conn, execution_ids)


def _routes(
    execution_id: UUID, topic_id: UUID, lane: int, publication: Publication, piece: Slice
) -> list[PlannedRoute]:
    return [
        PlannedRoute(
            execution_id=execution_id,
            topic_id=topic_id,
            channel=route.channel,
            sender_id=route.sender_id,
            lane=lane,
            languages=(
                ",".join(variant.language.lower() for variant in route.variants) if len(route.variants) > 1 else None
            ),
            chunk_base=piece.chunk_base + ordinal * piece.chunks,
            chunks=piece.chunks,
            part_from=piece.part_from,
            part_to=piece.part_to,
        )
        for ordinal, route in enumerate(publication.content.routes)
    ]


def _slice_of(piece: ClaimedSlice) -> Slice:
    return Slice(piece.number, piece.part_from, piece.part_to, piece.chunks, piece.chunk_base)
