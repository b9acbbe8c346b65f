"""The embedded server's cluster on disk: made whole or not at all, configured anew at each start."""

import os
import pwd
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from stentor.db.binaries import Binaries
from stentor.db.home import Account, DatabaseRefused, Home, sync_directory

ROLE = "stentor"

# sockaddr_un holds 107 bytes; PostgreSQL adds "/.s.PGSQL.5432.lock" to the directory.
_SOCKET_DIRECTORY_MAX = 107 - len("/.s.PGSQL.5432.lock")
_BUILTIN_LOCALE_SINCE = 17

_BUFFERS_MB_MIN, _BUFFERS_MB_MAX = 128, 2048
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

_SETTINGS = {
    "max_connections": "100",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    # A checkpoint in the middle of a run of a million people would write every page whole again.
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "16MB",
    # Everything of ours lies on solid state or in memory; at the default of 4 the planner prefers sequential scans.
    "random_page_cost": "1.1",
    # Our statements are short or set-based; compiling them costs more than it saves.
    "jit": "off",
    # Queue tables turn over within minutes; at the default of 20 % and one minute they would swell first.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_cost_limit": "2000",
    "idle_in_transaction_session_timeout": "60s",
    # A client that was stopped while it logged in holds up CREATE and DROP DATABASE this long.
    "authentication_timeout": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A week of logs at most. Neither parameters nor details of rows are logged: they hold addresses.
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_min_duration_statement": "2s",
    "log_startup_progress_interval": "1s",
}


def create_cluster(home: Home, binaries: Binaries, account: Account) -> None:
    """Makes the cluster under another name and renames it when it is on disk, so a crash leaves all of it or none."""
    shutil.rmtree(home.unfinished_cluster, ignore_errors=True)
    password = secrets.token_urlsafe(32)
    _write(home.password, f"*:*:*:{ROLE}:{password}\n", mode=0o600)
    maker = _account_with_name(account)
    home.make_private(home.unfinished_cluster, maker)
    _run(_initdb(home, binaries), password, maker)
    if maker != account:
        _hand_over(home.unfinished_cluster, account)
    home.unfinished_cluster.rename(home.cluster)
    sync_directory(home.path)


def check_cluster(home: Home, binaries: Binaries) -> None:
    """Raises DatabaseRefused when these programs cannot serve the cluster that is there."""
    made_by = (home.cluster / "PG_VERSION").read_text(encoding="utf-8").strip()
    if made_by != str(binaries.major):
        raise DatabaseRefused(
            f"The database in {home.cluster} was made by PostgreSQL {made_by}, and {binaries.bin} holds {binaries.major}."
            f" Name the programs of {made_by} by STENTOR_POSTGRES_BIN, or dump with them and load into a new --data."
        )
    if not home.password.exists():
        raise DatabaseRefused(f"{home.password} is missing; without the password in it nobody can use {home.cluster}.")


def read_password(home: Home) -> str:
    """The password of our role, from a file in libpq's format, so that it serves psql's `passfile` too."""
    return home.password.read_text(encoding="utf-8").strip().rsplit(":", 1)[1]


def write_config(home: Home, binaries: Binaries) -> None:
    """Writes the server's whole configuration; what an operator sets by ALTER SYSTEM goes before it."""
    settings = _SETTINGS | {
        "shared_buffers": f"{_buffers_mb()}MB",
        "log_directory": str(home.logs),
        "wal_compression": "lz4" if binaries.has_lz4 else "off",
    }
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    _write(home.config, "\n".join(["# Written at each start; change it with ALTER SYSTEM.", *lines, ""]), mode=0o644)


def _buffers_mb() -> int:
    """An eighth of the memory that this machine or container has.

    With 256 MB a million people did not fit, and planning ten times the people took thirteen times as long, not nine.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no cgroup v2, or "max": no limit
        there = min(there, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    return min(max(there // 8 >> 20, _BUFFERS_MB_MIN), _BUFFERS_MB_MAX)


def socket_directory(home: Home, account: Account) -> Path:
    """A directory for the socket that only `account` may enter: the same one at each start while it is to be had.

    It lies outside the data directory, whose path may be longer than a socket's may be. Raises DatabaseRefused when no
    short directory is writable.
    """
    if home.socket_record.exists():
        recorded = read_sockets(home)
        if _is_private(recorded, account) or _try_make(home, recorded, account):
            return recorded
    made = Path(tempfile.mkdtemp(prefix="stentor-", dir=_short_base()))
    os.chown(made, account.uid, account.gid)
    _write(home.socket_record, str(made), mode=0o600)
    return made


def read_sockets(home: Home) -> Path:
    """The directory that was chosen for the socket."""
    return Path(home.socket_record.read_text(encoding="utf-8"))


def _is_private(directory: Path, account: Account) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and stat.S_IMODE(found.st_mode) == 0o700


def _try_make(home: Home, directory: Path, account: Account) -> bool:
    try:
        home.make_private(directory, account)
    except OSError:
        return False
    return True


def _short_base() -> str:
    room_for_name = len("/stentor-12345678")
    bases = ["/run"] * (os.geteuid() == 0) + ["/tmp", tempfile.gettempdir()]  # noqa: S108 - mkdtemp makes it private
    for base in bases:
        if len(base.encode()) + room_for_name <= _SOCKET_DIRECTORY_MAX and os.access(base, os.W_OK | os.X_OK):
            return base
    raise DatabaseRefused(
        f"None of {', '.join(bases)} is writable and short enough for a socket; set TMPDIR to one that is."
    )


def _initdb(home: Home, binaries: Binaries) -> list[str]:
    locale = ["--locale=C.UTF-8"]
    if binaries.major >= _BUILTIN_LOCALE_SINCE:
        # PostgreSQL's own collation: the operating system's changes with upgrades and breaks indexes.
        locale.append("--locale-provider=builtin")
    return [
        binaries.program("initdb"),
        f"--pgdata={home.unfinished_cluster}",
        f"--username={ROLE}",
        "--auth=scram-sha-256",
        "--pwfile=/dev/stdin",
        "--encoding=UTF8",
        "--data-checksums",
        *locale,
    ]


def _account_with_name(account: Account) -> Account:
    """An account that initdb accepts: it wants a name in passwd, which the reserved uid has not."""
    if _has_name(account):
        return account
    if not account.is_ours:
        with suppress(KeyError):
            nobody = pwd.getpwnam("nobody")
            return Account(nobody.pw_uid, nobody.pw_gid)
    raise DatabaseRefused(
        f"initdb wants a name for uid {account.uid}. Add the uid to /etc/passwd, start Stentor as root,"
        " or use a server of your own by STENTOR_DATABASE_URL."
    )


def _has_name(account: Account) -> bool:
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        return False
    return True


def _hand_over(folder: Path, account: Account) -> None:
    os.chown(folder, account.uid, account.gid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)


def _run(command: list[str], said: str, account: Account) -> None:
    reading, writing = os.pipe()
    try:
        # initdb opens its standard input anew by name, which only a pipe's owner may.
        os.fchown(reading, account.uid, account.gid)
        os.write(writing, said.encode())
        os.close(writing)
        done = account.run(command, stdin=reading)
    except OSError as error:
        raise DatabaseRefused(f"{command[0]} cannot be run as uid {account.uid}: {error.strerror}.") from error
    finally:
        os.close(reading)
    if done.returncode:
        raise DatabaseRefused(f"The database could not be made: {(done.stderr or done.stdout).strip()}")


def _write(path: Path, text: str, *, mode: int) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)
    sync_directory(path.parent)
