"""`stentor serve` as its users have it: one command, one address, keys once; and nothing left when it ends."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from served import PATIENCE_S, STENTOR, Served, eventually, is_over, make_campaign, serving
from stentor.cli.premises import temporary_directory
from stentor.db.home import Home
from stentor.db.locks import try_exclusive

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with temporary_directory() as made:
        yield made


@pytest.fixture(scope="module")
def served(data: Path) -> Iterator[Served]:
    with serving(data) as running:
        make_campaign(running, "nfl")
        running.native("POST", "/customers", json={"external_id": "ann", "email": "ann@example.org"})
        running.native("PUT", "/customers/ann/subscriptions/nfl", json={})
        yield running


def test_the_first_call_with_the_printed_keys_arrives_in_the_inbox(served: Served):
    execution = served.ended(served.run("nfl"))

    (email,) = execution["channels"]
    assert (execution["audience_size"], email["handed_over"]) == (1, 1)
    assert "Reds vs Blues" in str(served.native("GET", "/inbox/messages"))


def test_a_killed_api_answers_again(served: Served):
    (api,) = served.pids("api")

    os.kill(api, signal.SIGKILL)
    (successor,) = eventually(lambda: [pid for pid in served.pids("api") if pid != api])
    eventually(lambda: _answers(served))

    assert successor != api
    assert served.ended(served.run("nfl"))["audience_size"] == 1


def test_killed_workers_are_replaced(served: Served):
    workers = served.pids("worker")

    for worker in workers:
        os.kill(worker, signal.SIGKILL)

    assert served.ended(served.run("nfl"))["channels"][0]["handed_over"] == 1
    assert len(eventually(lambda: set(served.pids("worker")) - set(workers))) <= len(workers) == 2


def test_sigterm_ends_every_process_and_the_database():
    with temporary_directory() as data, serving(data) as running:
        processes = [*running.pids("api"), *running.pids("worker")]

        code = running.stop()

        assert code == 0
        assert len(processes) == 3
        assert [pid for pid in processes if not is_over(pid)] == []
        eventually(lambda: _is_stopped(data))


def test_keys_are_printed_at_the_first_start_alone(served: Served, data: Path):
    # Two may run on one data directory: they share the database that the first one started.
    with serving(data, "--workers", "0") as again:
        assert set(again.told) == {"url"}

    assert set(served.told) == {"url", "group_id", "brand_key", "token", "api_key", "owner_link"}


def test_a_port_in_use_is_told_of_before_anything_starts(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        started = subprocess.run(
            [*STENTOR, "serve", "--data", str(tmp_path / "data"), "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    assert started.returncode == 1
    assert started.stderr == (
        f"stentor: 127.0.0.1:{port} cannot be listened on: Address already in use."
        " Choose others with --host and --port.\n"
    )
    assert not (tmp_path / "data").exists()


def _answers(served: Served) -> bool:
    try:
        return "key" in served.native("GET", "/topics/nfl")
    except httpx.HTTPError:
        return False


def _is_stopped(data: Path) -> bool:
    lock = try_exclusive(Home(data).supervisor_lock)
    if lock is None:
        return False
    os.close(lock)
    return True
