"""Who asks: a call of an event generator becomes an execution, durably and once."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from stentor.accounts.directory import BrandDirectory
from stentor.answers import store as answers
from stentor.answers.model import Idempotency, StoredAnswer
from stentor.campaigns.model import GeneratorType
from stentor.campaigns.sources import GeneratorSource
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.errors import Invalid, Problem
from stentor.executions.forecasting import Forecast, Trial
from stentor.executions.service import ExecutionService
from stentor.guard.store import present
from stentor.triggers import admission, store
from stentor.triggers.admission import Candidate, Outcome
from stentor.triggers.checking import CallChecker
from stentor.triggers.committer import CommitLimits, Committer
from stentor.triggers.events import EventClaim, digest_of
from stentor.triggers.model import Deduplicated, Replayed, RunCall, RunOutcome

API_TRIGGERED: GeneratorType = "api_triggered"

BUCKETS_MAX = 10_000

START_AHEAD_DAYS_MAX = 400
START_TOLERANCE = timedelta(seconds=60)
"""How far a `start_at` may lie back and still mean at once: clocks differ, and requests wait."""

_Flight: TypeAlias = "asyncio.Future[StoredAnswer | None]"


class TriggerService:
    """Takes calls while `run_committer` runs."""

    def __init__(
        self,
        db: Database,
        brands: BrandDirectory,
        generators: GeneratorSource,
        executions: ExecutionService,
        *,
        clock: Clock,
        limits: CommitLimits | None = None,
    ) -> None:
        self._db = db
        self._brands = brands
        self._checker = CallChecker(brands, generators)
        self._executions = executions
        self._clock = clock
        self._committer = Committer(self._admit, limits)
        # A bucket that was opened stays, so each is asked for once per process.
        self._buckets = Remembered(self._open_bucket, keep_s=math.inf, entries_max=BUCKETS_MAX)
        self._in_flight: dict[tuple[UUID, str], _Flight] = {}

    async def run_committer(self, stop: asyncio.Event) -> None:
        """Commits calls until `stop` is set, and then those that still wait: stop the doors first."""
        await self._committer.run(stop)

    async def run(self, call: RunCall) -> RunOutcome:
        """Accepts the call: when this returns Accepted, an execution is on disk, `queued`, or `scheduled` for its `start_at`.

        Its topic is looked up when it is planned, so an unknown one is accepted here. Under an idempotency key an equal
        call that was accepted before is Replayed, at the rate limit too; concurrent ones wait for each other. Where the
        generator says which calls tell of the same event, a later one within the window is Deduplicated, other fields or not.

        Raises NotFound for a generator that the brand has not; Unprocessable for one that no API call may run, for one
        that was never published, and for a key that was used for another request; Invalid, naming the field, for a
        context that breaks the generator's schema or a limit, and for a start that is more than a minute past or more than
        400 days ahead; RateLimited; Unavailable.
        """
        if call.idempotency is None:
            return await self._committer.commit(await self._checked(call))
        return await self._run_once(call, call.idempotency)

    async def dry_run(self, call: RunCall) -> Forecast:
        """Who the call would reach now, who it would leave out and why, and three rendered samples.

        Nothing is written and no token taken. Raises what `run` raises for a call that it would not accept.
        """
        queued = (await self._checked(call)).call
        trial = Trial(call.topic_key, call.context, call.start_at or self._clock.now())
        return await self._executions.dry_run(call.brand_id, queued.publication_id, trial)

    async def _run_once(self, call: RunCall, idempotency: Idempotency) -> RunOutcome:
        """Runs at most one of the calls with this key at a time in this process; the database sees to the others."""
        key = call.brand_id, idempotency.key
        while (flight := self._in_flight.get(key)) is not None:
            if (stored := await asyncio.shield(flight)) is not None:
                return _replayed(idempotency, stored)
        flight = self._in_flight[key] = asyncio.get_running_loop().create_future()
        stored = None
        try:
            outcome = await self._accepted_or_replayed(call, idempotency)
            stored = _stored(call, idempotency, outcome)
            return outcome
        finally:
            del self._in_flight[key]
            flight.set_result(stored)

    async def _accepted_or_replayed(self, call: RunCall, idempotency: Idempotency) -> RunOutcome:
        try:
            candidate = await self._checked(call)
        except Problem:
            # What was accepted once is answered so again, whatever has become of its generator since.
            async with self._db.read() as conn:
                found = await answers.stored_answers(conn, [(call.brand_id, idempotency.key)])
            if not found:
                raise
            return _replayed(idempotency, *found.values())
        return await self._committer.commit(candidate)

    async def _checked(self, call: RunCall) -> Candidate:
        if call.start_at is not None:
            # By the clock that lets it begin: this process's own may be an hour off.
            async with self._db.read() as conn:
                check_start(call.start_at, await present(conn))
        brand, generator, queued = await self._checker.check(call, (API_TRIGGERED,))
        event = None
        if (said := generator.deduplication) is not None:
            event = EventClaim(brand.id, digest_of(said, call), queued.id, said.window_s, call.start_at)
        await self._buckets.get(brand.id)
        return Candidate(queued, call.idempotency, event)

    async def _open_bucket(self, brand_id: UUID) -> None:
        brand = await self._brands.by_id(brand_id)
        if brand is not None:
            async with self._db.transaction() as conn:
                await store.open_bucket(conn, brand_id, brand.settings.run_rate_per_s)

    async def _admit(self, batch: Sequence[Candidate]) -> list[Outcome]:
        return await admission.admit(self._db, batch)


def check_start(start_at: datetime, now: datetime) -> None:
    """Raises Invalid for a start that is more than a minute past, or too far ahead."""
    if start_at < now - START_TOLERANCE:
        message = "The start_at is past. Send a time that is to come, or leave it out to start at once."
        raise Invalid.field("/start_at", "past", message)
    if start_at > now + timedelta(days=START_AHEAD_DAYS_MAX):
        message = f"The start_at is more than {START_AHEAD_DAYS_MAX} days ahead. Call again when it is nearer."
        raise Invalid.field("/start_at", "too-far", message)


def _replayed(idempotency: Idempotency, stored: StoredAnswer) -> Replayed:
    outcome = admission.replayed(idempotency, stored)
    if isinstance(outcome, Problem):
        raise outcome
    return outcome


def _stored(call: RunCall, idempotency: Idempotency, outcome: RunOutcome) -> StoredAnswer:
    if isinstance(outcome, Replayed):
        answer = outcome.answer
    else:
        answer = idempotency.answer_of(outcome.execution_id, isinstance(outcome, Deduplicated))
    return StoredAnswer.of(call.brand_id, idempotency, answer)
