"""File locks between the processes that use one embedded database.

Each user holds `users.lock` shared; the supervisor holds `supervisor.lock` alone and stops PostgreSQL when it can take
`users.lock` alone too. The kernel gives both back when a process dies, however it dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def try_shared(path: Path) -> int | None:
    """A descriptor that holds the lock together with others, or None while somebody holds it alone."""
    return _lock(path, fcntl.LOCK_SH | fcntl.LOCK_NB)


def try_exclusive(path: Path) -> int | None:
    """A descriptor that alone holds the lock, or None while others hold it."""
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held_alone(path: Path) -> Iterator[bool]:
    """Holds the lock for the length of the block; False, and nothing held, when another process or block has it."""
    descriptor = try_exclusive(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def wait_exclusive(path: Path) -> int:
    """A descriptor that alone holds the lock; blocks the calling thread until then."""
    descriptor = _lock(path, fcntl.LOCK_EX)
    if descriptor is None:
        raise RuntimeError("A blocking lock was refused.")
    return descriptor


def _lock(path: Path, operation: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
