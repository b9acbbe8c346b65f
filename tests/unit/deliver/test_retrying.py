"""When a refused message is tried again: later and later, and by chance not all at once."""

import random

import pytest

from stentor.deliver.retrying import TRIES_MAX, retry_delay_s

pytestmark = pytest.mark.fault("F7")

LEAST_S = 5.0


def delays_s(tries: int, retry_after_s: float | None = None) -> list[float]:
    """Of a thousand messages that were refused at the same moment."""
    jitter = random.Random(tries)
    drawn = (retry_delay_s(tries, retry_after_s, jitter=jitter) for _ in range(1_000))
    return sorted(delay_s for delay_s in drawn if delay_s is not None)


@pytest.mark.parametrize(
    ("tries", "most_s"), [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 960), (7, 1_920), (9, 30)]
)
def test_the_longest_pause_doubles_and_all_of_it_is_chance(tries: int, most_s: float):
    delays = delays_s(tries)

    assert LEAST_S <= delays[0] < LEAST_S + 0.05 * most_s
    assert 0.95 * most_s < delays[-1] <= most_s
    assert is_spread_evenly(delays)


@pytest.mark.parametrize(("tries", "retry_after_s", "most_s"), [(1, 700.0, 715.0), (7, 700.0, 1_920.0), (1, 1.0, 30.0)])
def test_a_provider_that_says_when_is_not_asked_before_nor_by_everybody_at_once(
    tries: int, retry_after_s: float, most_s: float
):
    delays = delays_s(tries, retry_after_s)

    assert max(LEAST_S, retry_after_s) <= delays[0]
    assert delays[-1] <= most_s
    assert is_spread_evenly(delays)


def is_spread_evenly(delays: list[float]) -> bool:
    """Of a provider's thousands a tenth comes back in any tenth of the time, give or take."""
    if delays[0] == delays[-1]:
        return False
    tenth_s = (delays[-1] - delays[0]) / 10
    slots = [int((delay_s - delays[0]) / tenth_s) for delay_s in delays]
    return max(slots.count(slot) for slot in set(slots)) < 150


def test_after_eight_tries_it_is_given_up():
    assert delays_s(TRIES_MAX) == []
