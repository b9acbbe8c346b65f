"""After an opt-out, a pause or a cancellation was acknowledged nothing more goes out: at full speed, on a slow sender, past a frozen worker."""

import pytest

from stentor.cli.bench.optout import measure_opt_outs
from stentor.cli.premises import on_premises

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


@pytest.mark.fault("F19")
def test_the_last_hand_over_comes_within_a_second_and_never_after_five():
    measured = on_premises(measure_opt_outs)

    assert set(measured) == {"full_speed", "paced", "frozen"}
    for situation, seen in measured.items():
        assert seen.opt_outs.p99_s <= 1, (situation, seen)
        assert seen.opt_outs.worst_s <= 5, (situation, seen)
        assert seen.opt_outs.opt_outs >= 100, (situation, seen)
        assert seen.stops.worst_s <= 1, (situation, seen)
        assert seen.stops.stops >= 2, (situation, seen)
