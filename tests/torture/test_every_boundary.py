"""At each boundary a process dies, freezes for longer than its lease, hears no reply, or people leave: the books balance."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from boundaries import struck, sweeping
from stentor.testing.databases import TestDatabases
from stentor.testing.torture.life import BATCH_MAX
from stentor.testing.torture.nemesis import IN_FLIGHT_MAX
from stentor.testing.torture.sweep import NeverCame, Sweep, failpoints
from stentor.testing.torture.verdict import Verdict

pytestmark = pytest.mark.timeout(300)

LARGEST_WAVE = 99
"""At least: the first hundred of "news", less who has left by then; their sender leaves them in doubt."""

RESENDS = 3

IN_FLIGHT_WITHOUT_CHUNKS_MAX = 2

IN_THE_MIDST = range(20, 101, 20)
"""Writes and reads while a wave is on the wire: each message takes some of either."""


FROZEN_IN_CI = frozenset(
    [
        "answer",
        "claim",
        "fence",
        "hand_over",
        "journal",
        "plan",
        "recover",
        "release",
        "resolve",
        "settle",
        "smtp",
        "wave",
        "webhook",
    ]
)
"""Where somebody has claims or messages while they are frozen. A freeze takes nine seconds, most of them waiting."""


def is_frozen_in_ci(point: str) -> bool:
    return point.partition(".")[0] in FROZEN_IN_CI


@pytest.fixture(scope="module")
def sweep_without_chunks(databases: TestDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Its relay takes messages as DATA: one at a time, and one more envelope."""
    folder = tmp_path_factory.mktemp("without")
    with sweeping(databases, folder, without=["CHUNKING"], in_flight_max=IN_FLIGHT_WITHOUT_CHUNKS_MAX) as begun:
        yield begun


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", failpoints())
def test_nobody_is_lost_or_doubled_when_a_process_is_killed(sweep: Sweep, hits: dict[str, int], point: str):
    assert hits[point], "No life comes to this place."

    for hit in chosen(hits[point], 3):
        verdict = struck(sweep, "kill", point, hit)
        assert verdict.certificate.broken == [], (hit, verdict.examples)


@pytest.mark.fault("F4")
@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=() if is_frozen_in_ci(point) else pytest.mark.prove) for point in failpoints()]
)
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


@pytest.mark.fault("F19")
@pytest.mark.parametrize("point", ["wave.after_commit", "hand_over.before"])
def test_nothing_goes_to_whoever_left_while_a_wave_stood_for_longer_than_its_guard_counts(
    sweep: Sweep, hits: dict[str, int], point: str
):
    for hit in chosen(hits[point], 3):
        verdict = left(sweep, point, hit)
        assert verdict.certificate.broken == [], (hit, verdict.examples)


@pytest.mark.fault("F19")
@pytest.mark.parametrize(("point", "most"), [("smtp.before_write", IN_FLIGHT_MAX), ("webhook.before_write", BATCH_MAX)])
def test_of_those_who_left_meanwhile_only_what_one_write_holds_is_sent(
    sweep: Sweep, hits: dict[str, int], point: str, most: int
):
    for hit in chosen(hits[point], 3):
        certificate = left(sweep, point, hit).certificate
        assert set(certificate.broken) <= {"opted_out_contacted"}, hit
        assert certificate.opted_out_contacted <= most, hit


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", ["smtp.before_write", "smtp.after_write", "smtp.after_read"])
def test_without_chunking_a_killed_process_leaves_two_of_a_connection_in_doubt_at_most(
    sweep_without_chunks: Sweep, point: str
):
    unknown = []
    for hit in IN_THE_MIDST:
        certificate = sweep_without_chunks.struck("kill", point, hit).certificate
        assert certificate.broken == [], hit
        unknown.append(certificate.unknown)

    assert sum(unknown) > 0


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


def left(sweep: Sweep, point: str, hit: int) -> Verdict:
    """What came of it there when everybody left; at the hit before, where this life came there less often."""
    while True:
        try:
            return sweep.left(point, hit)
        except NeverCame:
            if hit == 1:
                raise
            hit -= 1


def chosen(hits: int, most: int) -> list[int]:
    """Every hit, or of many (each segment of each connection is one) the first ones and the last."""
    return [*range(1, hits + 1)] if hits <= most else [*range(1, most), hits]
