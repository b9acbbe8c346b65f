"""Processes of ours beside this one: kept alive within a block, ended with it."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import msgspec
import structlog

from stentor.clock import boottime_s
from stentor.db.kernel import end_with_parent

log = structlog.get_logger(__name__)

_STOP_GRACE_S = 35.0
"""A little more than a worker takes to finish what is on the wire."""

_RESTART_S_MIN = 0.1
_RESTART_S_MAX = 10.0
_STEADY_AFTER_S = 30.0
"""A process that ran this long did not fail at starting, so it is started again at once."""


class Child(msgspec.Struct, frozen=True):
    """A process to keep running; `environment` is all that it is given."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


class Children:
    """Ends all its children with the block; one that dies is started again, with a growing pause while it keeps dying."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.gather(*self._keepers)

    def keep(self, child: Child) -> None:
        """Starts the child and keeps it running."""
        self._keepers.append(asyncio.create_task(self._keep(child)))

    async def _keep(self, child: Child) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        pause_s = _RESTART_S_MIN
        end_with_us = partial(_end_with_parent, os.getpid())
        while not self._stop.is_set():
            started_at_s = boottime_s()
            # A group of its own: what a terminal sends to ours (Ctrl-C) reaches it through us, in order.
            process = await asyncio.create_subprocess_exec(
                *child.command, env=dict(child.environment), preexec_fn=end_with_us, process_group=0
            )
            ended = asyncio.create_task(process.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await _end(process, ended)
                return
            if boottime_s() - started_at_s > _STEADY_AFTER_S:
                pause_s = _RESTART_S_MIN
            log.warning("process.died", name=child.name, status=process.returncode, restart_in_s=pause_s)
            await asyncio.wait({stopped}, timeout=pause_s)
            pause_s = min(pause_s * 2, _RESTART_S_MAX)


async def _end(process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    done, _ = await asyncio.wait({ended}, timeout=_STOP_GRACE_S)
    if not done:
        log.warning("process.killed", pid=process.pid)
        process.kill()
        await ended


def _end_with_parent(parent: int) -> None:
    # Between fork and exec: the kernel tells the child when its parent is killed, which no handler of ours could.
    if not end_with_parent(parent, signal.SIGTERM):
        os._exit(1)
