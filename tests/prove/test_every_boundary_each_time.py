"""At each boundary a process is killed each time that it comes there, and not only the first times and the last."""

import pytest

from boundaries import struck
from stentor.testing.torture.sweep import Sweep, failpoints

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1_200)]

HITS_MAX = 100
"""Of more (each segment of each connection is one) so many, evenly over the life."""


@pytest.mark.fault("F1")
@pytest.mark.parametrize("point", failpoints())
def test_nobody_is_lost_or_doubled_whenever_a_process_is_killed_there(sweep: Sweep, hits: dict[str, int], point: str):
    for hit in spread(hits[point]):
        verdict = struck(sweep, "kill", point, hit)
        assert verdict.certificate.broken == [], (hit, verdict.examples)


def spread(hits: int) -> list[int]:
    """All of them, or `HITS_MAX` from the first to the last."""
    if hits <= HITS_MAX:
        return [*range(1, hits + 1)]
    return [1 + number * (hits - 1) // (HITS_MAX - 1) for number in range(HITS_MAX)]
