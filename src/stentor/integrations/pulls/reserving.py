"""What people of lists hold reserved under caps: given back once the execution is over, to whoever was never handed over.

It goes by the sends of the run and not by its lists. A freeze that was killed has reserved and left no list; the rows of a list go
when the next one was frozen; and two clients' lists reserve the same people.
"""

from uuid import UUID

import structlog

from stentor.clock import boottime_s
from stentor.db.by_keys import go_by_keys
from stentor.db.pool import Database
from stentor.domain.ids import PARTS
from stentor.domain.vocabulary import ChannelKind
from stentor.errors import Unavailable
from stentor.failpoints import failpoint
from stentor.guard import contacts
from stentor.integrations.pulls import people_store
from stentor.integrations.pulls.store import Sql

log = structlog.get_logger(__name__)

PEOPLE_AT_ONCE = 10_000
"""About as many people one transaction goes through."""
RUNS_MAX = 100
"""Runs of one turn."""
_TURN_S = 2.0


async def give_back_reservations(db: Database) -> int:
    """Takes a turn at what is over; the keeper's chore. Returns how many people it went through who were not handed over.

    A step at a time: who dies in between goes on from there, and what began to send again waits until that is over, too.
    """
    ends_s, given = boottime_s() + _TURN_S, 0
    async with db.read() as conn:
        found: list[tuple[UUID, int, UUID]] = await Sql.to_settle.tuples(conn, limit=RUNS_MAX)
    for execution_id, number, brand_id in found:
        try:
            while (step := await _step(db, brand_id, execution_id, number)) is not None:
                given += step
                if boottime_s() > ends_s:
                    return given
        except Unavailable:
            raise
        except Exception:
            # One run that cannot be settled keeps none of the others waiting.
            log.exception("pull.not_settled", execution_id=str(execution_id), channel=number)
    return given


async def _step(db: Database, brand_id: UUID, execution_id: UUID, number: int) -> int | None:
    """The next parts of a run; None where nothing is left of it, or it is not over any more."""
    key = {"brand_id": brand_id, "execution_id": execution_id}
    async with db.transaction() as conn:
        found = await Sql.settling.tuples(conn, **key, channel_number=number)
        if not found:
            return None
        start, channel, people = found[0]
        end = min(PARTS, start + max(1, PARTS * PEOPLE_AT_ONCE // max(1, people)))
        await go_by_keys(conn)
        customers = await people_store.Sql.not_handed_over.column(
            conn, **key, channel=channel, part_from=start, part_to=end
        )
        await contacts.settle(
            conn, brand_id, ChannelKind(channel), refused=[(execution_id, customer) for customer in customers]
        )
        await Sql.note_settled.run(conn, **key, channel_number=number, settled_to=end)
        failpoint("pull_given_back.before_commit")
    failpoint("pull_given_back.after_commit")
    return len(customers)
