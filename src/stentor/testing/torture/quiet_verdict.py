"""Quiet hours in the verdict: who was written to in their night, by the relay's own times, and who waited without need."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

AROUND_S = 5.0
"""So long before a window it is quiet already, because a message takes a moment; and so old may be what a verdict goes by."""

RELEASED_WITHIN_S = 60.0
"""Who is held is asked about again so soon after the window has opened: a lease, the next try and a busy machine."""


class Window(NamedTuple):
    """Nobody is written to about these topics between the two times on the clock of where they are (`21:00`, `08:00`)."""

    topics: Sequence[str]
    action: str
    since: str
    until: str

    def covers(self, clock: str) -> bool:
        """Whether it is quiet when the clock shows that."""
        if self.since < self.until:
            return self.since <= clock < self.until
        return clock >= self.since or clock < self.until


class QuietVerdict:
    """What the windows have to say about messages that were taken, and about people who did not get any.

    `rules` are those of the workload: `quiet_hours`, the windows, and `zones`, the people of each time zone.
    """

    def __init__(self, rules: Mapping[str, Sequence[Any]]) -> None:
        self._windows: dict[str, list[Window]] = defaultdict(list)
        for each in rules.get("quiet_hours", ()):
            window = Window(**each)
            for topic in window.topics:
                self._windows[topic].append(window)
        self._zones = {name: ZoneInfo(each["zone"]) for each in rules.get("zones", ()) for name in each["people"]}

    def violations(self, topic: str, person: str, at_s: float) -> Iterator[str]:
        """A sentence if this person's clock stood in a window at that second since the epoch."""
        for window in self._covering(topic, person, at_s):
            clock = datetime.fromtimestamp(at_s, self._zones[person])
            yield f"{person} of {topic} at {clock:%H:%M:%S}, between {window.since} and {window.until} where they are"
            return

    def explains_skip(self, topic: str, person: str, at_s: float) -> bool:
        """Whether a window that skips had come, or was about to, when this person was skipped for it."""
        moments = (at_s - AROUND_S, at_s, at_s + AROUND_S)
        return any(window.action == "skip" for moment in moments for window in self._covering(topic, person, moment))

    def explains_hold(self, topic: str, person: str, at_s: float) -> bool:
        """Whether somebody may still be held at that second, when everything has come to rest."""
        moments = (at_s - RELEASED_WITHIN_S, at_s, at_s + AROUND_S)
        return any(True for moment in moments for _ in self._covering(topic, person, moment))

    def _covering(self, topic: str, person: str, at_s: float) -> Iterator[Window]:
        if topic in self._windows and person in self._zones:
            clock = f"{datetime.fromtimestamp(at_s, self._zones[person]):%H:%M}"
            yield from (window for window in self._windows[topic] if window.covers(clock))
