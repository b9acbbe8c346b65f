"""Planning: who is meant, and the first half of the guard, in one transaction per slice.

A planner holds what it plans by a row lock, so there is no lease to expire: a planner that is killed loses its
transaction, and the next one starts the slice anew with nothing written.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog

from stentor.audience.reach import PlannableTopic
from stentor.campaigns.model import Publication
from stentor.channels.service import sandbox_sender
from stentor.clock import boottime_s
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.executions import partner_runs, store
from stentor.executions.audiences import plannable, topics_of
from stentor.executions.ending import end_finished
from stentor.executions.facts import PublicationSource
from stentor.executions.model import AudienceTable, ClaimedSlice, PlannedRoute, QueuedExecution
from stentor.executions.named import plan_named
from stentor.executions.pacing import Pacing, due_plan
from stentor.executions.quieting import QuietSource, places_of
from stentor.executions.slicing import CHUNK_SENDS, SLICE_PEOPLE, Slice, cut_slices
from stentor.executions.steps.store import begin
from stentor.executions.tries import Tries
from stentor.failpoints import failpoint
from stentor.queue.floors import Floors
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

QUEUED_MAX = 128
"""Executions resolved in one transaction: at 10 people each, more of them gain nothing and hold their locks longer."""

FIRST_S = 2.0
"""How long the slices of large executions go before bulk deliveries of the same process."""


class _Target(NamedTuple):
    """What an execution's sends and chunks carry of it."""

    execution_id: UUID
    table: AudienceTable
    topic_id: UUID | None
    lane: int
    is_test: bool
    pacing: Pacing | None

    @property
    def audience_id(self) -> UUID:
        """What its people are found by."""
        return self.topic_id if self.table == "topic" and self.topic_id is not None else self.execution_id


class _Sized(NamedTuple):
    target: _Target
    people: int


class _Meant(NamedTuple):
    """Where an execution's people are found, and about how many they are."""

    table: AudienceTable
    topic_id: UUID | None
    people: int


class _Small:
    """Executions that are planned whole, in groups that one statement plans."""

    def __init__(self) -> None:
        self.groups: dict[tuple[UUID, bool, AudienceTable], list[_Sized]] = defaultdict(list)

    def add(self, execution: QueuedExecution, meant: _Meant) -> None:
        """The execution means those."""
        pacing = _pacing(execution)
        target = _Target(execution.id, meant.table, meant.topic_id, execution.lane, execution.is_test, pacing)
        self.groups[execution.publication_id, execution.is_test, meant.table].append(_Sized(target, meant.people))


class Planner:
    """Turns queued executions into sends and chunks. Any number of planners work side by side."""

    def __init__(self, db: Database, publications: PublicationSource, quiet: QuietSource) -> None:
        self._db = db
        self._publications = publications
        self._quiet = quiet
        self._tries = Tries(db)
        self._floors = Floors()
        self._slicing_since_s: float | None = None

    def goes_first(self) -> bool:
        """Whether bulk deliveries of this process should wait for it: it plans slice after slice, and has not for long.

        So an execution of 127,450 people was published in 0.9 s instead of 1.4, and its last message accepted half a second later,
        after 10; of a very large one the first messages leave while the rest is planned.
        """
        return self._slicing_since_s is not None and boottime_s() < self._slicing_since_s + FIRST_S

    async def plan_next(self) -> bool:
        """Plans one slice, or resolves the executions that wait; False when there is nothing to do.

        The earlier lane goes first; within one, what was begun is finished first. An execution that cannot be planned fails
        as INTERNAL and holds up nobody else.
        """
        async with self._db.read() as conn:
            await store.raise_floors(conn, self._floors)
            of_slices, of_queued = await store.next_lanes(conn, self._floors)
        if of_slices is None or (of_queued is not None and of_queued < of_slices):
            return await self._resolve_queued() or await self._plan_slice()
        return await self._plan_slice() or await self._resolve_queued()

    async def _plan_slice(self) -> bool:
        piece: ClaimedSlice | None = None
        try:
            async with self._db.transaction() as conn:
                piece = await store.claim_slice(conn)
                if piece is None:
                    self._slicing_since_s = None
                    return False
                self._slicing_since_s = self._slicing_since_s or boottime_s()
                table: AudienceTable = "topic" if piece.cast_size is None else "cast"
                pacing = _pacing(piece)
                target = _Target(piece.execution_id, table, piece.topic_id, piece.lane, piece.is_test, pacing)
                publication = await self._publications.load(piece.brand_id, piece.publication_id)
                senders = await _senders(conn, publication, is_test=piece.is_test)
                routes = _routes(target, publication, senders, _slice_of(piece))
                people = await self._write_sends(conn, publication, routes, {piece.execution_id: pacing})
                if await store.slice_planned(conn, piece, people[piece.execution_id]):
                    await partner_runs.publish(conn, publication, [piece.execution_id], is_test=piece.is_test)
                failpoint("plan.before_commit")
            failpoint("plan.after_commit")
        except Unavailable:
            raise
        except Exception as error:
            if piece is None:
                raise
            await self._tries.missed(piece.brand_id, piece.execution_id, error)
            return True
        self._tries.succeeded(piece.execution_id)
        await end_finished(self._db, [piece.execution_id])
        log.debug("slice.planned", execution_id=str(piece.execution_id), slice=piece.number)
        return True

    async def _resolve_queued(self) -> bool:
        """Resolves many together; when one of them makes that fail, each alone, to find out which."""
        queued: list[QueuedExecution] = []
        for limit in (QUEUED_MAX, 1):
            try:
                async with self._db.transaction() as conn:
                    queued = await store.claim_queued(conn, self._floors, limit)
                    small = await self._resolve(conn, queued)
                    failpoint("resolve.before_commit")
                failpoint("resolve.after_commit")
            except Unavailable:
                raise
            except Exception as error:
                if not queued:
                    raise
                if limit == 1:
                    await self._tries.missed(queued[0].brand_id, queued[0].id, error)
            else:
                for execution in queued:
                    self._tries.succeeded(execution.id)
                await end_finished(self._db, small)
                break
        return bool(queued)

    async def _resolve(self, conn: Connection, queued: Sequence[QueuedExecution]) -> list[UUID]:
        by_brand: dict[UUID, list[QueuedExecution]] = defaultdict(list)
        for execution in queued:
            by_brand[execution.brand_id].append(execution)
        return [
            execution_id
            for brand_id, executions in sorted(by_brand.items())
            for execution_id in await self._resolve_brand(conn, brand_id, executions)
        ]

    async def _resolve_brand(self, conn: Connection, brand_id: UUID, queued: Sequence[QueuedExecution]) -> list[UUID]:
        """Fails what has no topic, cuts what is large, plans what is small at once; returns the last."""
        topics = await topics_of(conn, brand_id, queued)
        small = _Small()
        room = SLICE_PEOPLE
        for execution in queued:
            meant = await self._meant(conn, execution, topics)
            if meant is None:
                continue
            if meant.table == "named":
                small.add(execution, meant)
            elif meant.people <= room:
                room -= meant.people
                small.add(execution, meant)
            else:
                publication = await self._publications.load(brand_id, execution.publication_id)
                pacing = _pacing(execution)
                chunk_sends = CHUNK_SENDS if pacing is None else pacing.chunk_sends
                slices = cut_slices(meant.people, len(publication.content.routes), chunk_sends)
                await store.start_planning(conn, execution, meant.topic_id, slices)
                await begin(conn, brand_id, [execution.id], publication.content)
        planned: list[UUID] = []
        for (publication_id, is_test, _), members in small.groups.items():
            publication = await self._publications.load(brand_id, publication_id)
            senders = await _senders(conn, publication, is_test=is_test)
            planned += await self._plan_small(conn, publication, senders, members)
        return planned

    async def _meant(
        self, conn: Connection, execution: QueuedExecution, topics: Mapping[str, PlannableTopic]
    ) -> _Meant | None:
        """Who is meant; None where the execution failed, or was left to a caster first."""
        if execution.cast_size is not None:
            return _Meant("cast", execution.topic_id, execution.cast_size)
        if execution.recipients:
            if not execution.topic_key:
                return _Meant("named", None, execution.recipients)
            # They are asked whether they have subscribed when they are guarded.
            topic = await plannable(conn, execution, topics)
            return None if topic is None else _Meant("named", topic.topic_id, execution.recipients)
        publication = await self._publications.load(execution.brand_id, execution.publication_id)
        if publication.content.needs_cast:
            await store.await_cast(conn, execution)
            return None
        topic = await plannable(conn, execution, topics)
        return None if topic is None else _Meant("topic", topic.topic_id, topic.subscribers)

    async def _plan_small(
        self, conn: Connection, publication: Publication, senders: Sequence[UUID], members: Sequence[_Sized]
    ) -> list[UUID]:
        routes: list[PlannedRoute] = []
        for target, meant in members:
            chunk_sends = CHUNK_SENDS if target.pacing is None else target.pacing.chunk_sends
            whole = cut_slices(min(meant, SLICE_PEOPLE), len(senders), chunk_sends)[0]
            routes += _routes(target, publication, senders, whole)
        targets = [target for target, _ in members]
        people = await self._write_sends(
            conn, publication, routes, {target.execution_id: target.pacing for target in targets}
        )
        await store.publish_small(
            conn,
            publication.brand_id,
            [(target.execution_id, target.topic_id, people[target.execution_id]) for target in targets],
        )
        planned = [target.execution_id for target in targets]
        await partner_runs.publish(conn, publication, planned, is_test=targets[0].is_test)
        await begin(conn, publication.brand_id, planned, publication.content)
        return planned

    async def _write_sends(
        self,
        conn: Connection,
        publication: Publication,
        routes: Sequence[PlannedRoute],
        pacings: Mapping[UUID, Pacing | None],
    ) -> Mapping[UUID, int]:
        """Writes sends, chunks and counters of these routes; returns people by execution."""
        brand_id, mode = publication.brand_id, publication.content.mode
        routes = await self._quiet.plan(conn, publication, routes)
        routes = [await self._paced(conn, brand_id, route, pacings[route.execution_id]) for route in routes]
        plan = plan_named if routes[0].table == "named" else store.plan_sends
        await plan(conn, publication, routes)
        counts = await store.planned_counts(conn, brand_id, routes)
        await store.insert_chunks(conn, brand_id, routes, counts)
        moves = Moves(brand_id)
        people: dict[UUID, int] = defaultdict(int)
        for count in counts:
            moves.planned(count.execution_id, count.channel, count.state, count.reason, count.sends)
            people[count.execution_id] += count.sends
        await moves.write(conn)
        if mode == "all" and len(publication.content.routes) > 1:
            people.update(await store.planned_people(conn, brand_id, routes))
        return people

    async def _paced(
        self, conn: Connection, brand_id: UUID, route: PlannedRoute, pacing: Pacing | None
    ) -> PlannedRoute:
        """The route with when its people fall due. Who is not due now is asked about quiet hours when they are."""
        if pacing is None:
            return route
        places = [] if pacing.local_at is None else await places_of(conn, brand_id, [route])
        quiet = await self._quiet.load(brand_id)
        return msgspec.structs.replace(route, quiet=due_plan(pacing, places, quiet.fallback))


def _pacing(execution: QueuedExecution | ClaimedSlice) -> Pacing | None:
    """How it is paced; None for what is sent as fast as it goes."""
    is_paced = execution.local_at is not None or execution.spread_s or execution.per_hour is not None
    if execution.cast_at is None or execution.cast_size is None or not is_paced:
        return None
    return Pacing(
        begins_at=execution.cast_at,
        people=execution.cast_size,
        local_at=execution.local_at,
        spread_s=execution.spread_s,
        per_hour=execution.per_hour,
    )


async def _senders(conn: Connection, publication: Publication, *, is_test: bool) -> list[UUID]:
    """The sender of each route; what a test key triggered goes to the sandbox, whatever the campaign says."""
    if not is_test:
        return [route.sender_id for route in publication.content.routes]
    return [
        (await sandbox_sender(conn, publication.brand_id, ChannelKind(route.channel))).id
        for route in publication.content.routes
    ]


def _routes(target: _Target, publication: Publication, senders: Sequence[UUID], piece: Slice) -> list[PlannedRoute]:
    bases = publication.content.variant_bases
    return [
        PlannedRoute(
            execution_id=target.execution_id,
            table=target.table,
            audience_id=target.audience_id,
            ordinal=ordinal,
            variant_base=bases[ordinal],
            channel=route.channel,
            sender_id=sender_id,
            lane=target.lane,
            languages=(
                ",".join(variant.language.lower() for variant in route.variants) if len(route.variants) > 1 else None
            ),
            chunk_base=piece.chunk_base + ordinal * piece.chunks,
            chunks=piece.chunks,
            part_from=piece.part_from,
            part_to=piece.part_to,
            pulled=route.partner is not None and not target.is_test,
        )
        for ordinal, (route, sender_id) in enumerate(zip(publication.content.routes, senders, strict=True))
    ]


def _slice_of(piece: ClaimedSlice) -> Slice:
    return Slice(piece.number, piece.part_from, piece.part_to, piece.chunks, piece.chunk_base)
