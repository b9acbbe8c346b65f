"""Watching for those who say no after they were pulled: looked for every second, and told of within five.

Nothing on the way of an opt-out knows of pulls. The watcher asks, once a second and for each brand of which something is being
watched, what was said no to since it last looked: five reads by indexes of time (the ledger's noes, single entries of opt-out lists,
bounces and complaints, erasures, merges), which cost what was said no to and not what was pulled. `since` is a time before which
nothing can be committed any more (`queries.sql: moment`), so that no opt-out is lost that was long in coming. Files of opt-out lists
hold no single people; when these change, everybody who is watched is asked about them anew, some thousand at a time, beside the looks.

Brands come in turn, each for a bounded time: what one has much of waits, and so does one whose lists cannot be read.
"""

from collections import deque
from datetime import datetime
from uuid import UUID

import structlog

from stentor.audience.reach import has_digests
from stentor.clock import boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import PARTS
from stentor.domain.vocabulary import ChannelKind
from stentor.failpoints import failpoint
from stentor.integrations.pulls import noes, revoking_store
from stentor.integrations.pulls.asking_again import ASKED_AT_ONCE, AskAgain
from stentor.integrations.pulls.noes import Dealt, No
from stentor.integrations.pulls.revoking_store import Sql, Watched
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.store import Sql as PullSql
from stentor.integrations.pulls.watched_lists import mark_of
from stentor.optouts.look_up import LookUp

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the watcher looks for what was said no to."""

TURN_S = 0.5
"""How long one brand may keep the others waiting; what it has begun with is done."""

FAILED_REST_S = 2.0
"""For how long a brand or a run that could not be asked about is passed over."""

SWEPT_AT_ONCE = 5_000
"""People of a run who are asked about changed lists in one transaction."""

_FIRST = Watched(UUID(int=0), 0)


class _Brand:
    """What this process knows of a brand that it watches: what it has dealt with, and what it has read and not dealt with yet."""

    def __init__(self) -> None:
        self.dealt = Dealt()
        self.waiting: deque[tuple[UUID, list[No]]] = deque()
        self.moment: datetime | None = None
        self.marks: dict[ChannelKind, str] = {}
        self.rests_until_s = 0.0


class Watcher:
    """Finds revocations. One process at a time does; two for a moment harm nothing."""

    def __init__(
        self,
        db: Database,
        runs: Runs,
        look_up: LookUp,
        ask_again: AskAgain,
        *,
        turn_s: float = TURN_S,
        asked_at_once: int = ASKED_AT_ONCE,
    ) -> None:
        self._turn_s = turn_s
        self._asked_at_once = asked_at_once
        self._db = db
        self._runs = runs
        self._look_up = look_up
        self._ask_again = ask_again
        self._look_due_s = 0.0
        self._brands: dict[UUID, _Brand] = {}
        self._swept = _FIRST
        self._resting: dict[Watched, float] = {}

    async def step(self) -> bool:
        """Looks, if it is time, and asks some people about changed lists; False when there is nothing more to do now."""
        if boottime_s() >= self._look_due_s or self._is_behind():
            self._look_due_s = boottime_s() + LOOK_EVERY_S
            await self.look()
        return await self.sweep() or self._is_behind()

    async def look(self) -> int:
        """Revokes whoever said no since the last look, for each brand for about `TURN_S`; returns how many."""
        async with self._db.read() as conn:
            watched = await revoking_store.watched(conn)
        self._brands = {brand_id: self._brands.get(brand_id) or _Brand() for brand_id in watched}
        revoked = 0
        for brand_id, since in watched.items():
            brand = self._brands[brand_id]
            if brand.rests_until_s > boottime_s():
                continue
            try:
                revoked += await self._turn(brand_id, brand, since)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other brands' people are told of
                self._passed_over(brand_id, brand, error)
        return revoked

    def _passed_over(self, brand_id: UUID, brand: _Brand, error: Exception) -> None:
        brand.rests_until_s = boottime_s() + FAILED_REST_S
        log.warning("pull.not_watched", brand_id=str(brand_id), why=repr(error))

    def _is_behind(self) -> bool:
        return any(brand.waiting and brand.rests_until_s <= boottime_s() for brand in self._brands.values())

    async def _turn(self, brand_id: UUID, brand: _Brand, since: datetime) -> int:
        ends_s = boottime_s() + self._turn_s
        if not brand.waiting:
            await self._read(brand_id, brand, since)
        revoked = 0
        while brand.waiting:
            some = [brand.waiting.popleft() for _ in range(min(len(brand.waiting), self._asked_at_once))]
            try:
                revoked += await self._ask(brand_id, sorted({customer for customer, _ in some}))
                brand.dealt.add([no for _, said in some for no in said])
            except Exception as error:  # noqa: BLE001 - whatever it is, the brand's other people are told of
                # As they are not dealt with, they are read again; others are not because of them.
                brand.moment = None
                self._passed_over(brand_id, brand, error)
            if brand.waiting and boottime_s() >= ends_s:
                return revoked
        if brand.moment is not None:
            async with self._db.transaction() as conn:
                await Sql.advance.run(conn, brand_id=brand_id, watched_to=brand.moment)
                failpoint("watched.before_commit")
            failpoint("watched.after_commit")
            brand.dealt.forget_before(brand.moment)
        return revoked

    async def _read(self, brand_id: UUID, brand: _Brand, since: datetime) -> None:
        marks: dict[ChannelKind, str] = {}
        found: list[tuple[UUID, list[No]]] = []
        told: list[No] = []
        async with self._db.transaction() as conn:
            # Before anything is read: what is committed after that is found by the next look.
            moment: datetime = await PullSql.moment.value(conn)
            found += [(no.of, [no]) for no in brand.dealt.fresh(await noes.of_people(conn, brand_id, since))]
            listed = [int(channel) for channel in ChannelKind if has_digests(channel)]
            for number in await Sql.channels.column(conn, brand_id=brand_id, channels=listed):
                channel = ChannelKind(number)
                people, said, marks[channel] = await self._entered(conn, brand_id, brand, channel, since)
                found += ((customer, []) for customer in people)
                told += said
            failpoint("looked.before_commit")
        failpoint("looked.after_commit")
        brand.moment = moment
        brand.marks = marks
        # The last one carries what entries said, of which one may lead to several people, and many to nobody.
        if found:
            found.append((found[-1][0], told))
        else:
            brand.dealt.add(told)
        brand.waiting.extend(found)

    async def _entered(
        self, conn: Connection, brand_id: UUID, brand: _Brand, channel: ChannelKind, since: datetime
    ) -> tuple[set[UUID], list[No], str]:
        """Who has the addresses that were entered into lists since then. Where lists changed otherwise all are asked anew."""
        stores = await self._look_up.stores(conn, brand_id, channel=channel)
        entries = {entry.no: entry for entry in await noes.entered(conn, stores, since)}
        fresh = brand.dealt.fresh([no._replace(channel=channel) for no in entries])
        people, is_untold = await noes.owners(
            conn, brand_id, channel, stores, [entries[no._replace(channel=None)] for no in fresh]
        )
        mark = mark_of(stores)
        if is_untold or brand.marks.get(channel) != mark:
            await Sql.begin_sweep.run(conn, brand_id=brand_id, channel=int(channel), lists=mark, is_untold=is_untold)
        return people, fresh, mark

    async def _ask(self, brand_id: UUID, customers: list[UUID]) -> int:
        """Asks the runs that have some of these people about them."""
        # After the noes were read: what is pulled since then has asked its people itself.
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            held = await revoking_store.held_in(conn, brand_id, customers)
        revoked = 0
        failed: Exception | None = None
        for one, people in held.items():
            try:
                if run := await self._runs.of_execution(brand_id, one.execution_id, one.channel_number):
                    revoked += await self._ask_again.about(run, people)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are asked before it is told
                failed = error
        if failed is not None:
            raise failed
        return revoked

    async def sweep(self) -> bool:
        """Asks the next people of the next run whose lists changed; False when there is none."""
        found = await self._to_sweep()
        if found is None:
            return False
        brand_id, one, first = found
        try:
            await self._sweep(brand_id, one, first)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs' people are asked
            self._resting[one] = boottime_s() + FAILED_REST_S
            log.warning("pull.not_swept", execution_id=str(one.execution_id), why=repr(error))
        return True

    async def _to_sweep(self) -> tuple[UUID, Watched, int] | None:
        """The run after the one that came last, of all that are not resting."""
        now_s = boottime_s()
        self._resting = {one: until_s for one, until_s in self._resting.items() if until_s > now_s}
        async with self._db.read() as conn:
            for _ in ("to the end", "and from the beginning"):
                while found := await Sql.to_sweep.tuples(
                    conn, after_execution=self._swept.execution_id, after_number=self._swept.channel_number
                ):
                    brand_id, execution_id, number, first = found[0]
                    self._swept = Watched(execution_id, number)
                    if self._swept not in self._resting:
                        return brand_id, self._swept, first
                self._swept = _FIRST
        return None

    async def _sweep(self, brand_id: UUID, one: Watched, first: int) -> None:
        run = await self._runs.of_execution(brand_id, one.execution_id, one.channel_number)
        last = PARTS - 1
        key = {"brand_id": brand_id, "execution_id": one.execution_id}
        if run is not None:
            async with self._db.read() as conn:
                size = await Sql.size.value(conn, **key, sender_id=run.sender_id)
                last = min(first + max(1, PARTS * SWEPT_AT_ONCE // max(size, 1)), PARTS) - 1
                people = await Sql.everybody_in.column(
                    conn,
                    **key,
                    channel_number=one.channel_number,
                    channel=int(run.channel),
                    variants=run.variants,
                    part_from=first,
                    part_to=last,
                )
            await self._ask_again.about(run, people)
        async with self._db.transaction() as conn:
            await Sql.note_swept.run(
                conn, **key, channel_number=one.channel_number, swept_to=last + 1, is_done=last == PARTS - 1
            )
            failpoint("swept.before_commit")
        failpoint("swept.after_commit")
