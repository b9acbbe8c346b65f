"""Named places at every boundary of the flow where a proof can end or freeze this process.

`STENTOR_FAILPOINTS="wave.after_commit=kill@2"` kills the process with SIGKILL when it comes to that place for the second
time; `freeze` stops it there (SIGSTOP) until somebody continues it; `delay:1.5` lets it sleep, with everything else that
it does, for so many seconds. Several are joined by commas. Random kills hardly ever hit the 200 µs between a commit and
what follows it; these always do. Unset, as in production, a place costs one look-up in an empty dictionary.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "STENTOR_FAILPOINTS"

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


@dataclass
class _Armed:
    action: str
    at_hit: int
    hits: int = 0

    def hit(self) -> None:
        self.hits += 1
        if self.hits != self.at_hit:
            return
        if number := _SIGNALS.get(self.action):
            os.kill(os.getpid(), number)
        else:
            time.sleep(float(self.action.removeprefix("delay:")))


_armed: dict[str, _Armed] = {}


def failpoint(name: str) -> None:
    """Does nothing, unless the place of that name is armed."""
    if name in _armed:
        _armed[name].hit()


def arm(script: str) -> None:
    """Arms what the script says and nothing else. Raises ValueError for one that cannot be read."""
    armed = dict(_read(one) for one in script.split(",") if one)
    _armed.clear()
    _armed.update(armed)


def hits() -> dict[str, int]:
    """How often this process has come to each place that is armed."""
    return {name: armed.hits for name, armed in _armed.items()}


def arm_from(environment: Mapping[str, str]) -> None:
    """Arms what the environment's variable says, as every process does with its own."""
    arm(environment.get(VARIABLE, ""))


def _read(one: str) -> tuple[str, _Armed]:
    name, _, rest = one.partition("=")
    action, _, at_hit = rest.partition("@")
    if action not in _SIGNALS:
        kind, _, seconds = action.partition(":")
        if kind != "delay" or not seconds:
            raise ValueError(f"{VARIABLE} has {one!r}; write name=kill@1, name=freeze@1 or name=delay:1.5@1.")
        float(seconds)
    return name, _Armed(action, int(at_hit or 1))


arm_from(os.environ)
