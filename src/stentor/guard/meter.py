"""What the guard costs: how long a wave's guard took for each of its people."""

import statistics
from collections import deque

WAVES_KEPT = 1_000


class GuardMeter:
    """The newest thousand waves that were guarded by this process."""

    def __init__(self) -> None:
        self._us_per_person: deque[float] = deque(maxlen=WAVES_KEPT)

    def guarded(self, people: int, took_s: float) -> None:
        """A wave of so many people was guarded in that time."""
        if people:
            self._us_per_person.append(took_s / people * 1e6)

    @property
    def median_us(self) -> float | None:
        """Microseconds for each person, the median over the waves; None before the first."""
        return statistics.median(self._us_per_person) if self._us_per_person else None
