"""Asking again about people of a list who were guarded before: whoever must not be written to any more is revoked."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.errors import NotFound, Unavailable
from stentor.failpoints import failpoint
from stentor.integrations.pulls import people_store, store
from stentor.integrations.pulls.guarding import objections_to
from stentor.integrations.pulls.handing_over import HandOver
from stentor.integrations.pulls.model import NO_PULL, Pull, PulledRun
from stentor.integrations.pulls.revoking import Revoked, revoke
from stentor.optouts.look_up import LookUp

log = structlog.get_logger(__name__)

ASKED_AT_ONCE = 2_000
"""People whom one transaction asks about again."""


class AskAgain:
    """Asks the guard about people once more, as they and the opt-out lists are now."""

    def __init__(self, db: Database, look_up: LookUp, hand_over: HandOver) -> None:
        self._db = db
        self._look_up = look_up
        self._hand_over = hand_over

    async def about(self, run: PulledRun, customers: Sequence[UUID]) -> int:
        """Revokes those of these people who may not be written to any more; how many.

        Raises Unavailable as `LookUp.surely`; whom anything but that list objects to is revoked nevertheless.
        """
        revoked = 0
        for start in range(0, len(customers), ASKED_AT_ONCE):
            some = customers[start : start + ASKED_AT_ONCE]
            try:
                revoked += await self._look_up.surely(lambda some=some: self._revoke(run, some, self._look_up))
            except Unavailable:
                await self._revoke(run, some, None)
                raise
        if revoked:
            log.info("pull.revoked", execution_id=str(run.execution_id), people=revoked)
            await self._hand_over.finish(run)
        return revoked

    async def about_page(self, run: PulledRun, pull: Pull, place: tuple[int, int], changed: Sequence[UUID]) -> int:
        """The same of rows that were just read and have not been given to anybody yet.

        That is of those who were not as the list found them when they were read: with another address they were never asked
        about, and whoever is gone is nobody to hand over. Of everybody, where nobody watched for a while or lists are being
        asked anew.

        Raises NotFound where their list was dropped meanwhile, so that they are not all there.
        """
        async with self._db.transaction() as conn:
            if not await store.is_there(conn, pull):
                raise NotFound(NO_PULL)
            everybody = await store.is_all_asked_anew(conn, run)
            await store.watch_on(conn, run)
            customers = await people_store.everybody_on(conn, pull, place) if everybody else changed
            failpoint("page_asked.before_commit")
        failpoint("page_asked.after_commit")
        # In the order of their keys, as everybody asks about people.
        return await self.about(run, sorted(customers))

    async def _revoke(self, run: PulledRun, customers: Sequence[UUID], look_up: LookUp | None) -> int:
        async with self._db.transaction() as conn:
            await go_by_keys(conn)
            found = await people_store.named(conn, run, customers)
            people = [(send.customer_id, person) for send, _, person in found]
            objections = await objections_to(conn, run, people, look_up)
            if not objections:
                return 0
            # Alone: a page that is handed over at this moment locks the same people in another order.
            chunks = sorted({send.number for send, _, _ in found if send.customer_id in objections})
            held = await store.hold_pulled(conn, run, chunks)
            told = [Revoked(customer, reason) for customer, reason in objections.items()]
            revoked = await revoke(conn, run, told, held=held)
            failpoint("revoke.before_commit")
        failpoint("revoke.after_commit")
        return revoked
