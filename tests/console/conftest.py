"""The console over real services and a database of the test's own, asked in process by browsers that keep cookies."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from console_browser import _served_console, chromium, console_browser
from console_world import PUBLIC, ConsoleWorld
from stentor.settings import Settings
from stentor.wiring.core import core

__all__ = ["_served_console", "chromium", "console", "console_browser"]


@pytest.fixture
async def console(database_dsn: str, tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    settings = Settings(secret=SecretStr("a secret for tests, which is long enough"), data=tmp_path, public_url=PUBLIC)
    async with core(settings, database_dsn, role="test", size=5) as opened:
        world = await ConsoleWorld.made(opened)
        yield world
        await world.close()
