"""The connector's role: keeps hubs up to date that this installation serves, and executes their campaigns."""

import asyncio

from stentor.integrations.connector.syncing import Syncer
from stentor.integrations.connector.working import RunWorker
from stentor.worker.loop import Bell, repeat

RUNS_AT_ONCE = 4
"""Runs that one worker process pulls, starts or pushes at once."""

_REST_S = 0.5
_SYNC_REST_S = 2.0


class ConnectorRole:
    """Syncs hubs and takes runs step by step; any number of processes may."""

    def __init__(self, syncer: Syncer, worker: RunWorker) -> None:
        self._syncer = syncer
        self._worker = worker

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; the steps at hand are finished first, or are taken again by whoever comes next."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(repeat("hub sync", self._syncer.sync_due, stop=stop, bell=Bell(), rest_s=_SYNC_REST_S))
            for _ in range(RUNS_AT_ONCE):
                loops.create_task(repeat("hub runs", self._worker.work_next, stop=stop, bell=Bell(), rest_s=_REST_S))
