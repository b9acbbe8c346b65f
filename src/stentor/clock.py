"""The one place where time is asked of this machine; every "now" that is stored comes from the database's clock.

A `Clock` carries the shift that SQL adds to `statement_timestamp()`. It is zero in production; tests and the demo move
it to see tomorrow's behaviour today.
"""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The time of this process, moved by `shift`; used where no statement is at hand, as in a message's Date header."""

    def __init__(self, shift: timedelta = timedelta()) -> None:
        self.shift = shift

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC) + self.shift


def boottime_s() -> float:
    """Seconds since boot, suspended time included: how old a wave is, also after the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
