"""The sweep over every boundary: begun, its hits counted, and its lives led to where they come to grief."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stentor.testing.databases import TestDatabases
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.life import prepare
from stentor.testing.torture.nemesis import IN_FLIGHT_MAX
from stentor.testing.torture.sweep import NeverCame, Sweep
from stentor.testing.torture.verdict import Verdict

# What only the heir of a dead life comes to, and what only a worker that is told to stop.
AFTER_A_DEATH = {"recover.revoked", "recover.before_commit", "recover.after_commit"}
# What only a worker comes to whose commit of a wave was not heard of.
IN_IGNORANCE = {"unstarted.before_commit", "unstarted.after_commit"}
IN_HASTE = {"release.before_commit", "release.after_commit"}


@contextmanager
def sweeping(
    databases: TestDatabases, folder: Path, *, without: Iterable[str] = (), in_flight_max: int = IN_FLIGHT_MAX
) -> Iterator[Sweep]:
    """Ready to sweep, beside a relay `without` these extensions and a receiver of webhooks."""
    with (
        SinkProcess(folder / "mail", without=without) as sink,
        HttpSinkProcess(folder / "hooked") as hooks,
        databases.migrated() as dsn,
    ):
        brand_id = prepare(dsn, sink.port, hooks.port)
        yield Sweep(
            databases,
            dsn,
            brand_id,
            port=sink.port,
            hooks_port=hooks.port,
            folder=folder,
            in_flight_max=in_flight_max,
        )


def hits_of(sweep: Sweep) -> dict[str, int]:
    """How often a life comes to each place, if only in trouble."""
    return sweep.hits() | dict.fromkeys(AFTER_A_DEATH | IN_IGNORANCE | IN_HASTE, 1)


def struck(sweep: Sweep, action: str, point: str, hit: int) -> Verdict:
    """What came of it there; at the hit before, where this life came there less often than the one whose hits were counted.

    What starts by the clock falls together with other work in one life, and has a claim of its own in the next.
    """
    after = "wave.after_commit=kill@1" if point in AFTER_A_DEATH else ""
    once = "wave.before_commit=deafen@1" if point in IN_IGNORANCE else ""
    while True:
        try:
            return sweep.struck(action, point, hit, after=after, once=once, is_hasty=point in IN_HASTE)
        except NeverCame:
            if hit == 1:
                raise
            hit -= 1
