"""The app over real services and a database of the test's own, asked in process."""

from collections.abc import AsyncIterator

import pytest
from litestar.testing import AsyncTestClient

from api_world import Client, World
from stentor.accounts.directory import BrandDirectory
from stentor.accounts.keyring import KeyRing
from stentor.accounts.service import AccountService
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings
from stentor.db.pool import Database

PEPPER = b"a pepper for tests"


@pytest.fixture
def services(db: Database) -> Services:
    return Services(
        database=db, keys=KeyRing(db, PEPPER), brands=BrandDirectory(db), accounts=AccountService(db, PEPPER)
    )


@pytest.fixture
async def app_client(services: Services) -> AsyncIterator[Client]:
    app = create_app(services, ApiSettings(secret=b"a secret for tests"))
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
async def world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Matchday")


@pytest.fixture
async def other_world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Somebody else")
