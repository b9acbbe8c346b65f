"""A Stentor of one's own, for the demo and the benches: its directory, its database, its processes; gone at the end."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from stentor.api.services import Services
from stentor.audience.model import FileKind, ImportJob
from stentor.cli.children import Children
from stentor.cli.database import within
from stentor.cli.output import Exit, fail, say
from stentor.cli.processes import claimed_port, role_child, spare_the_collector, stopped_by_signals, until_listening
from stentor.db.home import Home
from stentor.db.locks import try_exclusive
from stentor.db.migrate import migrate
from stentor.domain.hosts import url_of
from stentor.log import set_up_logging
from stentor.settings import Settings
from stentor.wiring.core import Core, core
from stentor.wiring.services import services

T = TypeVar("T")

WORKERS = 2
HOST = "127.0.0.1"
_CONNECTIONS = 6
_DATABASE_STOPS_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.02


class Premises(msgspec.Struct, frozen=True):
    """An installation that this process alone uses: its settings, its database, and services over it."""

    data: Path
    settings: Settings
    core: Core
    services: Services

    @property
    def url(self) -> str:
        """Where its HTTP listens while `running`."""
        return url_of(self.settings.host, self.settings.port)

    @asynccontextmanager
    async def running(self, *, workers: int = WORKERS) -> AsyncIterator[None]:
        """Its processes run within the block: HTTP and that many workers."""
        async with Children() as children:
            children.keep(role_child("api", self.settings))
            for number in range(1, workers + 1):
                children.keep(role_child("worker", self.settings, number))
            yield

    async def until_listening(self) -> None:
        """Returns when its HTTP answers. Raises Unavailable when it does not within a minute."""
        await until_listening(self.settings.host, self.settings.port)


def on_premises(main: Callable[[Premises], Awaitable[T]], *, data: Path | None = None, port: int = 0) -> T:
    """What `main` answers on premises of its own; nothing that the environment says of other installations is used.

    Without `data` its directory is a temporary one. A signal to end cancels `main`; if it does not answer then, the command
    ends as interrupted.
    """
    set_up_logging("warning", "auto")
    with _directory(data) as directory:
        settings = own_settings(directory, claimed_port(HOST, port))
        return within(settings, lambda dsn: _until_stopped(directory, settings, dsn, main))


async def import_blocks(
    premises: Premises,
    brand_id: UUID,
    kind: FileKind,
    blocks: Iterable[bytes],
    *,
    source: str,
    region: str | None = None,
) -> ImportJob:
    """Imports a CSV in blocks as a file is imported. Ends the command when a line of it is rejected."""
    service = premises.services.imports
    job = await service.begin(brand_id, kind, "csv", source, region=region)
    done = await service.run(brand_id, job.id, _streamed(blocks))
    if done.rejected:
        fail(f"{done.rejected} lines of {source} were rejected. This is a defect; please report it.")
    return done


async def _streamed(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def own_settings(data: Path, port: int) -> Settings:
    """Settings as `serve` has them by default, and a sender to this machine's own SMTP server allowed."""
    said = Settings()
    return Settings.model_construct(
        data=data,
        host=HOST,
        port=port,
        postgres_bin=said.postgres_bin,
        secret=said.secret,
        allow_loopback=True,
        log_level="warning",
    )


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory for a data directory, removed at the end, when the database in it has stopped."""
    made = Path(tempfile.mkdtemp(prefix="stentor-"))
    if os.geteuid() == 0:
        # PostgreSQL runs as another account and has to get through.
        made.chmod(0o711)
    try:
        yield made
    finally:
        _await_stopped(made)
        shutil.rmtree(made)


@contextmanager
def _directory(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data
    else:
        with temporary_directory() as made:
            yield made


def _await_stopped(data: Path) -> None:
    """Returns when the embedded server, which nobody uses any more, has stopped."""
    lock = Home(data).supervisor_lock
    give_up_at_s = time.monotonic() + _DATABASE_STOPS_WITHIN_S
    while lock.exists():
        descriptor = try_exclusive(lock)
        if descriptor is not None:
            os.close(descriptor)
            return
        if time.monotonic() > give_up_at_s:
            fail(f"PostgreSQL in {data} does not stop; end it and remove the directory. Its log lies there.")
        time.sleep(_LOOK_EVERY_S)


async def _until_stopped(data: Path, settings: Settings, dsn: str, main: Callable[[Premises], Awaitable[T]]) -> T:
    stop = stopped_by_signals()
    await migrate(dsn)
    async with core(settings, dsn, role="command", size=_CONNECTIONS) as started:
        # As the processes of `serve` do, in one of which files and streams are taken in.
        spare_the_collector()
        working = asyncio.ensure_future(main(Premises(data, settings, started, services(started))))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            # Its processes finish what they have on the wire, which takes some seconds.
            say("\nStopping …")
            working.cancel()
        stopping.cancel()
        try:
            return await working
        except asyncio.CancelledError:
            fail("Stopped before the end.", Exit.INTERRUPTED)
