"""The child's side of `stentor.optouts.crew`: runs one function after the other, until its parent ends."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from stentor.db.kernel import end_with_parent

_NICE = 5
"""Whoever delivers messages, and the database, go first."""


class Task(NamedTuple):
    """What a child is to do."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Failed(NamedTuple):
    """What came of it instead of an answer."""

    error: Exception


def main() -> None:
    pipe: Connection[Any, Any] = Connection(int(sys.argv[1]))
    memory_bytes, parent = int(sys.argv[2]), int(sys.argv[3])
    # What it may have of its own; files that it maps are the kernel's to keep or to drop.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not end_with_parent(parent, signal.SIGKILL):
        return
    os.nice(_NICE)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            # Without the interpreter's farewell: DuckDB would count on stderr what it leaves behind.
            os._exit(0)
        _answer(pipe, task)


def _answer(pipe: Connection, task: Task) -> None:
    try:
        answer = task.function(*task.args, **task.kwargs)
    except Exception as error:  # noqa: BLE001  told to whoever called
        answer = Failed(_plain(error))
    try:
        pipe.send(answer)
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001  an error may hold what cannot be sent
        pipe.send(Failed(RuntimeError(f"{answer!r} cannot be sent: {error}")))


def _plain(error: Exception) -> Exception:
    """The error as its parent can have it, who does not load what we load to name it."""
    if type(error).__module__.partition(".")[0] in {"builtins", "stentor"}:
        return error
    kind = MemoryError if isinstance(error, MemoryError) else RuntimeError
    return kind(f"{type(error).__name__}: {error}")
