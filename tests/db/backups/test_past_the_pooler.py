"""PostgreSQL's programs empty the search path of their session, which a pooler gives to somebody else afterwards."""

from pathlib import Path

import pytest

from backup_world import SECRET, Backups
from pretended_pooler import pretended_pooler
from stentor.accounts.installation import check_installation
from stentor.backups.model import BackupRefused
from stentor.backups.programs import Programs
from stentor.backups.restoring import look_at, restore
from stentor.backups.taking import Secret, take
from stentor.db.binaries import find_binaries
from stentor.db.pool import Database

pytestmark = pytest.mark.anyio


@pytest.mark.fault("F6")
async def test_a_backup_is_not_taken_through_a_pooler(db: Database, backups: Backups, tmp_path: Path):
    await check_installation(db, SECRET)

    async with pretended_pooler(backups.programs(db.dsn).dsn, tmp_path) as dsn:
        with pytest.raises(BackupRefused, match="Set STENTOR_DATABASE_DIRECT_URL to the server's own address"):
            await take(
                Programs(find_binaries(), dsn),
                tmp_path / "backup",
                Secret(SECRET, None),
                storage=backups.storage,
                progress=print,
            )

    assert not (tmp_path / "backup").exists()


@pytest.mark.fault("F6")
async def test_a_backup_is_not_restored_through_a_pooler(backups: Backups, fresh_database: str, tmp_path: Path):
    source = look_at(await backups.taken())

    async with pretended_pooler(backups.programs(fresh_database).dsn, tmp_path) as dsn:
        with pytest.raises(BackupRefused, match="A pooler stands between here and the database"):
            await restore(
                Programs(find_binaries(), dsn),
                source,
                secret=None,
                secret_file=tmp_path / "key",
                storage=backups.restored_storage,
                progress=print,
            )
