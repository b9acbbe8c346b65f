"""A client of the wire doors that runs in the test's own event loop, so that calls at once really are at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from httpx import ASGITransport, AsyncClient

from stentor.api.app import create_app
from stentor.api.services import Services
from stentor.api.settings import ApiSettings


@asynccontextmanager
async def asking(services: Services) -> AsyncIterator[AsyncClient]:
    """A client of the app over these services."""
    app = create_app(services, ApiSettings(secret=b"a secret for tests"))
    transport = ASGITransport(cast("Any", app), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client
