"""The installation that a command works on, brought up to date, and a brand of it by name."""

import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from stentor.accounts.acting import Actor, act_as
from stentor.accounts.model import Brand, Organisation
from stentor.accounts.service import AccountService
from stentor.cli.database import within
from stentor.cli.output import Exit, fail
from stentor.db.home import Home
from stentor.db.migrate import migrate
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.wiring.core import Core, core, data_directory

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
        act_as(who_types())
        async with core(settings, dsn, role="command", size=_CONNECTIONS) as started:
            return await act(started)

    return within(settings, main)


def who_types() -> Actor:
    """Whose process this is, by the kernel's word: what the environment says of a name, anybody can say.

    Under sudo that is whom it was made to run as; who asked for it is in sudo's own log.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return Actor("cli", str(uid), f"{name}@{socket.gethostname()}")


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


async def organisation_named(accounts: AccountService, wanted: str | None) -> Organisation:
    """The organisation with that id, number or name, or the first one. Ends the command when there is none."""
    if wanted is None:
        return await accounts.ensure_first_organisation()
    present = await accounts.organisations()
    named = (one for one in present if wanted in {str(one.id), str(one.number), one.name})
    return next(named, None) or fail(f"There is no organisation {wanted!r}. See `stentor organisation list`.")


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
