"""The installation that a command works on: its database, found and brought up to date, and a brand of it by name."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from stentor.accounts.model import Brand
from stentor.accounts.service import AccountService
from stentor.cli.output import Exit, fail, say
from stentor.db.locate import located_database
from stentor.db.migrate import migrate
from stentor.settings import Settings
from stentor.wiring import Core, core, data_directory

T = TypeVar("T")

_CONNECTIONS = 4


def within(settings: Settings, act: Callable[[str], Awaitable[T]]) -> T:
    """What `act` answers, given the DSN of the installation's database, which runs at least that long."""

    async def main() -> T:
        return await act(dsn)

    _check_url(settings.database_url)
    with located_database(
        settings.database_url, data_directory(settings), bin_dir=settings.postgres_bin, progress=say
    ) as dsn:
        return asyncio.run(main())


def with_core(given: Mapping[str, Any], act: Callable[[Core], Awaitable[T]]) -> T:
    """What `act` answers, given the core of an installation whose schema is up to date."""
    settings = Settings(**given)

    async def main(dsn: str) -> T:
        await migrate(dsn)
        async with core(settings, dsn, role="command", size=_CONNECTIONS) as started:
            return await act(started)

    return within(settings, main)


def _check_url(url: str | None) -> None:
    try:
        conninfo_to_dict(url or "")
    except ProgrammingError as error:
        fail(f"STENTOR_DATABASE_URL is no address of a database: {' '.join(str(error).split())}", Exit.USAGE)


async def brand_named(accounts: AccountService, wanted: str) -> Brand:
    """The brand with that id, key or name. Ends the command when there is none."""
    named = (brand for brand in await accounts.brands() if wanted in {str(brand.id), brand.brand_key, brand.name})
    return next(named, None) or fail(f"There is no brand {wanted!r}. See `stentor brand list`.")
