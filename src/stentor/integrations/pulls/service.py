"""What doors do with pulls: freeze a list, read pages of it, lease rows, hear of revocations, ask who fetched somebody.

A page of the classic API is handed over when its last byte was written, one that is read by cursors when the next is asked for,
and leased rows when they are acknowledged. Until then their people wait as before: a service that dies may ask again.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.db.pool import Database
from stentor.errors import Conflict, Invalid, NotFound
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, revoking_store, store
from stentor.integrations.pulls.asking_again import AskAgain
from stentor.integrations.pulls.freezing import Freezer
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.model import (
    LEASE_S_MAX,
    LEASE_S_MIN,
    NO_PULL,
    PAGE_ROWS_MAX,
    Pull,
    PulledRun,
    Puller,
    PullPage,
    PullRow,
    PullTrace,
    Revocation,
)
from stentor.integrations.pulls.paging import Asked, Page, Paging
from stentor.integrations.pulls.runs import Runs
from stentor.integrations.pulls.standing import checked
from stentor.integrations.pulls.store import Sql
from stentor.integrations.pulls.tracing import trace


class RowsPage(msgspec.Struct, frozen=True):
    """Rows of a list, and where the next page begins; None when this one is empty, because all before it were handed over."""

    rows: list[PullRow]
    next_position: int | None


class Lease(msgspec.Struct, frozen=True):
    """Rows that nobody else gets until `page.lease_until`, to be acknowledged or released."""

    page: PullPage
    rows: list[PullRow]


class PullService:
    """Pulls, for the doors."""

    def __init__(self, db: Database, runs: Runs, freezer: Freezer, hand_over: HandOver, ask_again: AskAgain) -> None:
        self._db = db
        self._runs = runs
        self._freezer = freezer
        self._hand_over = hand_over
        self._ask_again = ask_again
        self._paging = Paging(db, runs, freezer, hand_over, ask_again)

    async def page(self, brand_id: UUID, puller: Puller, asked: Asked) -> Page:
        """A page as the classic API has it: empty for what is unknown, cancelled, past its deadline, or past the end.

        Who asks for what comes after a page that was being sent has that one, whether this installation lived to note it or not.
        From `skip` 0 on, and where the client has no list yet, each list is frozen anew. Raises Unavailable for what is paused.
        """
        return await self._paging.page(brand_id, puller, asked)

    async def freeze(
        self, brand_id: UUID, puller: Puller, *, campaign: int | None, execution_id: UUID | None, channel_number: int
    ) -> Pull:
        """A new list, of a campaign by its number or an execution by its id. Raises NotFound, Conflict and Unavailable."""
        if campaign is not None and execution_id is None:
            run = await self._runs.of_number(brand_id, campaign, channel_number)
        elif execution_id is not None and campaign is None:
            run = await self._runs.of_execution(brand_id, execution_id, channel_number)
        else:
            raise Invalid.field(
                "/execution_id", "either", "Name the run by its `campaign` or by its `execution_id`, and not by both."
            )
        if run is None:
            raise NotFound("There is no such execution, or it does not go out by that partner channel.")
        asked_at = await checked(self._db, run)
        pull = await self._freezer.freeze(run, puller, asked_at=asked_at)
        # A long list takes its time, in which it may have been cancelled.
        await checked(self._db, run)
        return pull

    async def pulls(self, brand_id: UUID, *, execution_id: UUID | None, before: UUID | None, limit: int) -> list[Pull]:
        """The brand's pulls whose rows are there, newest first."""
        async with self._db.read() as conn:
            return await store.pulls(conn, brand_id, execution_id=execution_id, before=before, limit=limit)

    async def pull(self, brand_id: UUID, pull_id: UUID) -> Pull:
        """With the rows that were handed over. Raises NotFound."""
        found = await self._find(brand_id, pull_id)
        async with self._db.read() as conn:
            return await store.with_pages(conn, found)

    async def _find(self, brand_id: UUID, pull_id: UUID, *, with_dropped: bool = False) -> Pull:
        async with self._db.read() as conn:
            found = await store.find(conn, brand_id, pull_id, with_dropped=with_dropped)
        if found is None:
            raise NotFound(NO_PULL)
        return found

    async def pages(self, brand_id: UUID, pull_id: UUID, *, before: UUID | None, limit: int) -> list[PullPage]:
        """Who fetched what of it, newest first. Raises NotFound."""
        await self._find(brand_id, pull_id)
        async with self._db.read() as conn:
            return await store.pages(conn, brand_id, pull_id, before=before, limit=limit)

    async def rows(
        self,
        brand_id: UUID,
        pull_id: UUID,
        *,
        after: tuple[int, int] | None,
        limit: int,
        attributes: Sequence[str],
        asked_by: str,
    ) -> RowsPage:
        """The next rows. `after`: from where to where the page before it went, which is handed over by this being asked.

        Raises NotFound, Conflict for what is over, and Unavailable for what is paused.
        """
        pull = await self._find(brand_id, pull_id)
        run = await self._run_of(pull)
        if after is not None and after[0] < after[1]:
            await self._hand_over_once(run, pull, after, asked_by=asked_by)
        start = 0 if after is None else after[1]
        end = min(start + limit, pull.rows)
        if start >= end:
            return RowsPage([], None)
        async with self._db.transaction() as conn:
            found, changed = await people_store.rows(conn, pull, run, (start, end), attributes)
        await self._ask_again.about_page(run, pull, (start, end), changed)
        await checked(self._db, run)
        return RowsPage(found, end)

    async def lease(
        self, brand_id: UUID, pull_id: UUID, *, rows: int, lease_s: int, attributes: Sequence[str], asked_by: str
    ) -> Lease | None:
        """The next rows that nobody has, for `lease_s` seconds; None when all are leased or handed over.

        What was let go, or ran out, comes first. Raises NotFound, Invalid, Conflict and Unavailable.
        """
        if not 1 <= rows <= PAGE_ROWS_MAX:
            raise Invalid.field("/rows", "range", f"A lease has from 1 to {PAGE_ROWS_MAX} rows.")
        if not LEASE_S_MIN <= lease_s <= LEASE_S_MAX:
            raise Invalid.field("/lease_s", "range", f"A lease lasts from {LEASE_S_MIN} to {LEASE_S_MAX} seconds.")
        pull = await self._find(brand_id, pull_id)
        run = await self._run_of(pull)
        async with self._db.transaction() as conn:
            page = await store.lease_next(conn, pull, rows=rows, lease_s=lease_s, asked_by=asked_by)
            failpoint("lease.before_commit")
        failpoint("lease.after_commit")
        if page is None:
            return None
        place = page.position_from, page.position_to
        async with self._db.transaction() as conn:
            found, changed = await people_store.rows(conn, pull, run, place, attributes)
        await self._ask_again.about_page(run, pull, place, changed)
        await checked(self._db, run)
        return Lease(page, found)

    async def acknowledge(self, brand_id: UUID, pull_id: UUID, lease_id: UUID) -> PullPage:
        """The rows of a lease are handed over; a second time changes nothing. Also one that ran out, while nobody else has its rows.

        Raises NotFound where somebody has, and Conflict for one that was released.
        """
        pull = await self._find(brand_id, pull_id)
        run = await self._runs.of_execution(brand_id, pull.execution_id, pull.channel_number)
        if run is None:
            raise NotFound(NO_PULL)
        async with self._db.transaction() as conn:
            page = await self._lease(await store.lock_lease(conn, pull, lease_id))
            if page.handed_over_at is None:
                bounds = page.position_from, page.position_to
                (moved,) = await self._hand_over.within(conn, run, pull.id, bounds)
                await store.acknowledge(conn, brand_id, pull.id, {lease_id: moved})
            failpoint("acknowledge.before_commit")
        failpoint("acknowledge.after_commit")
        await self._hand_over.finish(run)
        async with self._db.read() as conn:
            return await self._lease(await store.lock_lease(conn, pull, lease_id))

    async def hand_over(
        self, brand_id: UUID, pull_id: UUID, places: Sequence[tuple[int, int]], *, asked_by: str
    ) -> None:
        """The rows from one position to before another, of each place, were told of otherwise than by a page. Raises NotFound."""
        pull = await self._find(brand_id, pull_id)
        run = await self._runs.of_execution(brand_id, pull.execution_id, pull.channel_number)
        if run is None:
            raise NotFound(NO_PULL)
        for place in places:
            await self._hand_over_once(run, pull, place, asked_by=asked_by)

    async def release(self, brand_id: UUID, pull_id: UUID, lease_id: UUID) -> None:
        """The rows of a lease may be leased by anybody again. Raises NotFound, and Conflict for one that was acknowledged."""
        pull = await self._find(brand_id, pull_id)
        async with self._db.transaction() as conn:
            page = await store.lock_lease(conn, pull, lease_id)
            if page is None:
                raise NotFound(_NO_LEASE)
            if page.handed_over_at is not None:
                raise Conflict("The lease was acknowledged: its rows were handed over, and cannot be given back.")
            await Sql.release.run(conn, id=lease_id, pull_id=pull.id, brand_id=brand_id)
            failpoint("release_lease.before_commit")
        failpoint("release_lease.after_commit")

    async def revocations(self, brand_id: UUID, pull_id: UUID, *, after: int, limit: int) -> list[Revocation]:
        """Who of the pull's run has been revoked, after that number, also where its rows are gone. Raises NotFound."""
        pull = await self._find(brand_id, pull_id, with_dropped=True)
        async with self._db.read() as conn:
            return await revoking_store.page(conn, pull, after=after, limit=limit)

    async def revocations_of_run(
        self, brand_id: UUID, campaign: int, channel_number: int, *, after: int, limit: int
    ) -> list[Revocation]:
        """The same of a run by its number and its channel's; nobody where there is no such run."""
        run = await self._runs.of_number(brand_id, campaign, channel_number)
        if run is None:
            return []
        async with self._db.read() as conn:
            return await revoking_store.page(conn, run, after=after, limit=limit)

    async def trace(self, brand_id: UUID, execution_id: UUID, customer: UUID) -> list[PullTrace]:
        """By which pages of the execution's latest pulls that person was fetched, and when."""
        return await trace(self._db, brand_id, execution_id, customer)

    async def revoked(self, brand_id: UUID, execution_id: UUID, customer: UUID) -> dict[int, Revocation]:
        """That somebody was revoked in an execution, by the numbers of its partner channels."""
        async with self._db.read() as conn:
            return await revoking_store.of_person(conn, brand_id, execution_id, customer)

    async def drained(self) -> None:
        """Returns when nothing is being handed over by this process."""
        await self._hand_over.drained()

    async def _run_of(self, pull: Pull) -> PulledRun:
        run = await self._runs.of_execution(pull.brand_id, pull.execution_id, pull.channel_number)
        if run is None:
            raise NotFound(NO_PULL)
        await checked(self._db, run)
        return run

    async def _hand_over_once(self, run: PulledRun, pull: Pull, place: tuple[int, int], *, asked_by: str) -> None:
        """A page that is read twice by one cursor is noted once."""
        async with self._db.transaction() as conn:
            # Of two who say so at once, the later one finds it noted.
            await Sql.lock_pull.tuples(conn, id=pull.id, brand_id=pull.brand_id)
            is_noted = await Sql.is_noted.value(
                conn, brand_id=pull.brand_id, pull_id=pull.id, position_from=place[0], position_to=place[1]
            )
            pages = None if is_noted else await store.note_pages(conn, pull, place, asked_by=asked_by)
            failpoint("page_read.before_commit")
        failpoint("page_read.after_commit")
        # Whoever noted it may not have lived to hand it over.
        await (self._hand_over.catch_up(run) if pages is None else self._hand_over.pages(run, pages))

    async def _lease(self, page: PullPage | None) -> PullPage:
        if page is None:
            raise NotFound(_NO_LEASE)
        if page.released_at is not None:
            raise Conflict("The lease was released: its rows may be somebody else's. Lease the next ones.")
        return page


_NO_LEASE = "There is no such lease: it ran out or was let go, and its rows were leased anew."
