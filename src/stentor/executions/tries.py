"""How often an execution is tried before it is given up: what one error says of it."""

from collections import Counter
from uuid import UUID

import structlog
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure

from stentor.db.pool import Database
from stentor.executions import store

log = structlog.get_logger(__name__)

TRIES_MAX = 5
"""How often a worker meets a deadlock or a time-out with one execution before it gives it up."""

_PASSING = (DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure)


class Tries:
    """What one worker tried in vain, by execution."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._missed: Counter[UUID] = Counter()

    def succeeded(self, execution_id: UUID) -> None:
        """Forgets what was missed before."""
        self._missed.pop(execution_id, None)

    async def missed(self, brand_id: UUID, execution_id: UUID, error: Exception) -> None:
        """Fails the execution as INTERNAL, so that it holds up nobody else.

        A deadlock or a time-out says nothing about the execution, unless it happens again and again.
        """
        self._missed[execution_id] += 1
        if isinstance(error, _PASSING) and self._missed[execution_id] < TRIES_MAX:
            log.warning("execution.planned_again", execution_id=str(execution_id), sqlstate=error.sqlstate)
            return
        del self._missed[execution_id]
        log.error("execution.not_planned", execution_id=str(execution_id), exc_info=error)
        async with self._db.transaction() as conn:
            text = "Stentor failed to plan this execution; its log names the execution with the cause."
            await store.fail(conn, brand_id, execution_id, "INTERNAL", text)
