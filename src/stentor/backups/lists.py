"""The files of opt-out lists in a backup: they never change, so one that lies on the same disk is linked, not copied."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from stentor.backups.model import BackupFailed, BackupRefused
from stentor.db.connection import Connection
from stentor.db.migrate import AppliedMigration
from stentor.optouts.presence import NamedFile, needed_files
from stentor.optouts.storage import DirectoryStorage, NotStored, Storage, make_private

LISTS_FOLDER = "lists"

_SINCE_MIGRATION = 12


def goes_along(storage: Storage) -> bool:
    """Whether a backup takes the files with it: those in a directory; an object storage has its own copies and versions."""
    return isinstance(storage, DirectoryStorage)


async def files_of_lists(conn: Connection, migrations: Sequence[AppliedMigration]) -> list[NamedFile]:
    """The files that the database names; none where its schema is of a time before there were any."""
    return await needed_files(conn) if migrations[-1].number >= _SINCE_MIGRATION else []


def bytes_to_copy(storage: Storage, files: Sequence[NamedFile], target: Path) -> int:
    """How much room a backup in `target` takes for them: none on the disk on which they lie."""
    places = [
        next(each for each in (path, *path.parents) if each.exists()) for path in (storage.work, target.absolute())
    ]
    same_disk = places[0].stat().st_dev == places[1].stat().st_dev
    return 0 if same_disk else sum(file.bytes for file in files)


async def take_lists(storage: Storage, files: Sequence[NamedFile], folder: Path) -> None:
    """Puts the files below that folder. What was received for a job may be gone by now, because the job has read it.

    Raises BackupFailed when a file of a list is gone.
    """
    for file in files:
        try:
            async with storage.local(file.name) as path:
                await asyncio.to_thread(_kept, path, folder / file.name)
        except NotStored:
            if not file.name.startswith("uploads/"):
                raise BackupFailed(
                    f"{file.name}, a file of an opt-out list, is not in the storage. Run `stentor doctor`, and when it says"
                    " that all files are there, take the backup again."
                ) from None


async def give_back_lists(storage: Storage, folder: Path, files: Sequence[NamedFile]) -> None:
    """Puts what the backup has of these files into the storage, where they are not there already. Raises BackupRefused."""
    for file in files:
        kept = folder / file.name
        if await storage.size(file.name) == file.bytes or not await asyncio.to_thread(kept.is_file):
            continue
        if (found := kept.stat().st_size) != file.bytes:
            raise BackupRefused(
                f"{kept} has {found:,} bytes and should have {file.bytes:,}: it was cut short. Take another copy."
            )
        making = storage.work / f"restored-{uuid4()}"
        make_private(storage.work)
        # Never linked: what the storage does with its file must not reach the backup.
        await asyncio.to_thread(shutil.copyfile, kept, making)
        await storage.put(file.name, making)


def _kept(path: Path, target: Path) -> None:
    make_private(target.parent)
    try:
        os.link(path, target)
    except OSError:
        # Another disk, or one that knows no links.
        shutil.copyfile(path, target)
        target.chmod(0o600)
