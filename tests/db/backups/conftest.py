from pathlib import Path

import pytest

from backup_world import Backups
from stentor.db.pool import Database
from stentor.testing.databases import TestDatabases


@pytest.fixture
def backups(databases: TestDatabases, db: Database, tmp_path: Path) -> Backups:
    return Backups(databases, db, tmp_path)
