"""What a running PostgreSQL says of itself on disk."""

from pathlib import Path

import msgspec

from stentor.db.home import Home


class Postmaster(msgspec.Struct, frozen=True):
    """What `postmaster.pid` says of the server that wrote it."""

    pid: int
    sockets: Path
    ready: bool


def read_postmaster(home: Home) -> Postmaster | None:
    """The running server, or None when no process of that number works in this cluster."""
    try:
        lines = home.postmaster_pid.read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
        # A number in a stale file may belong to another program by now, always so in a restarted container.
        if Path(f"/proc/{pid}/cwd").readlink() != home.cluster.resolve():
            return None
    except (OSError, ValueError, IndexError):
        return None
    return Postmaster(
        pid=pid,
        sockets=Path(lines[4]) if len(lines) > 4 else Path(),
        ready=len(lines) > 7 and lines[7].strip() == "ready",
    )
