"""Installations beside this process: a `stentor serve` each, with a data directory and a port of its own, as operators start it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from stentor.cli.database import database
from stentor.cli.output import fail
from stentor.cli.premises import HOST, WORKERS, Premises, own_settings
from stentor.cli.processes import child_environment, claimed_port
from stentor.db.kernel import end_with_parent
from stentor.db.migrate import migrate
from stentor.wiring.core import core
from stentor.wiring.services import services

_CONNECTIONS = 4
_PROC = Path("/proc")


class Installation:
    """One of them. `premises` works on its database whether its processes run or not."""

    def __init__(self, premises: Premises) -> None:
        self.premises = premises
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens, also after it was started anew."""
        return self.premises.url

    @property
    def pid(self) -> int:
        """Of the process that keeps the others. Raises RuntimeError while none runs."""
        if self._process is None:
            raise RuntimeError("Start the installation first.")
        return self._process.pid

    async def start(self) -> None:
        """Starts its processes; returns when its HTTP answers."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "stentor", "serve", "--json"),
            env=child_environment(self.premises.settings),
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGTERM),
            start_new_session=True,
        )
        if self._process.stdout is None or not await self._process.stdout.readline():
            fail(f"`stentor serve` in {self.premises.data} does not start; it says above why.")

    async def stop(self) -> None:
        """Ends its processes as a service manager does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.communicate()
            self._process = None

    async def kill(self) -> None:
        """Ends all of its processes at once, so that none says a last word; its database goes on."""
        group = [self.pid, *self.pids()]
        for pid in group:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()
            self._process = None

    def pids(self, role: str = "") -> list[int]:
        """Its processes beside the one that keeps them, of that role or of all."""
        return [pid for pid in _children(self.pid) if role.encode() in _words(pid)] if role else [*_children(self.pid)]


@asynccontextmanager
async def installation(data: Path, *, workers: int = WORKERS) -> AsyncIterator[Installation]:
    """A running installation in that directory, reachable on this machine alone, to which private networks are open."""
    told = {"allow_private_networks": True, "workers": workers}
    settings = own_settings(data, claimed_port(HOST, 0)).model_copy(update=told)
    async with database(settings) as dsn:
        await migrate(dsn)
        async with core(settings, dsn, role="command", size=_CONNECTIONS) as started:
            made = Installation(Premises(data, settings, started, services(started)))
            try:
                await made.start()
                yield made
            finally:
                await made.stop()


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            yield from map(int, (task / "children").read_text().split())


def _words(pid: int) -> list[bytes]:
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    return []
