"""When somebody could be held to the promise of a watcher: one lived, had had time to begin, and nothing kept it from its work."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

_BEGINS_S = 2.0
"""From when a process has the role to its first look, on a busy machine."""

REVOKED_S_MAX = 5.0
"""How long after an opt-out was acknowledged its revocation is written, at the latest, by a watcher who has nothing else to do."""

CAUGHT_UP_S_MAX = 15.0
"""The same by one who comes to what was said no to while none could work: many people, each on the lists of many runs."""

_ANSWERED_S = 1.0  # from the commit of an opt-out to its acknowledgement, and of a revocation's time to its commit

_SHAKEN = frozenset(
    {"kill_api", "kill_backend", "kill_everything", "kill_postmaster", "cut_database", "lose_commits", "disk_full"}
)
_SHAKEN_BEFORE_S, _SHAKEN_AFTER_S = 1.5, 4.0
"""Around the note of what keeps everybody from the database, or opt-outs from their acknowledgements: it is written when that is over, and
whoever could not ask rests for two seconds."""


class Watching:
    """Reads a chronicle for it, note by note."""

    def __init__(self) -> None:
        self._lived: list[tuple[float, float]] = []
        self._since_s: float | None = None
        self._shaken: list[tuple[float, float]] = []

    def take(self, note: Mapping[str, Any]) -> None:
        """The next note."""
        at_s = note["at_s"]
        if note["what"] == "fault" and note["kind"] in _SHAKEN:
            self._shaken.append((at_s - _SHAKEN_BEFORE_S, at_s + _SHAKEN_AFTER_S))
        elif note["what"] == "watched" and note["is_watched"]:
            self._since_s = at_s + _BEGINS_S
        elif note["what"] == "watched" and self._since_s is not None:
            self._lived.append((self._since_s, at_s))
            self._since_s = None

    def intervals(self) -> list[tuple[float, float]]:
        """From when to when, in seconds since the epoch; without end where one lives still."""
        lived = [*self._lived, *([(self._since_s, inf)] if self._since_s is not None else [])]
        found: list[tuple[float, float]] = []
        for begin, end in lived:
            since = begin
            for shaken_from, shaken_to in sorted(self._shaken):
                if shaken_to > since and shaken_from < end:
                    found.append((since, shaken_from))
                    since = max(since, shaken_to)
            found.append((since, end))
        return [(begin, end) for begin, end in found if begin < end]


def due_at_s(watched: Sequence[tuple[float, float]], left_at_s: float) -> float:
    """By when somebody who left has to be revoked, in seconds since the epoch; `watched` as `Watching.intervals`.

    That is by the first watcher who lives for long enough after that; whoever is struck before has to be begun with anew.
    """
    for begin, end in watched:
        since_s = max(begin, left_at_s)
        has_caught_up = begin + CAUGHT_UP_S_MAX <= left_at_s
        within_s = (REVOKED_S_MAX if has_caught_up else CAUGHT_UP_S_MAX) + _ANSWERED_S
        if end - since_s >= within_s:
            return since_s + within_s
    return inf
