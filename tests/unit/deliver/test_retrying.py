"""When a refused message is tried again: later and later, and by chance not all at once."""

import random

import pytest

from stentor.deliver.retrying import TRIES_MAX, retry_delay_s

pytestmark = pytest.mark.fault("F7")


def delays_s(tries: int, retry_after_s: float | None = None) -> list[float]:
    """Of a thousand messages that were refused at the same moment."""
    jitter = random.Random(tries)
    drawn = (retry_delay_s(tries, retry_after_s, jitter=jitter) for _ in range(1_000))
    return sorted(delay_s for delay_s in drawn if delay_s is not None)


@pytest.mark.parametrize(
    ("tries", "most_s"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960), (7, 1_920), (9, 30)]
)
def test_each_pause_is_twice_as_long_and_half_of_it_is_chance(tries: int, most_s: float):
    delays = delays_s(tries)

    assert most_s / 2 <= delays[0] < 0.55 * most_s
    assert 0.95 * most_s < delays[-1] <= most_s
    # Spread evenly: of a provider's thousands a tenth at the most comes back in any tenth of the time, give or take.
    slots = [int((delay_s - most_s / 2) / (most_s / 20)) for delay_s in delays]
    assert max(slots.count(slot) for slot in set(slots)) < 150


def test_a_provider_that_says_when_is_not_asked_before():
    assert delays_s(1, 700.0) == [700.0] * 1_000
    assert delays_s(7, 5.0)[-1] > 5.0


def test_after_eight_tries_it_is_given_up():
    assert delays_s(TRIES_MAX) == []
