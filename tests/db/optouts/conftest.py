"""Two brands, each with its built-in list, and the services of lists."""

from uuid import UUID

import pytest

from stentor.db.pool import Database
from stentor.optouts.lists import ListService
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
