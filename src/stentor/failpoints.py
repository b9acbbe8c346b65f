"""Named places at every boundary of the flow where a proof can end or freeze this process.

`STENTOR_FAILPOINTS="wave.after_commit=kill@2"` kills the process with SIGKILL when it comes to that place for the second
time; `freeze` stops it there (SIGSTOP) until somebody continues it; `delay:1.5` lets it sleep, with everything else that
it does, for so many seconds. Several are joined by commas. Random kills hardly ever hit the 200 µs between a commit and
what follows it; these always do. Unset, as in production, a place costs one look-up in an empty dictionary.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

VARIABLE = "STENTOR_FAILPOINTS"

Action: TypeAlias = Callable[[], object]

_ACTIONS: Mapping[str, Action] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}


@dataclass
class _Armed:
    action: Action
    at_hit: int
    hits: int = 0

    def hit(self) -> None:
        self.hits += 1
        if self.hits == self.at_hit:
            self.action()


_armed: dict[str, _Armed] = {}


def failpoint(name: str) -> None:
    """Does nothing, unless the place of that name is armed."""
    if name in _armed:
        _armed[name].hit()


def arm(script: str, own: Mapping[str, Action] = MappingProxyType({})) -> None:
    """Arms what the script says and nothing else; `own` are actions beside those that the module names.

    Raises ValueError for a script that cannot be read.
    """
    actions = {**_ACTIONS, **own}
    armed = dict(_read(one, actions) for one in script.split(",") if one)
    _armed.clear()
    _armed.update(armed)


def hits() -> dict[str, int]:
    """How often this process has come to each place that is armed."""
    return {name: armed.hits for name, armed in _armed.items()}


def arm_from(environment: Mapping[str, str]) -> None:
    """Arms what the environment's variable says, as every process does with its own."""
    arm(environment.get(VARIABLE, ""))


def _read(one: str, actions: Mapping[str, Action]) -> tuple[str, _Armed]:
    name, _, rest = one.partition("=")
    words, _, at_hit = rest.partition("@")
    kind, _, seconds = words.partition(":")
    action = partial(time.sleep, float(seconds)) if kind == "delay" and seconds else actions.get(words)
    if action is None:
        raise ValueError(f"{VARIABLE} has {one!r}; write name=kill@1, name=freeze@1 or name=delay:1.5@1.")
    return name, _Armed(action, int(at_hit or 1))


arm_from(os.environ)
