"""Databases for tests: one server per run, one migrated template, a clone of it for each test."""

import asyncio
import fcntl
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stentor.db.embedded import ensure_running
from stentor.db.home import Home
from stentor.db.locks import try_exclusive, wait_exclusive
from stentor.db.migrate import migrate

_PREFIX = "stentor-test-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the run's directory there is named like any temporary one
_MEMORY_FREE_BYTES_MIN = 8 << 30
_STOP_WITHIN_S = 30.0
_DISCONNECT: LiteralString = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


class TestRun:
    """A directory that all processes of one test run share, with the run's server in it."""

    __test__ = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / "data"

    @classmethod
    @contextmanager
    def begun(cls) -> Iterator["TestRun"]:
        """A new run; at its end the server is stopped and the directory removed. Also removes what killed runs left."""
        place = _place()
        for left in place.glob(f"{_PREFIX}*"):
            cls(left)._remove_if_over()  # noqa: SLF001 - of our own class
        unnamed = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=place))
        # PostgreSQL runs as another account when the tests run as root, and has to get through.
        unnamed.chmod(0o711)
        with _locked(unnamed):
            # Only now do other runs see it, who would take a directory that nobody holds for one that was left.
            run = cls(unnamed.rename(unnamed.with_name(unnamed.name[1:])))
            try:
                yield run
            finally:
                run._remove()

    def _remove_if_over(self) -> None:
        # Others may be removing the same, and what a killed run left running is no reason to stop this one.
        with suppress(FileNotFoundError, BlockingIOError, PermissionError, TimeoutError), _locked(self.path):
            self._remove()

    def _remove(self) -> None:
        if Home(self.data).path.exists():
            _await_free(Home(self.data).supervisor_lock)
        shutil.rmtree(self.path)


class TestDatabases:
    """Makes and drops databases on one server."""

    __test__ = False

    def __init__(
        self,
        run: TestRun,
        admin: "psycopg.Connection[tuple[object, ...]]",
        dsn: str,
        direct: str,
        template: str | None = None,
    ) -> None:
        self._run = run
        self._others = template
        self._admin = admin
        self._dsn = dsn
        self._direct = direct
        self._numbers = itertools.count(1)
        self._prefix = run.path.name.replace("-", "_").lower()

    @classmethod
    @contextmanager
    def served(
        cls, run: TestRun, url: str | None, direct: str | None = None, template: str | None = None
    ) -> Iterator["TestDatabases"]:
        """On the server at `url` (a superuser's), or on the run's own, which the first process that asks starts.

        `direct` is the server's own address, where `url` is a pooler's. `template` names a migrated database there that is
        somebody else's, instead of one of the run's own.
        """
        if url is None:
            with ensure_running(run.data) as server, cls.served(run, server.dsn()) as databases:
                yield databases
        else:
            with psycopg.connect(url, autocommit=True) as admin:
                yield cls(run, admin, url, direct or url, template)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The DSN of a database without any table."""
        with self._database("template0") as dsn:
            yield dsn

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The DSN of a database with the present schema and nobody's data."""
        # A clone takes 55 ms and truncating 45 tables 50 ms (2 cores), and a clone keeps what the migrations inserted.
        with self._database(self.template()) as dsn:
            yield dsn

    @contextmanager
    def copied(self, dsn: str) -> Iterator[str]:
        """The DSN of a copy of that database, which nobody works in at the moment."""
        name = str(conninfo_to_dict(dsn)["dbname"])
        # Poolers stay connected, and what somebody is connected to cannot be cloned.
        self._admin.execute(_DISCONNECT, [name])
        with self._database(name) as copy:
            yield copy

    def past_pooler(self, dsn: str) -> str:
        """The same database by its server's own address."""
        return make_conninfo(self._direct, dbname=str(conninfo_to_dict(dsn)["dbname"]))

    def drop_template(self) -> None:
        """For servers that live on after the run."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", f"{self._prefix}_template")

    def template(self) -> str:
        """The name of the migrated database that others are cloned from, made by whoever asks first."""
        if self._others is not None:
            return self._others
        name = f"{self._prefix}_template"
        lock = wait_exclusive(self._run.path / "template.lock")
        try:
            made = self._run.path / "template.made"
            if not made.exists():
                self.drop_template()
                self._execute("CREATE DATABASE {} TEMPLATE template0", name)
                dsn = make_conninfo(self._dsn, dbname=name)
                asyncio.run(migrate(dsn))
                with psycopg.connect(dsn) as conn:
                    # At whatever time a test lives, its database was there before.
                    conn.execute("UPDATE schema_migration SET applied_at = 'epoch'")
                # A database that somebody is connected to cannot be cloned, and poolers stay connected.
                self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
                self._admin.execute(_DISCONNECT, [name])
                made.touch()
        finally:
            os.close(lock)
        return name

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        name = f"{self._prefix}_{os.getpid()}_{next(self._numbers)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield make_conninfo(self._dsn, dbname=name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: LiteralString, *databases: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, databases)))


def _place() -> Path:
    """Where runs are: in memory where there is room.

    Making and dropping a clone, 400 files, takes 40 ms there and 50 to 300 on a disk, and thousands of tests have one each.
    What is about disks and their syncs has directories of its own.
    """
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        memory = os.statvfs(_MEMORY)
        # PostgreSQL's programs are copied there too, to be run.
        if not memory.f_flag & os.ST_NOEXEC and memory.f_bavail * memory.f_frsize >= _MEMORY_FREE_BYTES_MIN:
            return _MEMORY
    return Path(tempfile.gettempdir())


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Holds a directory alone. Raises BlockingIOError when another process holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _await_free(lock: Path) -> None:
    until = time.monotonic() + _STOP_WITHIN_S
    while (descriptor := try_exclusive(lock)) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"PostgreSQL did not stop within {_STOP_WITHIN_S:.0f} s; see the logs beside {lock}.")
        time.sleep(0.02)
    os.close(descriptor)
