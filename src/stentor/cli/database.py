"""The installation's database, for the length of a command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from stentor.cli.output import Exit, fail, say
from stentor.db.locate import located_database
from stentor.db.migrate import status
from stentor.settings import Settings

T = TypeVar("T")

_LOOK_EVERY_S = 0.1
_TOLD_AFTER_LOOKS = 50


def within(
    settings: Settings,
    act: Callable[[str], Awaitable[T]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """What `act` answers, given the DSN of the installation's database, which runs at least that long."""

    async def main() -> T:
        return await act(dsn)

    with _located(settings) as dsn, asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The same within a running loop, which goes on while the database starts."""
    located = _located(settings)
    dsn = await asyncio.to_thread(located.__enter__)
    try:
        yield dsn
    finally:
        await asyncio.to_thread(located.__exit__, None, None, None)


async def until_migrated(dsn: str) -> None:
    """Returns when the schema is the one of this program. Raises MigrationRefused when it is a newer one's."""
    looks = 0
    while (await status(dsn)).pending:
        looks += 1
        if looks == _TOLD_AFTER_LOOKS:
            say("The schema is behind; waiting for `stentor migrate` or `stentor serve` to bring it up to date.")
        await asyncio.sleep(_LOOK_EVERY_S)


def _located(settings: Settings) -> AbstractContextManager[str]:
    try:
        conninfo_to_dict(settings.database_url or "")
    except ProgrammingError as error:
        fail(
            f"STENTOR_DATABASE_URL or STENTOR_DATABASE_DIRECT_URL is no address of a database: {' '.join(str(error).split())}",
            Exit.USAGE,
        )
    return located_database(settings.database_url, settings.data, bin_dir=settings.postgres_bin, progress=say)
