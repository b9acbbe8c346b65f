"""Who looks on while others watch: from when to when a process that lives has the watcher's role, as the chronicle has it.

The promise that a revocation comes within five seconds is that of a watcher. While none lives, none is there to keep it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import LiteralString

import psycopg

from stentor.testing.torture.cast import state_of
from stentor.testing.torture.chronicle import Chronicle

_LOOK_EVERY_S = 0.1


@asynccontextmanager
async def looking_on(dsn: str, chronicle: Chronicle) -> AsyncIterator[None]:
    """Notes it whenever it changes, for the length of the block. It has a connection of its own, past all proxies."""
    looking = asyncio.create_task(_look(dsn, chronicle))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look(dsn: str, chronicle: Chronicle) -> None:
    conn: psycopg.AsyncConnection[tuple[str]] | None = None
    was = False
    while True:
        is_watched = False
        try:
            if conn is None:
                conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True, application_name="watchman")
            row = await (await conn.execute(_WATCHER)).fetchone()
            is_watched = row is not None and state_of(int(row[0])) not in {"T", "Z", ""}
        except psycopg.OperationalError:
            conn = None
        if is_watched != was:
            chronicle.note("watched", is_watched=is_watched)
            was = is_watched
        await asyncio.sleep(_LOOK_EVERY_S)


_WATCHER: LiteralString = (
    "SELECT split_part(holder, ':', 2) FROM role_lease WHERE role = 'watcher' AND lease_until > statement_timestamp()"
)
