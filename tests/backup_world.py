"""Two installations, the one that was backed up and the one that was restored, side by side on one server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec

from stentor.accounts.installation import InstallationSecret, check_installation
from stentor.backups.erasure_log import read_log
from stentor.backups.fence import Copy
from stentor.backups.programs import Programs
from stentor.backups.restoring import look_at, restore, secret_to_write
from stentor.backups.revocations import RevocationKeeper, RevocationLog, read_revocations
from stentor.backups.taking import Secret, take
from stentor.db.binaries import find_binaries
from stentor.db.pool import Database
from stentor.optouts.storage import DirectoryStorage
from stentor.settings import Settings
from stentor.testing.databases import TestDatabases

SECRET = InstallationSecret(b"the secret of an installation that is backed up")


class Restored(msgspec.Struct):
    """A restored copy: its database, and how it arrived."""

    db: Database
    copy: Copy


class Backups:
    """Takes backups of `db` and restores them into databases of their own."""

    def __init__(self, databases: TestDatabases, db: Database, folder: Path) -> None:
        self._databases = databases
        self.db = db
        self._folder = folder
        self.storage = DirectoryStorage(folder / "lists")
        self.restored_storage = DirectoryStorage(folder / "restored lists")

    @property
    def revocations(self) -> RevocationKeeper:
        """What keeps the revocations of the installation that is backed up."""
        return RevocationKeeper(self.db, RevocationLog(self.storage, SECRET))

    @property
    def path(self) -> Path:
        """Where the backup lies."""
        return self._folder / "backup"

    def programs(self, dsn: str) -> Programs:
        """The programs at work on that database."""
        return Programs(find_binaries(Settings().postgres_bin), self._databases.past_pooler(dsn))

    async def taken(self, *, text: bytes | None = None) -> Path:
        """A backup of the database as it is now."""
        await check_installation(self.db, SECRET)
        await take(self.programs(self.db.dsn), self.path, Secret(SECRET, text), storage=self.storage, progress=print)
        return self.path

    @asynccontextmanager
    async def restored(
        self, *, shift: timedelta = timedelta(), read_erasures: bool = True, read_revoked: bool = True
    ) -> AsyncIterator[Restored]:
        """That backup in a database of its own, whose clock is shifted after it was restored."""
        with self._databases.empty() as dsn:
            copy = await self.restored_into(dsn)
            async with Database(dsn, size=2) as db:
                if read_erasures:
                    await read_log(db, self.path, SECRET, self.restored_storage, self.storage)
                if read_revoked:
                    await read_revocations(db, SECRET, self.restored_storage, self.storage)
            async with Database(dsn, size=5, shift=shift) as db:
                yield Restored(db, copy)

    async def restored_into(self, dsn: str) -> Copy:
        """Restores it into that database."""
        source = look_at(self.path)
        file = self._folder / "restored.key"
        return await restore(
            self.programs(dsn),
            source,
            secret=secret_to_write(source, SECRET, file),
            secret_file=file,
            storage=self.restored_storage,
            progress=print,
        )
