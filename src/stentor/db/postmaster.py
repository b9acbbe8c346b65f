"""What a running PostgreSQL says of itself on disk."""

from pathlib import Path

import msgspec

from stentor.db.home import Home


class Postmaster(msgspec.Struct, frozen=True):
    """What `postmaster.pid` says of the server that wrote it."""

    pid: int
    ready: bool


def read_postmaster(home: Home) -> Postmaster | None:
    """The running server, or None when no process of that number works in this cluster."""
    lines = _read(home)
    try:
        works_here = bool(lines) and Path(f"/proc/{lines[0]}/cwd").readlink() == home.cluster.resolve()
    except OSError:
        return None
    return Postmaster(pid=int(lines[0]), ready=len(lines) > 7 and lines[7] == "ready") if works_here else None


def discard_strangers_pid_file(home: Home) -> None:
    """Removes a stale `postmaster.pid` whose number belongs to another program by now.

    PostgreSQL would take that program for a running server and refuse to start: after a power failure now and then, in a
    restarted container always. A file of a dead process is left to PostgreSQL, which checks more than the number.
    """
    lines = _read(home)
    if lines and Path("/proc", lines[0]).exists() and read_postmaster(home) is None:
        home.postmaster_pid.unlink(missing_ok=True)


def _read(home: Home) -> list[str]:
    try:
        lines = [line.strip() for line in home.postmaster_pid.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    # It is written in several steps, of which the first is the number.
    return lines if lines and lines[0].isdecimal() else []
