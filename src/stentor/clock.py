"""The one place where time is asked of this machine; every "now" that is stored comes from the database's clock.

A `Clock` carries the shift that SQL adds to `statement_timestamp()`. It is zero in production; tests and the demo move
it to see tomorrow's behaviour today.

`STENTOR_TEST_CLOCK` names a file of eight bytes by which a proof sets this process's clock wrong, and nobody else's, at any
moment: how many microseconds it is ahead of the true time. Unset, as in production, that costs one look at a constant.
"""

import mmap
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

WRONG_CLOCK = "STENTOR_TEST_CLOCK"


class Clock:
    """The time of this process, moved by `shift`; used where no statement is at hand, as in a message's Date header."""

    def __init__(self, shift: timedelta = timedelta()) -> None:
        self.shift = shift

    def now(self) -> datetime:
        """The present, in UTC."""
        shown = datetime.now(UTC) + self.shift
        return shown if _ahead_us is None else shown + timedelta(microseconds=_ahead_us[0])


def boottime_s() -> float:
    """Seconds since boot, suspended time included: how old a wave is, also after the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _mapped(environment: Mapping[str, str]) -> memoryview | None:
    name = environment.get(WRONG_CLOCK)
    if name is None:
        return None
    with Path(name).open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)).cast("q")


_ahead_us = _mapped(os.environ)
