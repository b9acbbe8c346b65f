"""Starting Stentor: everything in one command. What takes long to import is imported while something else is waited for."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from stentor.cli.children import Children
from stentor.cli.database import database, within
from stentor.cli.output import print_json, say
from stentor.cli.processes import claimed_port, process_settings, role_child, stopped_by_signals, until_listening
from stentor.db.locate import default_data_directory
from stentor.db.migrate import migrate
from stentor.domain.hosts import url_of
from stentor.settings import Settings

if TYPE_CHECKING:
    from stentor.accounts.model import Brand, NewKey

FIRST_BRAND = "My brand"

_CONNECTIONS = 2


def serve_everything(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Runs database, HTTP and workers until SIGINT or SIGTERM; restarts any of them that dies."""
    settings = process_settings(given)
    port = claimed_port(settings.host, settings.port)
    settings = settings.model_copy(update={"port": port, "data": settings.data or default_data_directory()})
    asyncio.run(_serve_everything(settings, as_json=as_json))


async def _serve_everything(settings: Settings, *, as_json: bool) -> None:
    stop = stopped_by_signals()
    async with Children() as children:
        # Its second of imports passes while the database is made; it waits for the schema.
        children.keep(role_child("api", settings))
        async with database(settings) as dsn:
            await migrate(dsn)
            first = await _first_start(settings, dsn)
            await _unless(stop, until_listening(settings.host, settings.port))
            # After HTTP: their imports would take it a second on two cores, and until then nobody can ask for anything.
            for number in range(1, settings.workers + 1):
                children.keep(role_child("worker", settings, number))
            if not stop.is_set():
                _tell(url_of(settings.host, settings.port), first, as_json=as_json)
            await stop.wait()


def migrate_database(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Applies what is missing of the schema and says what that was."""

    async def main(dsn: str) -> None:
        applied = await migrate(dsn)
        if as_json:
            print_json({"applied": [migration.file for migration in applied]})
        else:
            say("\n".join(f"applied {migration.file}" for migration in applied) or "The schema is up to date.")

    within(Settings(**given), main)


async def _first_start(settings: Settings, dsn: str) -> "tuple[Brand, NewKey, str] | None":
    """At the very first start: a brand to begin with, its key, and the link by which the first owner signs in."""
    from stentor.accounts.letters import link_of
    from stentor.wiring.core import accounts, base_url, core
    from stentor.wiring.services import people_accounts

    async with core(settings, dsn, role="serve", size=_CONNECTIONS) as started:
        service, invitations = accounts(started), people_accounts(started).invitations
        organisation = await service.ensure_first_organisation()
        if await service.brands():
            return None
        brand = await service.create_brand(FIRST_BRAND)
        key = await service.create_key("First key", brand_id=brand.id)
        invitation = await invitations.invite_first_owner(organisation.id)
        link = "" if invitation is None else link_of(base_url(settings), "invitation", invitations.token(invitation))
        return brand, key, link


def _tell(url: str, first: "tuple[Brand, NewKey, str] | None", *, as_json: bool) -> None:
    if as_json:
        made: dict[str, str] = {}
        if first is not None:
            brand, key, link = first
            made = {
                "group_id": str(brand.id),
                "brand_key": brand.brand_key,
                "token": key.token,
                "api_key": key.api_key,
                "owner_link": link,
            }
        print_json({"url": url, **made})
        return
    say(
        f"\nStentor listens on {url} until you press Ctrl-C.\n\n  console    {url}/console\n  inbox      {url}/inbox\n  API        {url}/docs"
    )
    if first is not None:
        brand, key, link = first
        say(
            f"\nYour first brand, with its keys. They are shown this once; keep them.\n\n"
            f"  group id   {brand.id}\n  brand key  {brand.brand_key}\n  api key    {key.api_key}\n  token      {key.token}\n\n"
            f"Become its owner here, once, within a week (`stentor user link` prints it again):\n\n  {link}\n"
        )


async def _unless(stop: asyncio.Event, waiting: Awaitable[None]) -> None:
    """Waits for something, but no longer than until `stop`."""
    tasks = {asyncio.ensure_future(waiting), asyncio.create_task(stop.wait())}
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()
