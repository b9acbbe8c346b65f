"""Facts told one by one, thousands in a batch, each under an id of the partner's own: told again it changes nothing."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from stentor.audience.upsert import until_settled
from stentor.clock import Clock
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import customer_id
from stentor.errors import TooLarge, Violation
from stentor.failpoints import failpoint
from stentor.integrations.metrics import store
from stentor.integrations.metrics.checking import Named, found, refused
from stentor.integrations.metrics.facts import Entered, Fact, enter
from stentor.integrations.metrics.model import (
    AHEAD_HOURS_MAX,
    BEFORE_HOURS_MAX,
    FACTS_MAX,
    REPEATS_DAYS,
    Run,
    Told,
    ToldFact,
)
from stentor.report.partner_facts import PartnerFact
from stentor.report.provider_events import history_id

FORGET_BATCH = 10_000


class FactService:
    """Takes batches of facts in, each batch in one transaction."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def tell(
        self, brand_id: UUID, facts: Sequence[ToldFact], *, actor: str, channels: Collection[int] | None = None
    ) -> Told:
        """Enters the facts, all of them or none; an opt-out, a bounce and a complaint hold at once.

        A channel's fact of an id that was told in the last 30 days is passed over, whatever it says now. So are people whom
        nothing was sent to. `actor` is who tells it, for the ledger; `channels` as `checking.found`. Raises TooLarge for more than
        10,000, and Invalid with pointers such as `/3/at` for an unknown execution, channel or template, an external id that can
        be nobody's, and a time more than 24 hours ahead, or more than 24 hours before the execution was published. The id of what
        is told of people whom nothing was sent to is not kept: told again when something was, it is taken.
        """
        if len(facts) > FACTS_MAX:
            raise TooLarge(f"{len(facts)} events in one batch; at most {FACTS_MAX}. Send several.")
        places = [place if fact.line is None else fact.line for place, fact in enumerate(facts)]
        people = self._people(brand_id, facts, places)
        digests = [_digest(brand_id, fact) for fact in facts]

        async def work(conn: Connection) -> Told:
            said = [Named(fact.campaign, fact.channel, fact.template) for fact in facts]
            runs = await found(conn, brand_id, channels, said, noun="Line", places=places)
            _check_are_not_before(facts, places, runs)
            new = await store.remember(conn, brand_id, list(dict.fromkeys(digests)))
            fresh: list[Fact] = []
            ids: list[bytes] = []
            for fact, person, digest in zip(facts, people, digests, strict=True):
                if digest in new:
                    new.discard(digest)
                    fresh.append(_fact(fact, person, runs[fact.campaign]))
                    ids.append(digest)
            entered = await enter(conn, brand_id, fresh, actor=actor) if fresh else Entered(0, ())
            await store.forget_ids(conn, brand_id, [ids[place] for place in entered.unknown])
            failpoint("partner_facts.before_commit")
            unknown = len(entered.unknown)
            return Told(len(facts), entered.added, len(facts) - entered.added - unknown, unknown)

        if not facts:
            return Told(0, 0, 0, 0)
        told = await until_settled(self._db, work)
        failpoint("partner_facts.after_commit")
        return told

    def _people(self, brand_id: UUID, facts: Sequence[ToldFact], places: Sequence[int]) -> list[UUID]:
        people: list[UUID] = []
        violations: list[tuple[int, Violation]] = []
        latest = self._clock.now() + timedelta(hours=AHEAD_HOURS_MAX)
        for place, fact in zip(places, facts, strict=True):
            if fact.at > latest:
                text = f"An event lies at most {AHEAD_HOURS_MAX} hours ahead; tell it when it has happened."
                violations.append((place, Violation("/at", "out-of-range", text)))
            try:
                people.append(customer_id(brand_id, fact.external_id))
            except ValueError as error:
                violations.append((place, Violation("/external_id", "invalid-external-id", str(error))))
        if violations:
            raise refused("Line", violations)
        return people


async def forget_told_facts(db: Database) -> int:
    """Deletes the ids of facts that were told more than 30 days ago, and returns how many; the keeper's chore."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await store.forget_told(conn, days=REPEATS_DAYS, limit=FORGET_BATCH)

    return await until_short(forget, FORGET_BATCH)


def _check_are_not_before(facts: Sequence[ToldFact], places: Sequence[int], runs: Mapping[int, Run]) -> None:
    earliest = {number: run.published_at - timedelta(hours=BEFORE_HOURS_MAX) for number, run in runs.items()}
    violations = [
        (place, Violation("/at", "out-of-range", f"Campaign {fact.campaign} had not been published yet."))
        for place, fact in zip(places, facts, strict=True)
        if fact.at < earliest[fact.campaign]
    ]
    if violations:
        raise refused("Line", violations)


def _digest(brand_id: UUID, fact: ToldFact) -> bytes:
    return hashlib.blake2b(f"{fact.channel}/{fact.id}".encode(), digest_size=16, key=brand_id.bytes).digest()


def _fact(fact: ToldFact, person: UUID, run: Run) -> Fact:
    return Fact(
        fact.kind,
        PartnerFact(
            run.execution_id,
            person,
            history_id(f"partner/{fact.channel}/{fact.id}", fact.at),
            fact.at,
            run.channels[fact.channel],
            fact.kind.label,
            fact.detail,
            fact.channel,
            fact.template,
            None,
        ),
    )
