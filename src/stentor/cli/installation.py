"""The installation that a command works on, brought up to date, and a brand of it by name."""

import getpass
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from stentor.accounts.acting import Actor, act_as
from stentor.accounts.model import Brand
from stentor.accounts.service import AccountService
from stentor.cli.database import within
from stentor.cli.output import Exit, fail
from stentor.db.home import Home
from stentor.db.migrate import migrate
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.wiring import Core, core, data_directory

T = TypeVar("T")

_CONNECTIONS = 4
_NAMED_MAX = 20


def with_core(given: Mapping[str, Any], act: Callable[[Core], Awaitable[T]]) -> T:
    """What `act` answers, given the core of an installation whose schema is up to date; it has to be there already."""
    settings = Settings(**given)
    # Standard output is for the answer.
    set_up_logging("error", settings.log_format)
    check_is_there(settings)

    async def main(dsn: str) -> T:
        await migrate(dsn)
        act_as(Actor("cli", label=_who_types()))
        async with core(settings, dsn, role="command", size=_CONNECTIONS) as started:
            return await act(started)

    return within(settings, main)


def _who_types() -> str:
    """The login name and the machine, as far as they have names."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def check_is_there(settings: Settings) -> None:
    """Ends the command where nothing was started yet: a mistyped directory would become an installation of its own."""
    data = data_directory(settings)
    if settings.database_url is None and not os.access(Home(data).cluster, os.F_OK):
        fail(
            f"There is no installation in {data}. Name its directory with --data or STENTOR_DATA; "
            "`stentor serve` makes a new one.",
            Exit.USAGE,
        )


async def brand_named(accounts: AccountService, wanted: str) -> Brand:
    """The brand with that id, key or name. Ends the command when there is none."""
    named = (brand for brand in await accounts.brands() if wanted in {str(brand.id), brand.brand_key, brand.name})
    return next(named, None) or fail(f"There is no brand {wanted!r}. See `stentor brand list`.")


async def brand_or_only(accounts: AccountService, wanted: str | None) -> Brand:
    """The brand with that id, key or name, or the only one. Ends the command when it is not clear which is meant."""
    if wanted is not None:
        return await brand_named(accounts, wanted)
    brands = await accounts.brands()
    if not brands:
        fail("There is no brand yet. Make one with `stentor brand create NAME`.", Exit.USAGE)
    if len(brands) > 1:
        names = ", ".join(repr(brand.name) for brand in brands[:_NAMED_MAX])
        more = f" and {len(brands) - _NAMED_MAX} more" if len(brands) > _NAMED_MAX else ""
        fail(f"There are several brands: {names}{more}. Say which with --brand.", Exit.USAGE)
    return brands[0]
