"""What the proofs stand on: Debian's PostgreSQL and PgBouncer, started here and ended here, beside the machine's own."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stentor.db.embedded import ensure_running
from stentor.db.home import Home
from stentor.testing.databases import TestRun
from stentor.testing.waiting import eventually

_DEBIANS_POSTGRESQL = Path("/usr/lib/postgresql")
_OLDEST = 15
_PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

_PGBOUNCER_INI = """\
[databases]
* = host={host} port={port}
[pgbouncer]
unix_socket_dir = {directory}
listen_port = {port}
auth_type = scram-sha-256
auth_file = {directory}/users.txt
pool_mode = transaction
max_client_conn = 500
default_pool_size = 10
"""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stops before the first proof where one of them could not be run; nothing is left out in silence."""
    on_debians = any("debian_server" in getattr(item, "fixturenames", ()) for item in session.items)
    on_bad_disks = any(item.get_closest_marker("bad_disks") for item in session.items)
    missing = []
    if on_debians and not (_PGBOUNCER and _postgresql_bin()):
        missing += ["postgresql", "pgbouncer"]
    if on_bad_disks and not shutil.which("strace"):
        missing += ["strace"]
    if missing:
        pytest.exit(
            "Some proofs need programs that are not here. Install them as root and start again:"
            f" apt-get install -y {' '.join(missing)}",
            returncode=3,
        )
    if on_bad_disks and os.geteuid() != 0:
        pytest.exit(
            "Some proofs mount file systems and make writes fail, as root alone may. Run as root: make prove",
            returncode=3,
        )


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that PostgreSQL's account may pass through."""
    made = Path(tempfile.mkdtemp(prefix="stentor-prove-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=["direct", "pgbouncer"])
def debian_server(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """How the suite is told of a server made of Debian's programs, spoken to directly or through its PgBouncer."""
    programs = _postgresql_bin()
    # Backups are restored by programs of the server's own version: newer ones say what an old server does not know.
    told = {"STENTOR_POSTGRES_BIN": str(programs)}
    with TestRun.begun() as run, ensure_running(run.data, bin_dir=programs) as server:
        if request.param == "direct":
            yield told | {"STENTOR_TEST_DATABASE_URL": server.dsn()}
        else:
            with _pgbouncer(run, server.dsn()) as dsn:
                yield told | {"STENTOR_TEST_DATABASE_URL": dsn, "STENTOR_TEST_DIRECT_URL": server.dsn()}


def _postgresql_bin() -> Path | None:
    """The programs of the oldest installed version that Stentor supports."""
    found = {int(each.parent.name): each for each in _DEBIANS_POSTGRESQL.glob("[0-9]*/bin")}
    return min(((major, each) for major, each in found.items() if major >= _OLDEST), default=(0, None))[1]


@contextmanager
def _pgbouncer(run: TestRun, server_dsn: str) -> Iterator[str]:
    server = conninfo_to_dict(server_dsn)
    # It refuses to run as root too, and has to get to the server's socket.
    owner = Home(run.data).cluster.stat()
    directory = run.path / "pgbouncer"
    directory.mkdir(mode=0o700)
    ini, users = directory / "pgbouncer.ini", directory / "users.txt"
    ini.write_text(_PGBOUNCER_INI.format(host=server["host"], port=server["port"], directory=directory))
    users.write_text(f'"{server["user"]}" "{server["password"]}"\n')
    for each in (directory, ini, users):
        os.chown(each, owner.st_uid, owner.st_gid)
    is_ours = owner.st_uid == os.geteuid()
    pooler = subprocess.Popen(
        [str(_PGBOUNCER), "--quiet", str(ini)],
        user=None if is_ours else owner.st_uid,
        group=None if is_ours else owner.st_gid,
        extra_groups=None if is_ours else [],
    )
    try:
        dsn = make_conninfo(server_dsn, host=str(directory))
        asyncio.run(eventually(lambda: _answers(dsn)))
        yield dsn
    finally:
        pooler.terminate()
        pooler.wait(timeout=10)


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError as error:
        raise AssertionError(str(error)) from error
    return True
