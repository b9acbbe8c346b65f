"""Two brands, each with its built-in list, and the services of lists."""

from pathlib import Path
from uuid import UUID

import pytest

from list_jobs import ListJobs
from loading_world import Loading
from optout_files import FiledList
from stentor.db.pool import Database
from stentor.optouts.lists import ListService
from stentor.optouts.storage import DirectoryStorage
from stentor.testing.world import World


@pytest.fixture
def lists(db: Database) -> ListService:
    return ListService(db)


@pytest.fixture
async def brand_id(db: Database) -> UUID:
    return (await World.made(db)).brand_id


@pytest.fixture
async def other_brand_id(db: Database) -> UUID:
    return (await World.made(db, "Other")).brand_id


@pytest.fixture
def jobs(db: Database, tmp_path: Path, brand_id: UUID) -> ListJobs:
    return ListJobs(db, DirectoryStorage(tmp_path / "lists"), brand_id)


@pytest.fixture
async def filed(jobs: ListJobs) -> FiledList:
    return await FiledList.made(jobs.db, jobs.storage, jobs.brand_id)


@pytest.fixture
async def loading(db: Database, tmp_path: Path) -> Loading:
    return await Loading.made(db, tmp_path)
