"""How large the next wave may be."""

from uuid import UUID

from stentor.deliver.model import WAVE_SENDS_MAX
from stentor.deliver.pacing import Pace

SENDER = UUID(int=1)


def test_a_quick_sender_gets_waves_that_double_up_to_the_largest():
    pace = Pace()

    limits = []
    for _ in range(4):
        limits.append(pace.limit(SENDER, None))
        pace.observe(SENDER, limits[-1], 0.001)

    assert limits == [100, 200, 400, WAVE_SENDS_MAX]


def test_a_wave_that_grew_too_old_comes_back_half_as_large_until_it_fits():
    pace = Pace()

    limits = []
    for _ in range(8):
        limits.append(pace.limit(SENDER, None))
        pace.observe(SENDER, limits[-1], 0.001, is_late=True)

    assert limits == [100, 50, 25, 12, 6, 3, 1, 1]
