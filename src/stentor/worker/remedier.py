"""The remedier's role: carries out what was ordered for sends that failed or are in doubt."""

import asyncio

from stentor.db.pool import Database
from stentor.executions.remedies import carry_out_next
from stentor.worker.loop import Bell, repeat

_REST_S = 0.25


class RemedierRole:
    """Takes step after step; rings `due` so that the deliverer of this process starts at once."""

    def __init__(self, db: Database, *, due: Bell) -> None:
        self._db = db
        self._due = due

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; the step at hand is finished first."""
        await repeat("remedier", self._step, stop=stop, bell=Bell(), rest_s=_REST_S)

    async def _step(self) -> bool:
        worked = await carry_out_next(self._db)
        if worked:
            self._due.ring()
        return worked
