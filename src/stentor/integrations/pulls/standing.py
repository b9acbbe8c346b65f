"""Whether a run may be pulled at this moment."""

from datetime import datetime

from stentor.db.pool import Database
from stentor.errors import Conflict, Unavailable
from stentor.integrations.pulls import store
from stentor.integrations.pulls.model import PulledRun


async def may_be_pulled(db: Database, run: PulledRun) -> datetime | None:
    """Now, by the database's clock; None for what is over.

    Raises Unavailable for what is paused: an empty answer would say that there is nobody.
    """
    async with db.read() as conn:
        standing = await store.standing(conn, run)
    if standing is None or standing.is_over:
        return None
    if standing.is_paused:
        raise Unavailable(
            "The execution, its partner channel or this whole installation is paused. Ask again when it is resumed.",
            retry_after_s=60,
        )
    return standing.at


async def checked(db: Database, run: PulledRun) -> datetime:
    """Now, of what may be pulled. Raises Conflict for what is over, and Unavailable for what is paused."""
    if (at := await may_be_pulled(db, run)) is None:
        raise Conflict("It was cancelled, has failed, or is past its deadline: nobody of it is handed over any more.")
    return at
