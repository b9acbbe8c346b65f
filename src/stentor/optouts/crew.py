"""Children that do what needs bounded memory, or may die of its input: reading strangers' files, sorting, merging.

A child is a process of its own with a limit on its memory. It ends with us, however we end, and whoever waits for a child
that died learns it as `ChildDied`. Children are started when they are needed and kept until the crew is closed.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import ParamSpec, Self, TypeVar

from stentor.optouts.crew_child import Failed, Task

T = TypeVar("T")
P = ParamSpec("P")

CHILDREN_MAX = 4
"""More cores do not make a job faster: its memory is bounded, and everything else on the machine goes on."""


def cores() -> int:
    """How many children can work at once here, at most CHILDREN_MAX."""
    return min(len(os.sched_getaffinity(0)), CHILDREN_MAX)


# Not as a main module, whose classes have other names.
_PROGRAM = "from stentor.optouts.crew_child import main; main()"


class ChildDied(Exception):
    """A child ended without an answer: it was killed, or met the end of its memory in a place that cannot say so."""


class Crew:
    """At most `size` children, by default one per core, that may use `memory_bytes` each.

    Used with `async with`. Calls beyond `size` wait for a child that is free.
    """

    def __init__(self, *, memory_bytes: int, size: int | None = None) -> None:
        self._memory_bytes = memory_bytes
        self._free = asyncio.Semaphore(size or cores())
        self._idle: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            await self._idle.pop().end()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers, run in a child: a function of a module, its arguments and answer small and picklable.

        What it raises is raised here. Raises ChildDied too. A call that is cancelled kills its child, and has ended when
        the child has.
        """
        async with self.child() as child:
            return await child.call(function, *args, **kwargs)

    @asynccontextmanager
    async def child(self) -> AsyncIterator["Child"]:
        """One child for several calls, one after the other, that keep something between them in their module."""
        async with self._free:
            child = self._idle.pop() if self._idle else Child(self._memory_bytes)
            try:
                yield child
            finally:
                if child.is_alive:
                    self._idle.append(child)


class Child:
    """A process that runs one function after the other."""

    def __init__(self, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Not by multiprocessing, which would run the main module of ours again, and keep a process to track resources.
            self._process = subprocess.Popen(  # noqa: S603  our own module
                [
                    sys.executable,
                    "-c",
                    _PROGRAM,
                    str(theirs.fileno()),
                    str(memory_bytes),
                    str(os.getpid()),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Each works on one core; the threads that libraries would like to have cost memory alone.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
                # A session of its own: a Ctrl-C in the terminal is for us, and then we end it.
                start_new_session=True,
            )
        self._pipe: Connection = Connection(ours.detach())

    @property
    def is_alive(self) -> bool:
        """Whether it can be called."""
        return not self._pipe.closed

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Crew.call`, in this child."""
        answered = False
        try:
            self._pipe.send(Task(function, args, kwargs))
            await _readable(self._pipe.fileno())
            answer = self._pipe.recv()
            answered = True
        except (EOFError, OSError) as error:
            await self.end()
            raise ChildDied(f"A child ended in {function.__name__} with {_how(self._process.returncode)}.") from error
        finally:
            if not answered and self.is_alive:
                await self.end()
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    async def end(self) -> None:
        """Kills it; at return nothing of it is left."""
        self._pipe.close()
        self._process.kill()
        # Not here: a process that has a gigabyte takes a moment to be gone.
        await asyncio.shield(asyncio.to_thread(self._process.wait))


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"status {code}"
