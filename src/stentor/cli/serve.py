"""Starting Stentor: everything in one command, or one role of it."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from stentor.accounts.model import Brand, NewKey
from stentor.cli.children import Children
from stentor.cli.installation import within
from stentor.cli.output import print_json, say
from stentor.cli.processes import claimed_port, role_children, stopped_by_signals
from stentor.db.migrate import migrate
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.wiring import Core, accounts, api_settings, core, data_directory, services, worker_roles
from stentor.worker.process import run_roles

FIRST_BRAND = "My brand"

_API_CONNECTIONS = 12
_COMMAND_CONNECTIONS = 2


def serve_everything(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Runs database, HTTP and workers until SIGINT or SIGTERM; restarts any of them that dies."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)
    settings = settings.model_copy(
        update={"port": claimed_port(settings.host, settings.port), "data": data_directory(settings)}
    )
    within(settings, lambda dsn: _serve_everything(settings, dsn, as_json=as_json))


async def _serve_everything(settings: Settings, dsn: str, *, as_json: bool) -> None:
    stop = stopped_by_signals()
    await migrate(dsn)
    async with core(settings, dsn, role="serve", size=_COMMAND_CONNECTIONS) as started:
        first = await _first_brand(started)
    async with Children(role_children(settings, workers=settings.workers)) as children:
        await _unless(stop, children.until_listening(settings.host, settings.port))
        if not stop.is_set():
            _tell(f"http://{settings.host}:{settings.port}", first, as_json=as_json)
        await stop.wait()


def serve_api(given: Mapping[str, Any]) -> None:
    """Runs the HTTP role until SIGINT or SIGTERM."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)

    async def main(dsn: str) -> None:
        from stentor.api.app import create_app
        from stentor.api.server import ApiServer
        from stentor.doors import doors

        stop = stopped_by_signals()
        async with core(settings, dsn, role="api", size=_API_CONNECTIONS) as started:
            served = services(started)
            told = api_settings(started)
            app = create_app(served, told, doors=doors(started, served, told))
            server = ApiServer(app, host=settings.host, port=settings.port)
            closed = asyncio.Event()
            async with asyncio.TaskGroup() as background:
                background.create_task(served.triggers.run_committer(closed))
                background.create_task(served.keys.run(closed))
                try:
                    await server.run(stop)
                finally:
                    # After the last request: what was taken in is still committed.
                    closed.set()

    within(settings, main)


def run_worker(given: Mapping[str, Any]) -> None:
    """Runs the worker's roles until SIGINT or SIGTERM."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)

    async def main(dsn: str) -> None:
        stop = stopped_by_signals()
        async with core(settings, dsn, role="worker", size=settings.batches + 4) as started:
            roles = worker_roles(started)
            try:
                await run_roles([roles.planner, roles.deliverer, roles.keeper], stop)
            finally:
                await roles.channels.aclose()

    within(settings, main)


def migrate_database(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Applies what is missing of the schema and says what that was."""

    async def main(dsn: str) -> None:
        applied = await migrate(dsn)
        if as_json:
            print_json({"applied": [migration.file for migration in applied]})
        else:
            say("\n".join(f"applied {migration.file}" for migration in applied) or "The schema is up to date.")

    within(Settings(**given), main)


async def _first_brand(started: Core) -> tuple[Brand, NewKey] | None:
    """At the very first start: a brand to begin with, and its key."""
    service = accounts(started)
    await service.ensure_first_organisation()
    if await service.brands():
        return None
    brand = await service.create_brand(FIRST_BRAND)
    return brand, await service.create_key("First key", brand_id=brand.id)


def _tell(url: str, first: tuple[Brand, NewKey] | None, *, as_json: bool) -> None:
    if as_json:
        made: dict[str, str] = {}
        if first is not None:
            brand, key = first
            made = {
                "group_id": str(brand.id),
                "brand_key": brand.brand_key,
                "token": key.token,
                "api_key": key.api_key,
            }
        print_json({"url": url, **made})
        return
    say(f"\nStentor listens on {url}")
    if first is not None:
        brand, key = first
        say(
            f"\nYour first brand, with its keys. They are shown this once; keep them.\n\n"
            f"  group id   {brand.id}\n  brand key  {brand.brand_key}\n  api key    {key.api_key}\n  token      {key.token}\n"
        )


async def _unless(stop: asyncio.Event, waiting: Awaitable[None]) -> None:
    """Waits for something, but no longer than until `stop`."""
    tasks = {asyncio.ensure_future(waiting), asyncio.create_task(stop.wait())}
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()
