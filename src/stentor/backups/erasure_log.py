"""The log of erasures in a backup and in a restored copy: who was erased after the backup must not come back with it."""

import asyncio
import os
from pathlib import Path

import msgspec

from stentor.accounts.installation import InstallationSecret
from stentor.db.home import sync_directory
from stentor.db.pool import Database
from stentor.erasures.log import ErasureLog
from stentor.erasures.model import Digests
from stentor.erasures.replaying import Replayed, is_replayed, replay
from stentor.optouts.outside_log import ENTRY_BYTES_MAX
from stentor.optouts.storage import Storage

ERASURES_FILE = "erasures.ndjson"
"""The log as it was when the backup was taken, an entry a line. It is for the copy's own log: what is in it, the dump knows."""

ERASURES_SINCE = 18
"""The migration with which installations began to keep one."""


def log_in(storage: Storage, secret: InstallationSecret) -> ErasureLog:
    """The log of erasures of the installation with that secret, in that storage."""
    return ErasureLog(storage, secret.derive("fingerprint"))


def digests_of(secret: InstallationSecret) -> Digests:
    """How the installation with that secret names the people that it erases."""
    return Digests(secret.derive("erasures"))


async def take_log(log: ErasureLog, folder: Path, *, is_whole: bool) -> int:
    """Puts the log into a backup; returns how many entries it has. From then on it says of itself that it is kept.

    `is_whole`: nothing is missing in it; in a copy that was restored without its log something may.
    """
    if is_whole:
        await log.begin()
    entries = 0
    descriptor = os.open(folder / ERASURES_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for entry in log.entries():
            file.write(msgspec.json.encode(entry) + b"\n")
            entries += 1
        await asyncio.to_thread(os.fsync, descriptor)
    sync_directory(folder)
    return entries


async def read_log(
    db: Database, backup: Path, secret: InstallationSecret, storage: Storage, elsewhere: Storage | None = None
) -> Replayed:
    """Erases in a restored copy everybody who was erased after the backup; to be called before it is let go.

    The log is looked for in the copy's own storage and, if that is given, in `elsewhere`, that of the installation that was
    backed up. Where neither has it nobody is erased, and the copy is not let go unless somebody answers for that.
    """
    own = log_in(storage, secret)
    is_here = await own.is_kept()
    for line in _lines(backup / ERASURES_FILE):
        await own.keep(own.read_entry(line, str(backup / ERASURES_FILE)))
    if elsewhere is not None:
        old = log_in(elsewhere, secret)
        if await old.is_kept():
            async for entry in old.entries():
                await own.keep(entry)
            # Last: a copy that was killed before has not the whole of it.
            await own.begin()
            is_here = True
    if not is_here:
        return Replayed(found=False, people=0, erased=0)
    return await replay(db, digests_of(secret), own)


async def read_log_again(db: Database, secret: InstallationSecret, storage: Storage) -> None:
    """The same for a copy whose restoring was killed before that, or whose log was put into its storage since."""
    if not await is_replayed(db):
        await replay(db, digests_of(secret), log_in(storage, secret))


def _lines(file: Path) -> list[bytes]:
    if not file.exists():
        return []
    with file.open("rb") as opened:
        return [line for line in iter(lambda: opened.readline(ENTRY_BYTES_MAX), b"") if line.strip()]
