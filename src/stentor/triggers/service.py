"""Who asks: a call of an event generator becomes an execution, durably and once."""

import asyncio
import math
import re
from collections.abc import Sequence
from typing import TypeAlias
from uuid import UUID

from stentor.accounts.directory import BrandDirectory
from stentor.answers import store as answers
from stentor.answers.model import Idempotency, StoredAnswer
from stentor.campaigns.sources import GeneratorSource
from stentor.clock import Clock
from stentor.db.pool import Database
from stentor.db.remembered import Remembered
from stentor.domain.ids import new_id
from stentor.errors import Invalid, NotFound, Problem, Unprocessable
from stentor.executions.forecasting import Forecast, Trial
from stentor.executions.service import ExecutionService
from stentor.triggers import admission, store
from stentor.triggers.admission import Candidate, Outcome
from stentor.triggers.committer import CommitLimits, Committer
from stentor.triggers.context import checked_context
from stentor.triggers.events import EventClaim, digest_of
from stentor.triggers.model import Deduplicated, QueuedCall, Replayed, RunCall, RunOutcome

TOPIC_KEY_CHARS_MAX = 200

API_TRIGGERED = "api_triggered"

BUCKETS_MAX = 10_000

# What no id of a generator has, and what the database could not even be asked for.
_NO_ID = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|.{201}", re.DOTALL)

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
        self._generators = generators
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
        """Accepts the call: when this returns Accepted, an execution in state `queued` is on disk.

        Its topic is looked up when it is planned, so an unknown one is accepted here. Under an idempotency key an equal
        call that was accepted before is Replayed, at the rate limit too; concurrent ones wait for each other. Where the
        generator says which calls tell of the same event, a later one within the window is Deduplicated, other fields or not.

        Raises NotFound for a generator that the brand has not; Unprocessable for one that no API call may run, for one
        that was never published, and for a key that was used for another request; Invalid, naming the field, for a
        context that breaks the generator's schema or a limit; RateLimited; Unavailable.
        """
        if call.idempotency is None:
            return await self._committer.commit(await self._checked(call))
        return await self._run_once(call, call.idempotency)

    async def dry_run(self, call: RunCall) -> Forecast:
        """Who the call would reach now, who it would leave out and why, and three rendered samples.

        Nothing is written and no token taken. Raises what `run` raises for a call that it would not accept.
        """
        queued = (await self._checked(call)).call
        trial = Trial(call.topic_key, call.context, self._clock.now())
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
        brand = await self._brands.by_id(call.brand_id)
        generator = (
            None if _NO_ID.search(call.generator_id) else await self._generators.find(call.brand_id, call.generator_id)
        )
        if brand is None or generator is None:
            raise NotFound("This brand has no such event generator.")
        if generator.type != API_TRIGGERED:
            raise Unprocessable(
                f"The event generator is of type `{generator.type}`; only one of type `{API_TRIGGERED}` runs by API call."
            )
        if generator.publication_id is None:
            raise Unprocessable("The event generator was never published. Publish it, then run it.")
        _check_topic_key(call.topic_key)
        context = checked_context(call.context)
        if generator.context_schema is not None and (violations := generator.context_schema.violations(call.context)):
            raise Invalid(violations[0].message, violations=violations)
        event = None
        call_id = new_id()
        if (said := generator.deduplication) is not None:
            digest = digest_of(said, call)
            event = EventClaim(brand.id, digest, call_id, said.window_s)
        await self._buckets.get(brand.id)
        queued = QueuedCall(
            id=call_id,
            brand_id=brand.id,
            rate_per_s=brand.settings.run_rate_per_s,
            publication_id=generator.publication_id,
            generator_id=call.generator_id,
            topic_key=call.topic_key,
            context=context,
            lane=generator.lane,
            is_test=call.is_test,
            triggered_by=call.triggered_by,
            deadline_s=generator.deadline_s,
        )
        return Candidate(queued, call.idempotency, event)

    async def _open_bucket(self, brand_id: UUID) -> None:
        brand = await self._brands.by_id(brand_id)
        if brand is not None:
            async with self._db.transaction() as conn:
                await store.open_bucket(conn, brand_id, brand.settings.run_rate_per_s)

    async def _admit(self, batch: Sequence[Candidate]) -> list[Outcome]:
        return await admission.admit(self._db, batch)


def _check_topic_key(topic_key: str) -> None:
    if not 1 <= len(topic_key) <= TOPIC_KEY_CHARS_MAX:
        message = f"A topic_key has 1 to {TOPIC_KEY_CHARS_MAX} characters: the key or the id of a topic."
        raise Invalid.field("/topic_key", "length", message)
    if "\x00" in topic_key:
        raise Invalid.field("/topic_key", "nul-character", "The topic_key has a NUL character. Remove it.")


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
