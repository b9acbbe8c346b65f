"""kill -9 of every worker while messages are on the wire: nobody lost, nobody doubled, and who is in doubt is named."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayed import WAVES_OPEN, Relayed, relayed
from served import eventually
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
    with relayed(sink, tmp_path, "nfl", people=PEOPLE, pace_per_s=PACE_PER_S) as running:
        execution_id = running.served.run("nfl")
        eventually(lambda: sum(1 for _ in sink.stored()) > PEOPLE // 5)

        on_the_wire = kill_workers_in_the_middle(running, sink)

        (email,) = running.served.ended(execution_id)["channels"]
        journals_lost = running.first("SELECT count(*) FROM wave WHERE lost")
        named = running.handed_over(execution_id)
    arrived = [stored.recipient for stored in sink.stored()]

    assert email["audience"] == email["handed_over"] + email["unknown"] == PEOPLE
    assert journals_lost == 0
    assert email["unknown"] <= on_the_wire
    assert on_the_wire > 0
    assert len(arrived) == len(set(arrived))
    assert named <= set(arrived)
    assert len(named) == email["handed_over"]
    assert len(arrived) <= PEOPLE


def kill_workers_in_the_middle(running: Relayed, sink: SinkProcess) -> int:
    """While the sink stands still a wave is open and cannot be settled; what was sent is taken after the workers' death.

    Returns the most that they can have had on the wire.
    """
    with sink.standing_still():
        eventually(lambda: running.first(WAVES_OPEN))
        workers = running.served.pids("worker")
        connections = sum(connections_to(worker, sink.port) for worker in workers)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
    return IN_FLIGHT_MAX * connections
