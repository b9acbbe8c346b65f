"""Brings a database's schema up to date: numbered plain-SQL files, forward only, each in a transaction of its own."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from typing import LiteralString, cast

import msgspec
import psycopg

from stentor.db.connection import Connection
from stentor.db.pool import Database, is_outage, outages_named
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Problem

# A migration that cannot get its lock gives up before the queue of statements behind it hurts; it can be run again.
_LOCK_TIMEOUT = "5s"
# Long enough for an index on the largest table, short enough to end one day.
_STATEMENT_TIMEOUT = "1h"

_OLDEST_SERVER = 15
_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


class MigrationRefused(Problem):
    """The files and the database do not fit together; nothing was changed."""

    code = "migration-refused"
    title = "The schema cannot be brought up to date"


class MigrationFailed(Problem):
    """A file ended in an error and was rolled back; the files before it stay applied."""

    code = "migration-failed"
    title = "A migration failed"


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"{self.number:04}_{self.name}.sql"


class AppliedMigration(msgspec.Struct, frozen=True):
    """One row of the database's history."""

    number: int
    name: str
    checksum: str
    applied_at: datetime


class MigrationStatus(msgspec.Struct, frozen=True):
    """What ran and what `migrate` would run."""

    applied: list[AppliedMigration]
    pending: list[Migration]


class Sql(QuerySet, file="migrate.sql", package=__package__):
    limit_time: Statement
    take_turn: Statement
    has_history: Statement
    history: Statement
    record: Statement


async def migrate(database: Database | str, *, directory: Traversable | None = None) -> list[Migration]:
    """Applies what is missing and returns it, in order; an empty list when the schema is up to date.

    `database` is a DSN or a Database, whose DSN is taken. Several callers at once take turns, file by file. Raises
    MigrationRefused, MigrationFailed, and Unavailable when the database does not answer.
    """
    known = read_migrations(directory)
    done: list[Migration] = []
    with outages_named():
        async with await _connect(database) as conn:
            while migration := await _apply_next(conn, known):
                done.append(migration)
    return done


async def status(database: Database | str, *, directory: Traversable | None = None) -> MigrationStatus:
    """What ran and what is missing, without changing anything. Raises MigrationRefused and Unavailable."""
    known = read_migrations(directory)
    with outages_named():
        async with await _connect(database) as conn, conn.transaction():
            applied = await history(conn)
    return MigrationStatus(applied=applied, pending=_pending(known, applied))


def check_history(applied: Sequence[AppliedMigration]) -> None:
    """Raises MigrationRefused when a database with this history is not one that this program could bring up to date."""
    _pending(read_migrations(), applied)


async def take_turn(conn: Connection) -> None:
    """Until this transaction ends nobody brings the schema up to date; waits for whoever does so now."""
    await Sql.limit_time.run(conn, lock_timeout="0", statement_timeout="0")
    await Sql.take_turn.run(conn)


async def history(conn: Connection) -> list[AppliedMigration]:
    """What ran, in order; nothing where there is no schema of ours."""
    return await Sql.history.rows(conn, AppliedMigration) if await Sql.has_history.value(conn) else []


def read_migrations(directory: Traversable | None = None) -> list[Migration]:
    """The numbered files of `directory` (by default ours), in order. Raises MigrationRefused for a gap or a wrong name."""
    directory = directory or resources.files("stentor.db").joinpath("migrations")
    found: list[Migration] = []
    for file in directory.iterdir():
        if not file.name.endswith(".sql"):
            continue
        if not (name := _FILE_NAME.match(file.name)):
            raise MigrationRefused(f"{file.name} is no migration's name; call it NNNN_lower_case.sql.")
        found.append(Migration(int(name[1]), name[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationRefused(
                f"{migration.file} stands where number {expected:04} should; number files without gaps."
            )
    return found


async def _connect(database: Database | str) -> Connection:
    dsn = database.dsn if isinstance(database, Database) else database
    conn = await Connection.connect(dsn, autocommit=True, prepare_threshold=None)
    if conn.info.server_version < _OLDEST_SERVER * 10_000:
        version = conn.info.parameter_status("server_version")
        await conn.close()
        raise MigrationRefused(f"This is PostgreSQL {version}; Stentor needs {_OLDEST_SERVER} or newer.")
    return conn


async def _apply_next(conn: Connection, known: Sequence[Migration]) -> Migration | None:
    async with conn.transaction():
        # Waiting for another process that migrates has no limit: it has its own, and ends with its transaction.
        await take_turn(conn)
        await _send(conn, resources.files("stentor.db").joinpath("schema_migration.sql").read_text(encoding="utf-8"))
        pending = _pending(known, await Sql.history.rows(conn, AppliedMigration))
        if not pending:
            return None
        migration = pending[0]
        await Sql.limit_time.run(conn, lock_timeout=_LOCK_TIMEOUT, statement_timeout=_STATEMENT_TIMEOUT)
        await _apply(conn, migration)
        await Sql.record.run(conn, number=migration.number, name=migration.name, checksum=migration.checksum)
        return migration


async def _apply(conn: Connection, migration: Migration) -> None:
    try:
        await _send(conn, migration.text)
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationFailed(
            f"{migration.file} waited {_LOCK_TIMEOUT} for a lock that others hold, and was rolled back."
            " Run it again when the database is quieter."
        ) from error
    except psycopg.DatabaseError as error:
        if is_outage(error):
            raise
        raise MigrationFailed(f"{migration.file}{_line_of(error, migration.text)} was rolled back: {error}") from error


async def _send(conn: Connection, text: str) -> None:
    # Without parameters and without a prepared statement the text travels whole, as many statements as it holds.
    await conn.execute(cast("LiteralString", text), prepare=False)


def _line_of(error: psycopg.Error, text: str) -> str:
    position = error.diag.statement_position
    return f", line {text.count(chr(10), 0, int(position)) + 1}," if position else ""


def _pending(known: Sequence[Migration], applied: Sequence[AppliedMigration]) -> list[Migration]:
    for expected, ran in enumerate(applied, start=1):
        if ran.number != expected:
            raise MigrationRefused(f"The database's history lacks migration {expected:04}; restore schema_migration.")
    for ran in applied[len(known) :]:
        raise MigrationRefused(
            f"The database is at migration {applied[-1].number:04} and this program knows {len(known):04} at most"
            f" ({ran.name} is the first that it lacks). Start the newer Stentor that migrated it."
        )
    for migration, ran in zip(known, applied, strict=False):
        if migration.checksum != ran.checksum:
            raise MigrationRefused(
                f"{migration.file} is not what ran on {ran.applied_at:%Y-%m-%d} as {ran.name!r}."
                " Put the file back as it was and write a new migration for the change."
            )
    return list(known[len(applied) :])
