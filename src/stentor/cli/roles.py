"""One role of Stentor in this process: HTTP, or planning and delivering."""

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
import uvloop

from stentor.api.app import create_app
from stentor.api.server import ApiServer
from stentor.cli.database import until_migrated, within
from stentor.cli.output import print_json
from stentor.cli.processes import (
    claimed_port,
    process_settings,
    spare_the_collector,
    stopped_by_signals,
    until_listening,
)
from stentor.domain.hosts import url_of
from stentor.doors import doors
from stentor.settings import Settings
from stentor.wiring.core import Core, accounts, core
from stentor.wiring.roles import make_partitions, tidy_journals, worker_journal, worker_name, worker_roles
from stentor.wiring.services import api_settings, services
from stentor.worker.caster import LONG_CASTS_MAX
from stentor.worker.deliverer import claims_at_once
from stentor.worker.process import run_roles

log = structlog.get_logger(__name__)

_API_CONNECTIONS = 12
# Runs of a brand wait behind each other for its bucket. What works between its statements has a limit of its own (`as_one`).
_API_STANDS_STILL = timedelta(seconds=10)


def serve_api(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Runs the HTTP role until SIGINT or SIGTERM, from the moment when the schema is up to date."""
    settings = process_settings(given)
    if settings.port == 0:
        settings = settings.model_copy(update={"port": claimed_port(settings.host, 0)})
    within(settings, lambda dsn: _serve_api(settings, dsn, as_json=as_json), loop_factory=uvloop.new_event_loop)


def run_worker(given: Mapping[str, Any], *, as_json: bool) -> None:
    """Runs the worker's roles until SIGINT or SIGTERM, from the moment when the schema is up to date."""
    settings = process_settings(given)
    within(settings, lambda dsn: _run_worker(settings, dsn, as_json=as_json))


async def _tell_if_paused(started: Core) -> None:
    """Says in the log that this installation sends nothing, where it is a restored copy that nobody has let go."""
    installation = await accounts(started).installation()
    if installation.paused_at is not None:
        log.warning("installation.paused", backup_at=str(installation.backup_at), what_next="stentor resume")


async def _serve_api(settings: Settings, dsn: str, *, as_json: bool) -> None:
    stop = stopped_by_signals()
    await until_migrated(dsn)
    async with core(settings, dsn, role="api", size=_API_CONNECTIONS, stands_still=_API_STANDS_STILL) as started:
        await _tell_if_paused(started)
        served = services(started)
        told = api_settings(started)
        app = create_app(served, told, doors=doors(started, served, told))
        server = ApiServer(app, host=settings.host, port=settings.port)
        closed = asyncio.Event()
        spare_the_collector()
        async with asyncio.TaskGroup() as background:
            background.create_task(served.triggers.run_committer(closed))
            background.create_task(served.keys.run(closed))
            background.create_task(served.hub_callers.run(closed))
            telling = background.create_task(_tell_when_listening(settings)) if as_json else None
            try:
                await server.run(stop)
            finally:
                if telling is not None:
                    telling.cancel()
                # After the last request: what was taken in is still committed.
                closed.set()


async def _tell_when_listening(settings: Settings) -> None:
    await until_listening(settings.host, settings.port)
    print_json({"role": "api", "url": url_of(settings.host, settings.port)})


async def _run_worker(settings: Settings, dsn: str, *, as_json: bool) -> None:
    stop = stopped_by_signals()
    await until_migrated(dsn)
    async with core(settings, dsn, role="worker", size=claims_at_once(settings.claims) + 5 + LONG_CASTS_MAX) as started:
        await _tell_if_paused(started)
        await make_partitions(started)
        await tidy_journals(started)
        name = worker_name()
        with worker_journal(started, name) as journal:
            roles = worker_roles(started, name, journal)
            spare_the_collector()
            if as_json:
                print_json({"role": "worker", "pid": os.getpid()})
            try:
                await run_roles(
                    [
                        roles.planner,
                        roles.caster,
                        roles.deliverer,
                        roles.remedier,
                        roles.keeper,
                        roles.watcher,
                        roles.lister,
                        roles.compactor,
                        roles.notifier,
                        roles.connector,
                    ],
                    stop,
                    close_channels=roles.channels.aclose,
                )
            finally:
                await roles.channels.aclose()
