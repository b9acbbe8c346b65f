"""The clock of one process, as somebody else sets it: what daylight saving done wrong, NTP or an operator do to a machine."""

import struct
from pathlib import Path

from stentor.clock import WRONG_CLOCK


class WrongClock:
    """Right until it is set. Whoever is started with its `environment` goes by it from its first moment on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ahead_s = 0.0
        self.set(0.0)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is to be given."""
        return {WRONG_CLOCK: str(self._path)}

    def set(self, ahead_s: float) -> None:
        """It jumps: from now on it is so far ahead of the true time, or behind it."""
        self.ahead_s = ahead_s
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(struct.pack("=q", round(ahead_s * 1e6)))
