"""Disks that are full, and disks that fail, under a running Stentor: nothing half accepted, and no human needed afterwards."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from served import CONTEXT, PATIENCE_S, RUN, Served, eventually, make_campaign, serving
from stentor.db.embedded import ensure_running
from stentor.db.home import Home
from stentor.db.postmaster import read_postmaster

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600), pytest.mark.bad_disks]

KEPT_FREE_BYTES = 64_000_000
SETTINGS = {"STENTOR_MIN_FREE_BYTES": str(KEPT_FREE_BYTES), "STENTOR_WORKERS": "1", "STENTOR_LOG_LEVEL": "error"}
TOPIC = "reds"


class Backend:
    """Calls under keys of their own, and remembers what it was told."""

    def __init__(self, served: Served, client: httpx.Client) -> None:
        self._served = served
        self._client = client
        self._numbers = itertools.count()
        self.accepted: dict[str, bytes] = {}
        self.refused: list[str] = []

    def call(self, key: str = "") -> bool:
        """One call; whether it was accepted. What is not, is refused with 503 and a time to come back."""
        key = key or f"call-{next(self._numbers)}"
        told = self._served.told
        headers = {"x-api-key": told["api_key"], "x-brand-key": told["brand_key"], "Idempotency-Key": key}
        answer = self._client.post(RUN, headers=headers, json={"topic_key": TOPIC, "context": CONTEXT})
        if answer.status_code == httpx.codes.ACCEPTED:
            assert self.accepted.setdefault(key, answer.content) == answer.content
            return True
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
        self.refused.append(key)
        return False

    def is_refused(self) -> bool:
        """Calls once more."""
        return not self.call()

    def is_accepted(self) -> bool:
        """Repeats what was refused last, as clients do."""
        return self.call(self.refused[-1])

    def check_books(self, data: Path) -> None:
        """Repeats everything: each call has one execution, the one that was told of."""
        for key in [*self.accepted, *self.refused]:
            assert self.call(key)
        with ensure_running(data) as server, psycopg.connect(server.dsn()) as conn:
            (executions,) = conn.execute("SELECT count(*) FROM execution").fetchone() or (0,)
        assert executions == len(self.accepted)


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[None]:
    """A file system of that size, mounted there."""
    place.mkdir(mode=0o711, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, but_bytes: int = 0) -> Path:
    """A file that takes all room there is, or leaves so much."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while shutil.disk_usage(disk).free > but_bytes:
            file.write(bytes(min(1 << 20, shutil.disk_usage(disk).free - but_bytes)))
            file.flush()
    return ballast


def use_up(data: Path) -> None:
    """Lets PostgreSQL begin another file of its log, as 16 MB of calls would."""
    with suppress(psycopg.Error), ensure_running(data) as server, psycopg.connect(server.dsn()) as conn:
        conn.execute("SELECT pg_switch_wal()")


def survives(data: Path, break_it: Callable[[], Callable[[], object]], *, wear: Callable[[Path], None]) -> None:
    """Calls until something is refused, mends what was broken, and calls on."""
    with (
        serving(data, environment=SETTINGS) as served,
        httpx.Client(base_url=served.told["url"], timeout=PATIENCE_S) as client,
    ):
        make_campaign(served, TOPIC)
        backend = Backend(served, client)
        assert all(backend.call() for _ in range(20))

        mend = break_it()
        try:
            eventually(lambda: wear(data) or backend.is_refused())
            assert client.get("/health").status_code == httpx.codes.OK
        finally:
            mend()

        eventually(backend.is_accepted)
        backend.check_books(data)


@pytest.mark.fault("F10")
def test_a_full_data_directory_refuses_and_recovers(place: Path):
    disk = place / "disk"
    with small_disk(disk, 400):
        survives(disk / "data", lambda: fill(disk).unlink, wear=use_up)


@pytest.mark.fault("F10")
def test_a_disk_of_the_log_that_is_full_refuses_and_recovers(place: Path):
    data, disk = place / "data", place / "disk"
    with small_disk(disk, 160):
        ensure_running(data).release()
        eventually(lambda: read_postmaster(Home(data)) is None)
        move_log(data, disk / "pg_wal")
        survives(data, lambda: fill(disk).unlink, wear=use_up)


@pytest.mark.fault("F10")
def test_a_file_is_turned_away_before_the_disk_is_full(place: Path):
    disk = place / "disk"
    with small_disk(disk, 400), serving(disk / "data", environment=SETTINGS) as served:
        job = served.native("POST", "/imports", json={"kind": "customers", "format": "csv", "source": "people"})
        content = "external_id\nperson-1\n"
        url = f"{served.told['url']}/v1/groups/{served.told['group_id']}/imports/{job['id']}/content"
        headers = {"Authorization": f"Bearer {served.told['token']}", "Content-Type": "text/csv"}

        ballast = fill(disk, but_bytes=KEPT_FREE_BYTES // 2)
        refused = httpx.put(url, content=content, headers=headers)
        ready = httpx.get(f"{served.told['url']}/ready")
        ballast.unlink()
        taken = httpx.put(url, content=content, headers=headers)

        assert refused.status_code == httpx.codes.INSUFFICIENT_STORAGE
        assert "MB left" in ready.json()["disk"]
        assert taken.json()["added"] == 1


@pytest.mark.fault("F11")
def test_an_fsync_that_fails_loses_nothing_that_was_acknowledged(place: Path):
    data = place / "data"
    survives(data, lambda: failing_fsync(data), wear=lambda _data: None)


def failing_fsync(data: Path) -> Callable[[], object]:
    """From now on the disk reports an error for what any of PostgreSQL's processes wants written."""
    postmaster = read_postmaster(Home(data))
    assert postmaster is not None
    children = Path(f"/proc/{postmaster.pid}/task/{postmaster.pid}/children").read_text(encoding="ascii").split()
    traced = [argument for pid in (str(postmaster.pid), *children) for argument in ("-p", pid)]
    calls = "fsync,fdatasync"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
    strace = subprocess.Popen([*command, *traced], stderr=sys.stderr)

    def stop() -> None:
        strace.terminate()
        strace.wait(PATIENCE_S)

    return stop


def move_log(data: Path, to: Path) -> None:
    """Puts the cluster's log on another disk, as operators do; nobody uses the cluster."""
    log = Home(data).cluster / "pg_wal"
    owner = log.stat()
    shutil.copytree(log, to)
    for each in (to, *to.rglob("*")):
        os.chown(each, owner.st_uid, owner.st_gid)
    to.chmod(0o700)
    shutil.rmtree(log)
    log.symlink_to(to)
