"""The app over real services and a database of the test's own, asked in process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from api_world import Client, World, client_of
from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.db.pool import Database
from stentor.settings import Settings
from stentor.wiring.core import Core, core
from stentor.wiring.services import api_settings
from stentor.wiring.services import services as services_of


@pytest.fixture
async def installation(database_dsn: str, tmp_path: Path) -> AsyncIterator[Core]:
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path)
    async with core(settings, database_dsn, role="test", size=5) as opened:
        yield opened


@pytest.fixture
def db(installation: Core) -> Database:
    return installation.db


@pytest.fixture
async def services(installation: Core) -> AsyncIterator[Services]:
    made, stop = services_of(installation), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(made.triggers.run_committer(stop))
        yield made
        stop.set()


@pytest.fixture
async def app_client(installation: Core, services: Services) -> AsyncIterator[Client]:
    app = create_app(services, api_settings(installation))
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Matchday")


@pytest.fixture
async def other_world(app_client: Client, services: Services) -> World:
    return await World.made(app_client, services, "Somebody else")
