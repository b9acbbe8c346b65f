"""The steps of runs: pull, hear, start, push, one at a time, by whichever process has the run's lease."""

from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from stentor.db.pool import Database
from stentor.failpoints import failpoint
from stentor.guard.store import present
from stentor.integrations.connector import runs, store
from stentor.integrations.connector.hearing import Ear
from stentor.integrations.connector.hub import HubRefused
from stentor.integrations.connector.model import Connector, Sealed
from stentor.integrations.connector.opening import HubOpener
from stentor.integrations.connector.pulling import Puller, RunSpoiled
from stentor.integrations.connector.pushing import Pusher
from stentor.integrations.connector.runs import Claimed, Sql
from stentor.integrations.connector.starting import Starter

log = structlog.get_logger(__name__)

WAITS_S = (2, 10, 60, 300, 900, 1_800)
"""The waits after a hub's no; the last one goes on."""

PULL_WITHIN = timedelta(hours=24)
"""A campaign that was not started so long after its notice is let go: nobody wants its messages that late."""


class RunWorker:
    """Takes the next step of the run that has waited longest."""

    def __init__(
        self,
        db: Database,
        opener: HubOpener,
        *,
        puller: Puller,
        ear: Ear,
        starter: Starter,
        pusher: Pusher,
        lease: timedelta = runs.LEASE,
    ) -> None:
        self._db = db
        self._opener = opener
        self._puller = puller
        self._ear = ear
        self._starter = starter
        self._pusher = pusher
        self._lease = lease

    async def work_next(self) -> bool:
        """Takes one step; False where no run is due."""
        run = await runs.claim(self._db, self._lease)
        if run is None:
            return False
        failpoint("connector.claimed")
        try:
            async with runs.renewed(self._db, run, self._lease):
                await self._step(run)
        except HubRefused as trouble:
            await self._put_off(run, str(trouble))
        except RunSpoiled as trouble:
            await self._give_up(run, str(trouble))
        return True

    async def _step(self, run: Claimed) -> None:
        async with self._db.read() as conn:
            connector = await store.find(conn, run.brand_id, run.connector_id)
            sealed = await store.sealed(conn, run.brand_id, run.connector_id)
            now = await present(conn)
        if connector is None or sealed is None:
            return
        if run.state != "running" and now > run.noticed_at + PULL_WITHIN:
            text = "It could not be pulled within 24 hours of its notice. Run the campaign again at the hub."
            await self._give_up(run, text)
            return
        match run.state:
            case "noticed":
                await self._pull(connector, sealed, run)
            case "pulled":
                if run.cancelled_at is None and not run.is_deaf:
                    async with aclosing(await self._opener.open(sealed)) as hub:
                        await self._ear.hear_before_start(hub, run, now)
                await self._starter.start(connector, run)
            case _:
                await self._go_on(connector, sealed, run, now)

    async def _pull(self, connector: Connector, sealed: Sealed, run: Claimed) -> None:
        if run.cancelled_at is not None and run.rows_read == 0:
            await self._give_up(run, "The hub cancelled the campaign before it was pulled.")
            return
        async with aclosing(await self._opener.open(sealed)) as hub:
            await self._puller.pull(hub, connector, run)

    async def _go_on(self, connector: Connector, sealed: Sealed, run: Claimed, now: datetime) -> None:
        """Hears whom the hub revoked, and pushes figures when they are due."""
        if not run.is_settled:
            if run.cancelled_at is not None:
                await self._starter.cancel(run)
            elif not run.is_deaf:
                async with aclosing(await self._opener.open(sealed)) as hub:
                    await self._ear.hear(hub, run)
        due = await self._pusher.due(connector, run, now)
        if due is not None:
            async with aclosing(await self._opener.open(sealed)) as hub:
                await self._pusher.push(hub, run, due, now)

    async def _put_off(self, run: Claimed, error: str) -> None:
        wait = timedelta(seconds=WAITS_S[min(run.failures, len(WAITS_S) - 1)])
        log.warning("connector.refused", run=str(run.id), state=run.state, why=error)
        async with self._db.transaction() as conn:
            await Sql.put_off.run(conn, id=run.id, brand_id=run.brand_id, error=error, wait=wait)
            await store.note_failed(conn, run.brand_id, run.connector_id, error)
            failpoint("connector.before_put_off")
        failpoint("connector.after_put_off")

    async def _give_up(self, run: Claimed, error: str) -> None:
        log.warning("connector.run_failed", run=str(run.id), why=error)
        async with self._db.transaction() as conn:
            await Sql.give_up.run(conn, id=run.id, brand_id=run.brand_id, error=error)
            failpoint("connector.before_give_up")
        failpoint("connector.after_give_up")
