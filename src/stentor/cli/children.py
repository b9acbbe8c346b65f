"""The processes that `serve` starts: kept alive while it runs, ended with it."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence

import msgspec
import structlog

log = structlog.get_logger(__name__)

_STOP_GRACE_S = 35.0
"""A little more than a worker takes to finish what is on the wire."""

_RESTART_S_MAX = 10.0
_LOOK_EVERY_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Child(msgspec.Struct, frozen=True):
    """A process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class Children:
    """Runs the children; one that dies is started again, with a growing pause while it keeps dying."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    async def run(self, stop: asyncio.Event) -> None:
        """Runs all of them until `stop`, and ends them then."""
        async with asyncio.TaskGroup() as group:
            for child in self._children:
                group.create_task(self._keep(child, stop))

    async def until_listening(self, host: str, port: int, running: "asyncio.Task[None]") -> None:
        """Returns when something listens there, or when the children have ended."""
        while not running.done():
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(_LOOK_EVERY_S)
            else:
                writer.close()
                return

    async def _keep(self, child: Child, stop: asyncio.Event) -> None:
        pause_s = 0.1
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(
                *child.command, env={**os.environ, **child.environment}, preexec_fn=_end_with_parent, process_group=0
            )
            ended = asyncio.create_task(process.wait())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await _end(process, ended)
                return
            stopped.cancel()
            if stop.is_set():
                return
            log.warning("process.died", name=child.name, status=process.returncode, restart_in_s=pause_s)
            await asyncio.wait({asyncio.create_task(stop.wait())}, timeout=pause_s)
            pause_s = min(pause_s * 2, _RESTART_S_MAX)


async def _end(process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    process.send_signal(signal.SIGTERM)
    done, _ = await asyncio.wait({ended}, timeout=_STOP_GRACE_S)
    if not done:
        log.warning("process.killed", pid=process.pid)
        process.kill()
        await ended


def _end_with_parent() -> None:
    # Between fork and exec: the kernel tells the child when its parent is killed, which no handler of ours could.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
