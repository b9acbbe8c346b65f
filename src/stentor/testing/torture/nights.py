"""The quiet hours of a run: windows around the very time at which it runs, on the clocks of people who live far apart.

A window is on everybody's wall. The zones lie hours apart, so that each is in the windows that were laid for it alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from stentor.domain.quiet_hours import QuietAction, QuietRule

LEAD_S = 23.0
"""From laying the windows to the first of their edges at least: the run has begun, and people are on their way to be reached."""

_BEFORE_MIN, _AFTER_MIN = 40, 90
_NAPS_MAX = 12


class Nights(msgspec.Struct, frozen=True):
    """When it is quiet in each zone, in minutes from `first`. The zone that a brand's people without one live in is UTC."""

    first: datetime
    windows: Mapping[str, Sequence[tuple[int, int]]]

    def rules(self, action: QuietAction) -> tuple[QuietRule, ...]:
        """As a campaign has them."""
        return tuple(QuietRule(from_=since, to=until, action=action) for since, until in self._on_walls())

    def noted(self, topics: Mapping[str, QuietAction], people: Iterable[str]) -> dict[str, list[Any]]:
        """As a chronicle has them: the windows of these topics, and who lives where."""
        windows = [
            {"topics": [topic], "action": action, "since": since, "until": until}
            for topic, action in topics.items()
            for since, until in self._on_walls()
        ]
        homes: dict[str, list[str]] = {}
        for name in people:
            homes.setdefault(self.zone_of(name) or "UTC", []).append(name)
        return {
            "quiet_hours": windows,
            "zones": [{"zone": zone, "people": residents} for zone, residents in homes.items()],
        }

    def zone_of(self, name: str) -> str:
        """Where somebody lives, by the number at the end of their name; empty for those who never said."""
        homes = [*self.windows, ""]
        return homes[int(name.rpartition("-")[2]) % len(homes)]

    def _on_walls(self) -> list[tuple[str, str]]:
        return [
            (self._on_wall(zone, since), self._on_wall(zone, until))
            for zone, windows in self.windows.items()
            for since, until in windows
        ]

    def _on_wall(self, zone: str, minute: int) -> str:
        return f"{(self.first + timedelta(minutes=minute)).astimezone(ZoneInfo(zone)):%H:%M}"


def lay_nights(at: datetime, minutes: float) -> Nights:
    """Windows for a run of so many minutes that is about to begin."""
    soon = at + timedelta(seconds=LEAD_S)
    first = soon.replace(second=0, microsecond=0) + timedelta(minutes=1)
    ends = math.ceil(minutes)
    step = max(2, math.ceil(ends / _NAPS_MAX))
    return Nights(
        first,
        {
            "Pacific/Honolulu": [(-_BEFORE_MIN, 0)],
            "America/New_York": [(0, ends + _AFTER_MIN)],
            "Europe/Lisbon": [],
            "Asia/Kolkata": [(-_BEFORE_MIN, ends + _AFTER_MIN)],
            "Australia/Lord_Howe": [(since, since + 1) for since in range(-1, ends + 1, step)],
        },
    )
