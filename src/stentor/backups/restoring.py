"""Restoring a backup into an empty database, where it arrives paused."""

import os
from pathlib import Path

import msgspec

from stentor.accounts.installation import SECRET_FILE, InstallationSecret
from stentor.backups.fence import Copy, fence
from stentor.backups.files import sha256_of, shown, write_private
from stentor.backups.lists import LISTS_FOLDER, files_of_lists, give_back_lists
from stentor.backups.model import DUMP_FILE, BackupFailed, BackupRefused, Manifest, read_manifest
from stentor.backups.programs import Programs
from stentor.backups.store import Sql
from stentor.backups.taking import Progress
from stentor.db.connection import Connection
from stentor.db.home import make_directories
from stentor.db.migrate import check_history, history, migrate, take_turn
from stentor.db.pool import Database, outages_named
from stentor.optouts.storage import Storage

_JOBS = 8


class Source(msgspec.Struct, frozen=True):
    """A backup that was looked at and may be restored: where it lies, and what it is."""

    path: Path
    manifest: Manifest

    @property
    def dump(self) -> Path:
        """The database in it."""
        return self.path / DUMP_FILE


def look_at(path: Path) -> Source:
    """The backup at that path.

    Raises BackupRefused when it is none or is damaged, and MigrationRefused when this program cannot carry its schema on,
    because a newer one made it.
    """
    source = Source(path, read_manifest(path))
    check_history(source.manifest.migrations)
    try:
        whole = source.dump.stat().st_size == source.manifest.dump_bytes
        whole = whole and sha256_of(source.dump) == source.manifest.dump_sha256
    except OSError as error:
        raise BackupRefused(f"{source.dump} cannot be read: {error.strerror}.") from error
    if not whole:
        raise BackupRefused(f"{source.dump} is not what was backed up: it was cut short or changed. Take another copy.")
    return source


def secret_to_write(source: Source, given: InstallationSecret | None, file: Path) -> bytes | None:
    """What `file` has to hold of the backup's secret; None where the right one is set, or lies there already.

    `given` is the secret that the settings say. Raises BackupRefused when the secret is another one or is nowhere.
    """
    kept = source.path / SECRET_FILE
    found = given
    if found is None and file.exists():
        found = InstallationSecret.from_file(file)
    if found is None and source.manifest.has_secret:
        found = InstallationSecret.from_text(kept.read_text(encoding="ascii"))
    if found is None:
        raise BackupRefused(
            "The secret was kept apart from this backup. Set STENTOR_SECRET to it, or put it, readable by you alone, into "
            f"{file}."
        )
    if found.derive("fingerprint").hex() != source.manifest.secret_fingerprint:
        raise BackupRefused(
            "The secret that is set here is not the one of this backup: no key, link or stored credential would work. Use "
            f"that installation's, by STENTOR_SECRET or in {file}."
        )
    return None if given is not None or file.exists() else kept.read_bytes()


async def restore(
    programs: Programs,
    source: Source,
    *,
    secret: bytes | None,
    secret_file: Path,
    storage: Storage,
    progress: Progress,
) -> Copy:
    """Restores it with the files of its lists, brings its schema up to date and fences it.

    It is there as a whole, and paused, or not at all: until its one commit nothing of ours starts on the database. Raises
    BackupRefused when something lies in the database already, BackupFailed, MigrationFailed and Unavailable.
    """
    with outages_named():
        async with await Connection.connect(programs.dsn, autocommit=True, prepare_threshold=None) as conn:
            await programs.check_restores(conn)
            async with conn.transaction():
                await Sql.take_your_time.run(conn)
                # Held to the commit: who starts Stentor on this database meanwhile waits, and then finds it paused.
                await take_turn(conn)
                await _check_is_empty(conn)
                if secret is not None:
                    _keep_secret(secret_file, secret)
                await _fill(programs, source, progress)
                if source.manifest.has_lists:
                    progress("restoring the files of opt-out lists")
                    files = await files_of_lists(conn, source.manifest.migrations)
                    await give_back_lists(storage, source.path / LISTS_FOLDER, files)
                await _arrive(conn, source.manifest)
    progress("bringing the schema up to date")
    await migrate(programs.dsn)
    async with Database(programs.dsn, size=1, application_name="stentor restore") as db:
        fenced = await fence(db)
        progress("gathering statistics")
        async with db.autocommit() as conn:
            await conn.execute("ANALYZE")
    return fenced


async def _check_is_empty(conn: Connection) -> None:
    if await history(conn):
        raise BackupRefused(
            "There is an installation in this database, and nothing is restored over one. Name an empty database, or another "
            "data directory with --data."
        )
    if (table := await Sql.foreign_table.value(conn)) is not None:
        raise BackupRefused(
            f"The database is not empty: it has {table}. A restore that broke off leaves such a thing; when that is what it "
            "is, drop the database (or remove the data directory) and begin again."
        )


def _keep_secret(file: Path, secret: bytes) -> None:
    try:
        make_directories(file.parent)
        write_private(file, secret)
    except OSError as error:
        raise BackupRefused(
            f"The secret cannot be written to {file}: {error.strerror}. Name another data directory with --data."
        ) from error


async def _fill(programs: Programs, source: Source, progress: Progress) -> None:
    size = shown(source.manifest.dump_bytes)
    jobs = min(os.cpu_count() or 1, _JOBS)
    told = ["--exit-on-error", "--no-owner", "--no-privileges", f"--jobs={jobs}", str(source.dump)]
    try:
        await programs.restore(told, lambda elapsed_s: progress(f"restoring {size} for {elapsed_s:.0f} s"))
    except BackupFailed as failed:
        raise BackupFailed(
            f"{failed.detail}\nThe database is half filled, and nothing starts on it. Drop it (or remove the data directory), "
            "and restore again."
        ) from failed


async def _arrive(conn: Connection, manifest: Manifest) -> None:
    await Sql.adopt_history.run(
        conn,
        numbers=[one.number for one in manifest.migrations],
        names=[one.name for one in manifest.migrations],
        checksums=[one.checksum for one in manifest.migrations],
        applied_at=[one.applied_at for one in manifest.migrations],
    )
    await Sql.arrive_paused.run(
        conn,
        fingerprint=bytes.fromhex(manifest.secret_fingerprint),
        created_at=manifest.created_at,
        backup_at=manifest.taken_at,
    )
