"""Taking a backup of an installation while it runs."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from psycopg import IsolationLevel

from stentor import __version__
from stentor.accounts.installation import SECRET_FILE, InstallationSecret, SecretRefused
from stentor.backups.erasure_log import ERASURES_SINCE, log_in, take_log
from stentor.backups.files import check_room, sha256_of, shown, write_private
from stentor.backups.lists import LISTS_FOLDER, bytes_to_copy, files_of_lists, goes_along, take_lists
from stentor.backups.model import DUMP_FILE, FORMAT, MANIFEST_FILE, WITHOUT_DATA, BackupRefused, Manifest
from stentor.backups.programs import Programs
from stentor.backups.revocations import RevocationKeeper, RevocationLog, knows_revocations
from stentor.backups.store import Sql
from stentor.db.connection import Connection
from stentor.db.home import sync_directory
from stentor.db.migrate import AppliedMigration, check_history, history
from stentor.db.pool import Database, outages_named
from stentor.optouts.presence import NamedFile
from stentor.optouts.storage import Storage

Progress = Callable[[str], None]

_TABLES_PER_DUMP = 2
"""A dump is text, compressed, without indexes: a quarter of its tables. Half of them must be free."""


class _Snapshot(msgspec.Struct, frozen=True):
    """The moment that is backed up, and what is there."""

    name: str
    taken_at: datetime
    created_at: datetime
    server_version: str
    database_bytes: int
    table_bytes: int
    migrations: list[AppliedMigration]
    list_files: list[NamedFile]
    knows_all_erasures: bool


class Secret(msgspec.Struct, frozen=True):
    """The installation's secret, and as which text it goes into the backup; None where it is kept elsewhere."""

    secret: InstallationSecret
    text: bytes | None


async def take(programs: Programs, target: Path, secret: Secret, *, storage: Storage, progress: Progress) -> Manifest:
    """Writes the backup to `target`, a new directory, complete or not at all, and returns its manifest.

    The files of opt-out lists are in it, unless they lie in an object storage. Everything goes on meanwhile, and what is committed after the first second is not in it. Raises BackupRefused,
    SecretRefused, BackupFailed and Unavailable.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    _check_is_new(target)
    async with _snapshot(programs, secret.secret) as snapshot:
        along = snapshot.list_files if goes_along(storage) else []
        needed_bytes = snapshot.table_bytes // _TABLES_PER_DUMP + bytes_to_copy(storage, along, target)
        check_room(target, needed_bytes, "the backup")
        try:
            unfinished.mkdir(mode=0o700)
        except FileExistsError:
            raise BackupRefused(
                f"{unfinished} is there: another backup is being written, or one broke off. When none is, remove it."
            ) from None
        except OSError as error:
            raise BackupRefused(f"{unfinished} cannot be made: {error.strerror}.") from error
        try:
            # First: what compaction replaces from now on is there for another hour.
            await take_lists(storage, along, unfinished / LISTS_FOLDER)
            has_lists = goes_along(storage)
            # After the snapshot: whom the dump still has, and who is erased by now, is in it.
            log = log_in(storage, secret.secret)
            await take_log(log, unfinished, is_whole=snapshot.knows_all_erasures)
            await _keep_revocations(programs, snapshot, secret.secret, storage)
            manifest = await _write(programs, unfinished, snapshot, secret, progress, has_lists=has_lists)
            _check_is_new(target)
            unfinished.rename(target)
        except BaseException:
            shutil.rmtree(unfinished)
            raise
    sync_directory(target.parent)
    return manifest


def _check_is_new(target: Path) -> None:
    if target.exists():
        raise BackupRefused(f"{target} is there already, and no backup is written over. Name a new directory.")


@asynccontextmanager
async def _snapshot(programs: Programs, secret: InstallationSecret) -> AsyncIterator[_Snapshot]:
    with outages_named():
        async with await Connection.connect(programs.dsn, autocommit=True, prepare_threshold=None) as conn:
            await programs.check_dumps(conn)
            await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await conn.set_read_only(True)
            async with conn.transaction():
                await Sql.take_your_time.run(conn)
                yield await _looked_at(conn, secret)


async def _looked_at(conn: Connection, secret: InstallationSecret) -> _Snapshot:
    migrations = await history(conn)
    if not migrations:
        raise BackupRefused("There is no installation in this database, and nothing to back up.")
    check_history(migrations)
    ((fingerprint, created_at),) = await Sql.secret_fingerprint.tuples(conn)
    if fingerprint != secret.derive("fingerprint"):
        raise SecretRefused(
            "This database was made with another secret than the one that is set here: a backup with it would be worthless. "
            f"Set STENTOR_SECRET, or the {SECRET_FILE} in the data directory, to the one that the installation runs with."
        )
    ((taken_at, server_version, database_bytes, table_bytes),) = await Sql.sizes.tuples(conn)
    name = await Sql.export_snapshot.value(conn)
    files = await files_of_lists(conn, migrations)
    knows_all = migrations[-1].number < ERASURES_SINCE or await Sql.knows_all_erasures.value(conn)
    return _Snapshot(
        name, taken_at, created_at, server_version, database_bytes, table_bytes, migrations, files, knows_all
    )


async def _keep_revocations(
    programs: Programs, snapshot: _Snapshot, secret: InstallationSecret, storage: Storage
) -> None:
    """Sees to it that whatever copy is made of this backup finds a log of revocations."""
    if knows_revocations(snapshot.migrations):
        async with Database(programs.dsn, size=1, application_name="stentor backup") as db:
            await RevocationKeeper(db, RevocationLog(storage, secret)).keep()


async def _write(
    programs: Programs, folder: Path, snapshot: _Snapshot, secret: Secret, progress: Progress, *, has_lists: bool
) -> Manifest:
    dump = folder / DUMP_FILE

    def tell(elapsed_s: float) -> None:
        written = dump.stat().st_size if dump.exists() else 0
        progress(f"{shown(written)} written after {elapsed_s:.0f} s; the tables have {shown(snapshot.table_bytes)}")

    if secret.text is not None:
        write_private(folder / SECRET_FILE, secret.text)
    without = [f"--exclude-table-data=public.{table}" for table in WITHOUT_DATA]
    # Level 1 of gzip: every pg_restore reads it, and the processor belongs to deliveries.
    told = ["--format=custom", "--compress=1", "--no-owner", "--no-privileges", f"--snapshot={snapshot.name}"]
    await programs.dump([*told, *without, "--file", str(dump)], tell)
    dump.chmod(0o600)
    progress("working out the checksum")
    manifest = Manifest(
        format=FORMAT,
        stentor=__version__,
        taken_at=snapshot.taken_at,
        created_at=snapshot.created_at,
        server_version=snapshot.server_version,
        database_bytes=snapshot.database_bytes,
        dump_bytes=dump.stat().st_size,
        dump_sha256=sha256_of(dump),
        secret_fingerprint=secret.secret.derive("fingerprint").hex(),
        has_secret=secret.text is not None,
        migrations=snapshot.migrations,
        list_files=len(snapshot.list_files),
        list_bytes=sum(file.bytes for file in snapshot.list_files),
        has_lists=has_lists,
    )
    # Last: a directory without its manifest is no backup.
    write_private(folder / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest
