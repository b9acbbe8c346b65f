"""At each boundary a process dies, freezes for longer than its lease, or hears no reply: the books balance all the same."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from stentor.testing.databases import TestDatabases
from stentor.testing.http_local import HttpSinkProcess
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.life import prepare
from stentor.testing.torture.sweep import NeverCame, Sweep, failpoints
from stentor.testing.torture.verdict import Verdict

pytestmark = pytest.mark.timeout(300)

LARGEST_WAVE = 99
"""At least: the first hundred of "news", less who has left by then; their sender leaves them in doubt."""

RESENDS = 3

# What only the heir of a dead life comes to, and what only a worker that is told to stop.
AFTER_A_DEATH = {"recover.revoked", "recover.before_commit", "recover.after_commit"}
IN_HASTE = {"release.before_commit", "release.after_commit"}


@pytest.fixture(scope="module")
def sweep(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    folder = tmp_path_factory.mktemp("sweep")
    with (
        SinkProcess(folder / "mail") as sink,
        HttpSinkProcess(folder / "hooked") as hooks,
        databases.migrated() as dsn,
    ):
        brand_id = prepare(dsn, sink.port, hooks.port)
        yield Sweep(databases, dsn, brand_id, sink.port, folder)


@pytest.fixture(scope="module")
def hits(sweep: Sweep) -> dict[str, int]:
    found = sweep.hits()
    return found | dict.fromkeys(AFTER_A_DEATH | IN_HASTE, 1)


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", failpoints())
def test_nobody_is_lost_or_doubled_when_a_process_is_killed(sweep: Sweep, hits: dict[str, int], point: str):
    assert hits[point], "No life comes to this place."

    for hit in chosen(hits[point], 3):
        verdict = struck(sweep, "kill", point, hit)
        assert verdict.certificate.broken == [], (hit, verdict.examples)


@pytest.mark.fault("F4")
@pytest.mark.parametrize("point", failpoints())
def test_nobody_is_lost_or_doubled_when_a_process_freezes_and_comes_back(
    sweep: Sweep, hits: dict[str, int], point: str
):
    verdict = struck(sweep, "freeze", point, hits[point] // 2 + 1)

    assert verdict.certificate.broken == [], verdict.examples


@pytest.mark.fault("F5")
@pytest.mark.parametrize("point", [point for point in failpoints() if point.endswith(".before_commit")])
def test_nobody_is_lost_doubled_or_in_doubt_when_the_reply_to_a_commit_is(
    sweep: Sweep, hits: dict[str, int], point: str
):
    for hit in chosen(hits[point], 4):
        verdict = struck(sweep, "deafen", point, hit)
        assert verdict.certificate.broken == [], (hit, verdict.examples)


def test_who_dies_with_its_journal_leaves_its_open_wave_in_doubt_as_a_whole(sweep: Sweep, hits: dict[str, int]):
    unknown = []
    for wave in range(1, hits["wave.after_commit"] + 1):
        with suppress(NeverCame):
            verdict = sweep.struck("kill", "wave.after_commit", wave, loses_journal=True)
            assert verdict.certificate.broken == [], (wave, verdict.examples)
            unknown.append(verdict.certificate.unknown)

    # With its journal nobody would be: nothing had left yet.
    assert max(unknown) >= LARGEST_WAVE


def test_a_resend_that_was_ordered_is_carried_out_whoever_dies_of_it(sweep: Sweep, hits: dict[str, int]):
    resent = 0
    for write in range(1, hits["smtp.after_write"] + 1):
        # The second order is for what was on the wire of the sender that asks; a death at other writes leaves it nothing.
        with suppress(NeverCame):
            verdict = sweep.struck("kill", "remedy.before_commit", 2, after=f"smtp.after_write=kill@{write}")
            assert verdict.certificate.broken == [], (write, verdict.examples)
            resent += 1
        if resent == RESENDS:
            return

    pytest.fail(f"{resent} lives came to a resend, not {RESENDS}.")


def struck(sweep: Sweep, action: str, point: str, hit: int) -> Verdict:
    """What came of it there; at the hit before, where this life came there less often than the one whose hits were counted.

    What starts by the clock falls together with other work in one life, and has a claim of its own in the next.
    """
    after = "wave.after_commit=kill@1" if point in AFTER_A_DEATH else ""
    while True:
        try:
            return sweep.struck(action, point, hit, after=after, is_hasty=point in IN_HASTE)
        except NeverCame:
            if hit == 1:
                raise
            hit -= 1


def chosen(hits: int, most: int) -> list[int]:
    """Every hit, or of many (each segment of each connection is one) the first ones and the last."""
    return [*range(1, hits + 1)] if hits <= most else [*range(1, most), hits]
