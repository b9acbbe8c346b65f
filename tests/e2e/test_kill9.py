"""kill -9 of every worker while messages are on the wire: nobody lost, nobody doubled, and who is in doubt is named."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from served import Served, add_fans, command_on, eventually, make_campaign, serving
from stentor.cli.premises import temporary_directory
from stentor.db.embedded import ensure_running
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.cast import connections_to
from stentor.testing.torture.nemesis import IN_FLIGHT_MAX

pytestmark = pytest.mark.timeout(400)

PEOPLE = 1_500
# So slow that there is a middle to be killed in.
PACE_PER_S = 300


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SinkProcess]:
    with SinkProcess(tmp_path / "mail") as running:
        yield running


@pytest.mark.fault("F1")
def test_nobody_is_lost_or_doubled_when_all_workers_are_killed_with_messages_on_the_wire(
    sink: SinkProcess, tmp_path: Path
):
    with (
        temporary_directory() as data,
        serving(data, environment={"STENTOR_ALLOW_LOOPBACK": "1"}) as served,
        ensure_running(data) as server,
        psycopg.connect(server.dsn(), autocommit=True) as conn,
    ):
        command_on(data, "brand", "set", "My brand", "from_address=news@example.com")
        make_campaign(served, "nfl", sender_id=add_relay(served, sink.port))
        add_fans(data, tmp_path, "nfl", PEOPLE)
        execution_id = served.run("nfl")
        eventually(lambda: sum(1 for _ in sink.stored()) > PEOPLE // 5)

        on_the_wire = kill_workers_in_the_middle(served, sink, conn)

        (email,) = served.ended(execution_id)["channels"]
        (journals_lost,) = first(conn, "SELECT count(*) FROM wave WHERE lost")
        named = {address for (address,) in conn.execute(HANDED_OVER, [execution_id])}
    arrived = [stored.recipient for stored in sink.stored()]

    assert email["audience"] == email["handed_over"] + email["unknown"] == PEOPLE
    assert journals_lost == 0
    assert email["unknown"] <= on_the_wire
    assert on_the_wire > 0
    assert len(arrived) == len(set(arrived))
    assert named <= set(arrived)
    assert len(named) == email["handed_over"]
    assert len(arrived) <= PEOPLE


HANDED_OVER = (
    "SELECT c.email FROM send s JOIN customer c ON c.part = s.part AND c.customer_id = s.customer_id"
    " WHERE s.execution_id = %s AND s.state = 2"
)


def add_relay(served: Served, port: int) -> str:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "envelope_from": "bounces@example.com"}
    relay = {"name": "Sink", "channel": "email", "kind": "smtp", "settings": settings, "pace_per_s": PACE_PER_S}
    return served.native("POST", "/senders", json=relay)["id"]


def kill_workers_in_the_middle(served: Served, sink: SinkProcess, conn: "psycopg.Connection[Any]") -> int:
    """While the sink stands still a wave is open and cannot be settled; what was sent is taken after the workers' death.

    Returns the most that they can have had on the wire.
    """
    with sink.standing_still():
        eventually(lambda: first(conn, WAVES_OPEN)[0])
        workers = served.pids("worker")
        connections = sum(connections_to(worker, sink.port) for worker in workers)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    return IN_FLIGHT_MAX * connections


WAVES_OPEN = "SELECT count(*) FROM wave WHERE settled_at IS NULL AND opened_at < now() - interval '1 s'"


def first(conn: "psycopg.Connection[Any]", query: Any) -> tuple[Any, ...]:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row
