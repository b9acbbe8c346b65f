"""Connections to the database, kept open and handed out for one transaction each.

Nothing here relies on the state of a session, so a PgBouncer in transaction mode may stand in between: no LISTEN, no
session-level advisory locks, no startup options; what a transaction needs is set by `SET LOCAL`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import NamedTuple, Self

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.array import ListBinaryDumper
from psycopg_pool import AsyncConnectionPool, PoolClosed

from stentor.db.connection import Connection
from stentor.errors import Unavailable

# A server that vanishes without a word is noticed after 20 s instead of the kernel's 15 minutes. What the DSN says wins.
_CONNECT_DEFAULTS = {
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

# The pool doubles its pause between attempts until this bound and then starts afresh with the next caller, so a server
# that comes back is found within about a second instead of after a minute's pause.
_RECONNECT_PATIENCE_S = 2.0

# Whoever waits while others work with connections gets one of theirs. When nobody has any, a server that is there is connected
# to in milliseconds, and of one that is not callers are to hear within a second.
_AWAY_S = 0.8

# All connections of a pool, on a machine that is busy with something else.
_OPENED_WITHIN_S = 10.0

# Prepared statements kept per connection: every statement of ours at once, so that none is thrown out and made again.
_PREPARED_MAX = 1000

# Classes of SQLSTATE that speak of the server and not of the statement: connection, resources, operator, system.
_OUTAGE_CLASSES = ("08", "53", "57", "58")
# A process that is frozen, or whose machine is gone, holds its locks no longer than this: other servers' default is for ever.
STANDS_STILL = timedelta(seconds=60)
# A transaction that nobody went on with was ended, and its connection with it: this process stood still for too long.
_LEFT_ALONE = {"25P03", "25P04"}


class _Joint(NamedTuple):
    """A transaction that takes in what its task does with its database."""

    database: "Database"
    task: asyncio.Task[object] | None
    conn: Connection


_joint: ContextVar[_Joint | None] = ContextVar("joint", default=None)


class Database:
    """A bounded pool of connections to one database.

    `size` is the most connections it holds. `shift` moves every "now" of its statements (tests and the demo only).
    `prepared=False` forgoes prepared statements; they are forgone too when a pooler is found in between at `open`.
    A caller waits at most `patience` for a free connection, and less than a second where nobody has one: then the server is
    away. The server ends a transaction with which nobody goes on for `stands_still`. `fingerprint_key`: see `Connection`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        size: int = 10,
        shift: timedelta = timedelta(),
        prepared: bool = True,
        application_name: str = "stentor",
        patience: timedelta = timedelta(seconds=5),
        stands_still: timedelta = STANDS_STILL,
        fingerprint_key: bytes = b"",
    ) -> None:
        given = {name: value for name, value in conninfo_to_dict(dsn).items() if value is not None}
        self.dsn = make_conninfo("", **{**_CONNECT_DEFAULTS, "application_name": application_name, **given})
        self.shift = shift
        self._fingerprint_key = fingerprint_key
        self.prepared = prepared
        self._size = size
        self._stands_still = stands_still
        self._patience_s = patience.total_seconds()
        self._lent = 0
        # Between its statements such a transaction may work for seconds; whoever has short ones finds a connection.
        self._joint_free = asyncio.Semaphore(max(1, size // 3))
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self.dsn,
            connection_class=Connection,
            kwargs={"autocommit": True},
            # min_size below max_size would close and open connections as the load breathes, at 5 ms of SCRAM each.
            min_size=size,
            max_size=size,
            open=False,
            configure=self._configure,
            timeout=self._patience_s,
            reconnect_timeout=_RECONNECT_PATIENCE_S,
            name=application_name,
        )

    async def open(self) -> None:
        """Connects. Raises Unavailable, the server's own words being its reason, when it cannot."""
        with outages_named():
            async with await Connection.connect(self.dsn, autocommit=True) as probe:
                self.prepared = self.prepared and not await behind_pooler(probe)
            # Before the first caller comes, who would not wait as long for a server that seems to be away.
            await self._pool.open(wait=True, timeout=_OPENED_WITHIN_S)

    async def aclose(self) -> None:
        """Gives all connections back to the server; whoever still waits for one gets Unavailable."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        """A connection in a READ COMMITTED transaction that commits at the end of the block and rolls back on an error.

        Raises Unavailable when no connection is to be had in time, when the server goes away, and when a statement runs
        into `statement_timeout`. If that happens at the very end, the commit may or may not have happened: a caller who
        repeats must do so under an idempotency key.
        """
        with outages_named():
            async with self._connection(joins=statement_timeout is None) as conn, conn.transaction():
                if statement_timeout is not None:
                    await _set(conn, "statement_timeout", statement_timeout, is_local=True)
                yield conn

    @asynccontextmanager
    async def as_one(self) -> AsyncIterator[Connection]:
        """One transaction for all that this task does with this database inside the block: all of it is stored, or nothing.

        What would be transactions of their own are savepoints of it, and see what it has not committed yet; those with a
        `statement_timeout`, and what other tasks do, also such as are started inside, stay their own. Raises as `transaction`.
        """
        async with self._joint_free, self.transaction() as conn:
            await _set(conn, "idle_in_transaction_session_timeout", STANDS_STILL, is_local=True)
            token = _joint.set(_Joint(self, asyncio.current_task(), conn))
            try:
                yield conn
            finally:
                _joint.reset(token)

    @asynccontextmanager
    async def read(self, *, statement_timeout: timedelta | None = None) -> AsyncIterator[Connection]:
        """A connection for reading, where each statement sees what is committed when it starts.

        It saves the round trips of BEGIN and COMMIT, which a `statement_timeout` needs again; only then does the server
        refuse writes, so without one it is the caller's word that none follow. Raises as `transaction`.
        """
        if statement_timeout is None:
            async with self.autocommit() as conn:
                yield conn
        else:
            async with self.transaction(statement_timeout=statement_timeout) as conn:
                await conn.execute("SET TRANSACTION READ ONLY")
                yield conn

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Connection]:
        """A connection on which each statement is a transaction of its own: for a write that is one statement.

        It saves the round trips of BEGIN and COMMIT, half the time of a small write. Raises as `transaction`.
        """
        with outages_named():
            async with self._connection() as conn:
                yield conn

    def _joined(self) -> Connection | None:
        joint = _joint.get()
        if joint is None or joint.database is not self or joint.task is not asyncio.current_task():
            return None
        return joint.conn

    @asynccontextmanager
    async def _connection(self, *, joins: bool = True) -> AsyncIterator[Connection]:
        if joins and (joined := self._joined()) is not None:
            yield joined
        else:
            async with self._borrowed() as conn:
                yield conn

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Connection]:
        conn = await self._waited_for()
        # After a restart of the server every idle connection is dead. Each is found out by a look at its socket, which
        # costs no round trip, and replaced by the pool.
        for _ in range(self._size):
            if _is_alive(conn):
                break
            await self._pool.putconn(conn)
            conn = await self._waited_for()
        self._lent += 1
        conn.shift = self.shift
        conn.fingerprint_key = self._fingerprint_key
        try:
            yield conn
        finally:
            self._lent -= 1
            await self._pool.putconn(conn)

    async def _waited_for(self) -> Connection:
        return await self._pool.getconn(self._patience_s if self._lent else min(self._patience_s, _AWAY_S))

    async def _configure(self, conn: Connection) -> None:
        conn.prepared_max = _PREPARED_MAX
        # Lists travel in binary: written as text, 500 UUIDs cost 0.7 ms instead of 0.1, and 500 digests 8 ms.
        conn.adapters.register_dumper(list, ListBinaryDumper)
        if not self.prepared:
            conn.prepare_threshold = None
        await conn.set_isolation_level(IsolationLevel.READ_COMMITTED)
        if self.prepared:
            # Through a pooler a session is nobody's: there it is the operator's to set.
            await _set(conn, "idle_in_transaction_session_timeout", self._stands_still, is_local=False)


def _is_alive(conn: Connection) -> bool:
    try:
        # Twice, because the server's last words ("terminating connection …") are read before the end of the stream is.
        conn.pgconn.consume_input()
        conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return not conn.closed


async def behind_pooler(conn: Connection) -> bool:
    """Whether a pooler stands between here and the server."""
    # A pooler invents the process id it tells its clients, because they share the server's processes.
    cursor = await conn.execute("SELECT pg_backend_pid()", prepare=False)
    return await cursor.fetchone() != (conn.pgconn.backend_pid,)


async def _set(conn: Connection, name: str, limit: timedelta, *, is_local: bool) -> None:
    milliseconds = max(1, round(limit.total_seconds() * 1000))
    await conn.execute("SELECT set_config(%s, %s, %s)", [name, str(milliseconds), is_local])


@contextmanager
def outages_named() -> Iterator[None]:
    """Turns errors that say that the database is gone, full or closing into Unavailable; others pass."""
    try:
        yield
    except PoolClosed as error:
        raise Unavailable("This process is closing its database connections. Try again.") from error
    except (psycopg.OperationalError, psycopg.InternalError) as error:
        if not is_outage(error):
            raise
        raise Unavailable(
            _NO_ROOM if isinstance(error, psycopg.errors.DiskFull) else _NO_ANSWER, reason=_reason(error)
        ) from error


_NO_ANSWER = "The database does not answer. Try again in a moment."
_NO_ROOM = "The database has no room on its disk. Try again when somebody has made some."


def is_outage(error: psycopg.Error) -> bool:
    """Whether the error speaks of the server and not of the statement; errors without a code are lost connections."""
    if error.sqlstate in _LEFT_ALONE:
        return True
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08").startswith(_OUTAGE_CLASSES)


def _reason(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
