"""Watching for those who say no after they were pulled: looked for every second, and told of within five.

Nothing on the way of an opt-out knows of pulls. The watcher asks, once a second and for each brand of which something is being
watched, what was said no to since it last looked: five reads by indexes of time (the ledger's noes, single entries of opt-out lists,
what providers reported, erasures, merges), which cost what was said no to and not what was pulled. `since` is a time before which
nothing can be committed any more (`queries.sql: moment`), so that no opt-out is lost that was long in coming. Files of opt-out lists
hold no single people; when these change, everybody who is watched is asked about them anew, some thousand at a time, beside the looks.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from stentor.clock import boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import PARTS
from stentor.domain.vocabulary import ChannelKind
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, revoking_store, store
from stentor.integrations.pulls.guarding import has_lists, objections_to
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.model import PulledRun
from stentor.integrations.pulls.revoking import Revoked, revoke
from stentor.integrations.pulls.revoking_store import Sql, Watched
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.store import Sql as PullSql
from stentor.integrations.pulls.watched_lists import mark_of
from stentor.optouts.asking import AskedStore
from stentor.optouts.look_up import LookUp, digests_of

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the watcher looks for what was said no to."""

CANDIDATES_AT_ONCE = 2_000
"""People whom one transaction asks about again."""

SWEPT_AT_ONCE = 5_000
"""People of a run who are asked about changed lists in one transaction."""


class Watcher:
    """Finds revocations. One process at a time does; two for a moment harm nothing."""

    def __init__(self, db: Database, runs: Runs, look_up: LookUp, hand_over: HandOver) -> None:
        self._db = db
        self._runs = runs
        self._look_up = look_up
        self._hand_over = hand_over
        self._look_due_s = 0.0

    async def step(self) -> bool:
        """Looks, if it is time, and asks some people about changed lists; False when there is nothing more to do now."""
        if boottime_s() >= self._look_due_s:
            self._look_due_s = boottime_s() + LOOK_EVERY_S
            await self.look()
        return await self.sweep()

    async def look(self) -> int:
        """Revokes whoever said no since the last look; returns how many."""
        async with self._db.read() as conn:
            watched = await revoking_store.watched(conn)
        return sum([await self._look_at(brand_id, since) for brand_id, since in watched.items()])

    async def _look_at(self, brand_id: UUID, since: datetime) -> int:
        async with self._db.transaction() as conn:
            # Before anything is read: what is committed after that is found by the next look.
            moment: datetime = await PullSql.moment.value(conn)
            said = {"brand_id": brand_id, "since": since}
            candidates = set(await Sql.said_no.column(conn, **said))
            candidates.update(await Sql.erased.column(conn, **said))
            candidates.update(await Sql.merged.column(conn, **said))
            candidates.update(await Sql.reported.column(conn, **said))
            for number in await Sql.channels.column(conn, brand_id=brand_id):
                if has_lists(channel := ChannelKind(number)):
                    candidates |= await self._entered(conn, brand_id, channel, since)
            # After it was read: of a run that is not among these, the freeze itself saw all that was.
            runs = await revoking_store.runs_of(conn, brand_id)
            failpoint("looked.before_commit")
        failpoint("looked.after_commit")
        revoked = 0
        asked = sorted(candidates)
        for start in range(0, len(asked), CANDIDATES_AT_ONCE):
            revoked += await self._ask_all(brand_id, runs, asked[start : start + CANDIDATES_AT_ONCE])
        async with self._db.transaction() as conn:
            await Sql.advance.run(conn, brand_id=brand_id, watched_to=moment)
            failpoint("watched.before_commit")
        failpoint("watched.after_commit")
        return revoked

    async def _entered(self, conn: Connection, brand_id: UUID, channel: ChannelKind, since: datetime) -> set[UUID]:
        """Who has the addresses that were entered into lists since then. Where lists changed otherwise all are asked anew."""
        stores = await self._look_up.stores(conn, brand_id, channel=channel)
        by_id = {each.store_id: each for each in stores}
        entries = await Sql.entered.tuples(
            conn,
            list_ids=list(by_id),
            brand_ids=[each.store_brand_id for each in by_id.values()],
            since=since,
        )
        people, is_untold = await _owners(conn, brand_id, channel, by_id, entries)
        await Sql.begin_sweep.run(
            conn, brand_id=brand_id, channel=int(channel), lists=mark_of(stores), is_untold=is_untold
        )
        return people

    async def _ask_all(self, brand_id: UUID, runs: Sequence[Watched], customers: Sequence[UUID]) -> int:
        """Asks the runs that have some of these people about them."""
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            held = await revoking_store.held_in(conn, brand_id, runs, customers)
        revoked = 0
        for one, people in held.items():
            if run := await self._runs.of_execution(brand_id, one.execution_id, one.channel_number):
                revoked += await self._ask_again(run, people)
        return revoked

    async def sweep(self) -> bool:
        """Asks the next people of the first run whose lists changed; False when there is none."""
        async with self._db.read() as conn:
            found = await Sql.to_sweep.tuples(conn)
        if not found:
            return False
        brand_id, execution_id, number, first = found[0]
        run = await self._runs.of_execution(brand_id, execution_id, number)
        last = PARTS - 1
        if run is not None:
            async with self._db.read() as conn:
                size = await Sql.size.value(conn, brand_id=brand_id, execution_id=execution_id, sender_id=run.sender_id)
                last = min(first + max(1, PARTS * SWEPT_AT_ONCE // max(size, 1)), PARTS) - 1
                people = await Sql.everybody_in.column(
                    conn,
                    brand_id=brand_id,
                    execution_id=execution_id,
                    channel_number=number,
                    channel=int(run.channel),
                    variants=run.variants,
                    part_from=first,
                    part_to=last,
                )
            for start in range(0, len(people), CANDIDATES_AT_ONCE):
                await self._ask_again(run, people[start : start + CANDIDATES_AT_ONCE])
        async with self._db.transaction() as conn:
            await Sql.note_swept.run(
                conn,
                brand_id=brand_id,
                execution_id=execution_id,
                channel_number=number,
                swept_to=last + 1,
                is_done=last == PARTS - 1,
            )
            failpoint("swept.before_commit")
        failpoint("swept.after_commit")
        return True

    async def _ask_again(self, run: PulledRun, customers: Sequence[UUID]) -> int:
        """Revokes those of these people who may not be written to any more."""
        revoked = await self._look_up.surely(lambda: self._revoke(run, customers))
        if revoked:
            log.info("pull.revoked", execution_id=str(run.execution_id), people=revoked)
            await self._hand_over.finish(run)
        return revoked

    async def _revoke(self, run: PulledRun, customers: Sequence[UUID]) -> int:
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            people = [(send.customer_id, person) for send, _, person in await people_store.named(conn, run, customers)]
            objections = await objections_to(conn, run, people, self._look_up)
            if not objections:
                return 0
            # Alone: a page that is handed over at this moment locks the same people in another order.
            held = await store.hold_pulled(conn, run)
            found = [Revoked(customer, reason) for customer, reason in objections.items()]
            revoked = await revoke(conn, run, found, held=held)
            failpoint("revoke.before_commit")
        failpoint("revoke.after_commit")
        return revoked


async def _owners(
    conn: Connection,
    brand_id: UUID,
    channel: ChannelKind,
    stores: dict[UUID, AskedStore],
    entries: Sequence[tuple[UUID, bytes, str | None]],
) -> tuple[set[UUID], bool]:
    """Who has the addresses of these entries, and whether some of them may be of people whom their digest does not lead to.

    That is so for whole domains, for digests of unknown addresses that nobody has by md5, and for lists by other hashes.
    """
    by_digest: dict[bytes, bytes] = {}
    is_untold = False
    for store_id, digest, address in entries:
        if (address is not None and address.startswith("@")) or stores[store_id].hash != "md5":
            is_untold = True
        else:
            by_digest[digest] = digest
            if address is not None:
                # A person may have spelled the address in the other way.
                by_digest.update((form, digest) for _, form in digests_of(address, digest, channel, "md5"))
    if not by_digest:
        return set(), is_untold
    found = await revoking_store.owners(conn, brand_id, channel, list(by_digest))
    told = {by_digest[digest] for digest in found}
    if channel is ChannelKind.EMAIL:
        # It may be the digest of a domain.
        is_untold |= any(digest not in told for store_id, digest, address in entries if address is None)
    return {customer for customers in found.values() for customer in customers}, is_untold
