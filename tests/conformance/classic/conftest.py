"""The hub over real services and a database of the test's own, asked in process by the programs of partners."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from hub_world import Partner, hub_client_of, partner_of
from stentor.api.services import Services
from stentor.settings import Settings
from stentor.wiring.core import Core, core
from stentor.wiring.services import services as services_of


@pytest.fixture
async def installation(database_dsn: str, tmp_path: Path) -> AsyncIterator[Core]:
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path)
    async with core(settings, database_dsn, role="test", size=5) as opened:
        yield opened


@pytest.fixture
def services(installation: Core) -> Services:
    return services_of(installation)


@pytest.fixture
async def http(installation: Core, services: Services) -> AsyncIterator[AsyncClient]:
    async with hub_client_of(installation, services) as client:
        yield client


@pytest.fixture
async def partner(http: AsyncClient, services: Services) -> Partner:
    return await partner_of(http, services, "Texting")


@pytest.fixture
async def stranger(http: AsyncClient, services: Services) -> Partner:
    """A partner of another brand, which has channels of the same numbers."""
    return await partner_of(http, services, "Somebody else")
