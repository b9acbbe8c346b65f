"""Which database this installation uses: the one it is told of, or an embedded one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stentor.db.embedded import Progress, ensure_running


@contextmanager
def located_database(
    url: str | None,
    data: Path | None = None,
    *,
    bin_dir: Path | None = None,
    progress: Progress = lambda _sentence: None,
) -> Iterator[str]:
    """The DSN of the database at `url`, or of an embedded server that runs at least as long as the block.

    Raises DatabaseRefused when the embedded server cannot run here.
    """
    if url:
        yield url
    else:
        with ensure_running(data or default_data_directory(), bin_dir=bin_dir, progress=progress) as server:
            yield server.dsn()


def default_data_directory() -> Path:
    """`/var/lib/stentor` for root, else `stentor` in the user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/stentor")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stentor"
