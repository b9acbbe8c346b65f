"""PostgreSQL of our own, started by whoever needs it first and shared by all processes that use one data directory."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import make_conninfo

from stentor.db.binaries import find_binaries, reachable_binaries
from stentor.db.cluster import (
    ROLE,
    check_cluster,
    create_cluster,
    read_password,
    read_sockets,
    socket_directory,
    write_config,
)
from stentor.db.home import Account, DatabaseRefused, Home
from stentor.db.locks import try_exclusive, try_shared, wait_exclusive
from stentor.db.postmaster import read_postmaster
from stentor.errors import Problem

log = structlog.get_logger()

Progress = Callable[[str], None]

DATABASE = "stentor"

_LOOK_EVERY_S = 0.02
# A wait is told of once a second, and not at all when it is shorter than that.
_TELL_EVERY_S = 1.0
# A supervisor that ends at once is started a second time, in case it was killed; after that its reason is shown.
_LAUNCHES_MAX = 2
_PAUSE_BETWEEN_LAUNCHES_S = 1.0
_LOG_TAIL_LINES = 10


class EmbeddedServer:
    """A running PostgreSQL, kept running for this process until `release` or the process's end."""

    def __init__(self, home: Home, users_lock: int, watch: "_Watch") -> None:
        self._home = home
        self._users_lock: int | None = users_lock
        self._watch = watch

    def dsn(self, database: str = DATABASE) -> str:
        """How to connect; it stays valid through restarts of the server. It holds the password: never log it."""
        return _dsn(self._home, database)

    def release(self) -> None:
        """Says that this process needs the server no longer. With its last user's word the server stops."""
        if self._users_lock is not None:
            self._watch.end()
            os.close(self._users_lock)
            self._users_lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def ensure_running(
    data: Path, *, bin_dir: Path | None = None, progress: Progress = lambda _sentence: None
) -> EmbeddedServer:
    """The server of a data directory, made and started when need be, ready for connections.

    `bin_dir` names other PostgreSQL programs than the wheel's. `progress` is told once a second what is waited for;
    recovery after a crash may take as long as it needs. Raises DatabaseRefused with what to do when it cannot run here.
    """
    home = Home(data)
    launcher = _Launcher(home, home.make(), bin_dir, progress)
    waiting = _Waiting(progress)
    while (users_lock := try_shared(home.users_lock)) is None:
        waiting.tell("the database is being stopped by the last process that used it")
    try:
        launcher.await_ready(waiting)
    except BaseException:
        os.close(users_lock)
        raise
    return EmbeddedServer(home, users_lock, _Watch(launcher))


class _Launcher:
    def __init__(self, home: Home, account: Account, bin_dir: Path | None, progress: Progress) -> None:
        self.home = home
        self._account = account
        self._bin_dir = bin_dir
        self._progress = progress

    def await_ready(self, waiting: "_Waiting") -> None:
        launches = 0
        while True:
            lock = try_exclusive(self.home.supervisor_lock)
            if lock is not None:
                try:
                    if launches == _LAUNCHES_MAX:
                        raise DatabaseRefused(f"PostgreSQL does not start. Its last words:\n{_last_words(self.home)}")
                    self.launch(lock)
                    launches += 1
                finally:
                    os.close(lock)
            if (obstacle := _obstacle(self.home)) is None:
                return
            waiting.tell(obstacle)

    def launch(self, lock: int) -> None:
        """Starts a supervisor and leaves it the supervisor's lock, without a moment in which nobody has it."""
        home = self.home
        binaries = find_binaries(self._bin_dir)
        if not home.cluster.exists():
            self._progress("The database is being made")
        binaries = reachable_binaries(binaries, home.path, self._account)
        if not home.cluster.exists():
            create_cluster(home, binaries, self._account)
        check_cluster(home, binaries)
        write_config(home, binaries)
        command = [sys.executable, "-P", "-m", "stentor.db.supervisor"]
        command += ["--data", str(home.data), "--postgres", binaries.program("postgres")]
        command += ["--sockets", str(socket_directory(home, self._account))]
        command += ["--uid", str(self._account.uid), "--gid", str(self._account.gid)]
        with home.supervisor_log.open("wb") as words:
            subprocess.run(  # noqa: S603 - our own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                cwd=home.path,
                pass_fds=[lock],
                start_new_session=True,
                check=False,
            )


class _Watch:
    """Waits in the queue for the supervisor's lock, and starts a new supervisor should the present one be killed."""

    def __init__(self, launcher: _Launcher) -> None:
        self._launcher = launcher
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="embedded-postgres-watch", daemon=True).start()

    def end(self) -> None:
        # The thread itself waits on; it ends with the supervisor or with this process.
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                lock = wait_exclusive(self._launcher.home.supervisor_lock)
                try:
                    if not self._ended.is_set():
                        log.warning("database.supervisor_lost")
                        self._launcher.launch(lock)
                finally:
                    os.close(lock)
            except (OSError, subprocess.SubprocessError, Problem):
                log.exception("database.supervisor_not_started")
            self._ended.wait(_PAUSE_BETWEEN_LAUNCHES_S)


class _Waiting:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._since = time.monotonic()
        self._told = self._since

    def tell(self, obstacle: str) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            self._progress(f"{obstacle} ({now - self._since:.0f} s)")
        time.sleep(_LOOK_EVERY_S)


def _obstacle(home: Home) -> str | None:
    """What stands between us and a connection, or None when one was made."""
    postmaster = read_postmaster(home)
    if postmaster is None:
        return "PostgreSQL is being started"
    if not postmaster.ready:
        return "PostgreSQL is starting, and brings its files in order first if it was killed"
    try:
        psycopg.connect(_dsn(home, DATABASE), connect_timeout=5).close()
    except psycopg.OperationalError as error:
        sentence = " ".join(str(error).split())
        if "authentication failed" in sentence:
            raise DatabaseRefused(f"The password in {home.password} is not the database's: {sentence}") from error
        if f'"{DATABASE}" does not exist' not in sentence:
            return sentence
        _create_database(home)
    return None


def _create_database(home: Home) -> None:
    with (
        psycopg.connect(_dsn(home, "postgres"), autocommit=True) as conn,
        # Another process may see at the same moment that it is missing.
        suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation),
    ):
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _dsn(home: Home, database: str) -> str:
    # With the password spelled out, because a PGPASSWORD in the environment goes before any password file.
    return make_conninfo(
        "", host=str(read_sockets(home)), port=5432, user=ROLE, password=read_password(home), dbname=database
    )


def _last_words(home: Home) -> str:
    logs = sorted(home.logs.glob("*.log"), key=lambda file: file.stat().st_mtime)
    words: list[str] = []
    for file in (*logs[-1:], home.supervisor_log):
        words += file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return "\n".join(words)
