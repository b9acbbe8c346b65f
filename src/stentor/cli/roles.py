"""One role of Stentor in this process: HTTP, or planning and delivering."""

import asyncio
from collections.abc import Mapping
from typing import Any

from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.cli.database import until_migrated, within
from stentor.cli.processes import spare_the_collector, stopped_by_signals
from stentor.doors import doors
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.wiring import api_settings, core, services, worker_roles
from stentor.worker.process import run_roles

_API_CONNECTIONS = 12


def serve_api(given: Mapping[str, Any]) -> None:
    """Runs the HTTP role until SIGINT or SIGTERM, from the moment when the schema is up to date."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)
    within(settings, lambda dsn: _serve_api(settings, dsn))


def run_worker(given: Mapping[str, Any]) -> None:
    """Runs the worker's roles until SIGINT or SIGTERM, from the moment when the schema is up to date."""
    settings = Settings(**given)
    set_up_logging(settings.log_level, settings.log_format)
    within(settings, lambda dsn: _run_worker(settings, dsn))


async def _serve_api(settings: Settings, dsn: str) -> None:
    stop = stopped_by_signals()
    await until_migrated(dsn)
    async with core(settings, dsn, role="api", size=_API_CONNECTIONS) as started:
        served = services(started)
        told = api_settings(started)
        app = create_app(served, told, doors=doors(started, served, told))
        server = ApiServer(app, host=settings.host, port=settings.port)
        closed = asyncio.Event()
        spare_the_collector()
        async with asyncio.TaskGroup() as background:
            background.create_task(served.triggers.run_committer(closed))
            background.create_task(served.keys.run(closed))
            try:
                await server.run(stop)
            finally:
                # After the last request: what was taken in is still committed.
                closed.set()


async def _run_worker(settings: Settings, dsn: str) -> None:
    stop = stopped_by_signals()
    await until_migrated(dsn)
    async with core(settings, dsn, role="worker", size=settings.batches + 4) as started:
        roles = worker_roles(started)
        spare_the_collector()
        try:
            await run_roles([roles.planner, roles.deliverer, roles.keeper], stop)
        finally:
            await roles.channels.aclose()
