"""SIGTERM while messages are on the wire: 30 s for their answers, then what has none is in doubt and the rest goes on later."""

from pathlib import Path

import pytest

from relayed import LOOPBACK, WAVES_OPEN, relayed
from served import PATIENCE_S, eventually, serving
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.cast import connections_to
from stentor.testing.torture.nemesis import IN_FLIGHT_MAX

pytestmark = [pytest.mark.prove, pytest.mark.timeout(400)]

PEOPLE = 1_500
# So slow that there is a middle to be ended in.
PACE_PER_S = 300


def test_a_server_that_is_told_to_end_drains_and_nobody_is_lost_or_doubled(tmp_path: Path):
    with (
        SinkProcess(tmp_path / "mail") as sink,
        relayed(sink, tmp_path, "nfl", people=PEOPLE, pace_per_s=PACE_PER_S) as running,
    ):
        execution_id = running.served.run("nfl")
        eventually(lambda: sum(1 for _ in sink.stored()) > PEOPLE // 5)
        with sink.standing_still():
            eventually(lambda: running.first(WAVES_OPEN))
            connections = sum(connections_to(worker, sink.port) for worker in running.served.pids("worker"))

            code = running.served.stop()

            open_waves = running.first("SELECT count(*) FROM wave WHERE settled_at IS NULL")
            in_doubt = running.first("SELECT count(*) FROM send WHERE state = 5")
        with serving(running.data, environment=LOOPBACK):
            eventually(lambda: running.first("SELECT ended_at FROM execution WHERE id = %s", execution_id), PATIENCE_S)
        handed_over = running.handed_over(execution_id)
        unknown = running.first("SELECT count(*) FROM send WHERE state = 5")
    arrived = [stored.recipient for stored in sink.stored()]

    assert (code, open_waves) == (0, 0)
    assert 0 < in_doubt <= IN_FLIGHT_MAX * connections
    assert unknown == in_doubt
    assert len(handed_over) + unknown == PEOPLE
    assert handed_over <= set(arrived)
    assert len(arrived) == len(set(arrived))
