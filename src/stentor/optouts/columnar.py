"""DuckDB, for files of entries: in the crew's children only, where its memory is bounded and its death survived.

It is loaded when a child first needs it: nobody else shall carry its 40 MB.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# In writing a file, and in spilling what goes beyond the memory.
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "max_temp_directory_size")


@contextmanager
def full_disks_named() -> Iterator[None]:
    """Turns what DuckDB says when the disk is full into the OSError that everybody else raises; other errors pass."""
    import duckdb  # noqa: PLC0415  see above

    try:
        yield
    except duckdb.Error as error:
        if not any(said in str(error) for said in _FULL):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def connect(
    memory_bytes: int, threads: int, temp: Path, *, directories: Sequence[Path] = (), keeps_order: bool = False
) -> "DuckDBPyConnection":
    """A database in memory that spills into the directory `temp` what goes beyond `memory_bytes`.

    It reads and writes files below `temp` and `directories`, and nothing else; no statement can change that, nor load
    extensions. With `keeps_order` rows keep theirs through a join, too, whose right side then has to be the
    small one. COPY takes bound parameters. What a cursor has is fetched whole before the next statement.
    """
    import duckdb  # noqa: PLC0415  see above

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_bytes}B",
            "threads": threads,
            "temp_directory": str(temp / "spilled"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "true",
        },
    )
    connection.execute("SET allowed_directories = ?", [[str(place) for place in (temp, *directories)]])
    # In this order: behind the last one nothing can be set.
    connection.execute("SET TimeZone = 'UTC'")
    if keeps_order:
        # They would let whichever side is smaller wait for the other one.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    # It would be drawn into the worker's log.
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
