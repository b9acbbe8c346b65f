"""When the people of a paced execution fall due: by their own clocks, spread over a time, so many in an hour.

It is decided when they are planned. Who is not due yet is pending in a chunk that falls due later, with the same slots in its
number that quiet hours use; the guard, quiet hours among it, is asked when the chunk is due.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from stentor.deliver.model import SLOTS, slot_in, slot_of
from stentor.domain.timetable import Moment, Rule, next_moment
from stentor.domain.vocabulary import SendState
from stentor.executions.slicing import CHUNK_SENDS
from stentor.guard.places import Zones, zones_of

SPREAD_S_MAX = 7 * 24 * 3600

FIRST_ZONE = "Pacific/Kiritimati"
"""Where every time of the day comes first: what is due by everybody's own clock starts by this one."""

LAST_ZONE_LATER = timedelta(hours=26)
"""How much later than there it comes in the last place, which deadlines have to wait for."""

_STEP_S = 60
_HOUR_S = 3600
_KEYS = 1 << 128
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Pacing(msgspec.Struct, frozen=True):
    """How an execution is paced, from when its people were fixed on."""

    begins_at: datetime
    people: int
    local_at: datetime | None
    spread_s: int
    per_hour: int | None

    @property
    def over_s(self) -> int:
        """Over how many seconds its people are spread: as many as were asked for, or as its limit needs."""
        by_limit = -(-self.people * _HOUR_S // self.per_hour) if self.per_hour else 0
        return max(self.spread_s, by_limit)

    @property
    def chunk_sends(self) -> int:
        """What its chunks aim at: no more than fall due within a minute."""
        if not self.over_s:
            return CHUNK_SENDS
        return max(1, min(CHUNK_SENDS, self.people * _STEP_S // self.over_s))


class DuePlan(msgspec.Struct, frozen=True):
    """When each slot, and each key in it, falls due; as QuietPlan is for quiet hours."""

    verdicts: dict[str, int]
    due: dict[int, datetime]
    begins_at: datetime
    over: timedelta

    def due_at(self, number: int, key_from: UUID) -> datetime | None:
        """When the chunk of that number and first key falls due. Ids are evenly distributed, and so are the times."""
        base = self.due.get(slot_in(number), self.begins_at)
        return base + self.over * (key_from.int / _KEYS)


def due_plan(pacing: Pacing, places: Iterable[str], fallback: Zones) -> DuePlan:
    """When people of these places fall due; `fallback`: where they are of whom nothing is known."""
    plan = DuePlan({}, {}, pacing.begins_at, timedelta(seconds=pacing.over_s))
    if pacing.local_at is None:
        return plan
    for place in places:
        at = max(instant_in(zone, pacing.local_at) for zone in zones_of(place, fallback))
        if at > pacing.begins_at:
            plan.verdicts[place] = SendState.PENDING | _slot(at, plan.due) << 15
    return plan


def instant_in(zone: str, local_at: datetime) -> datetime:
    """When the clock of that zone shows the time first; where it skips it, right after."""
    rule = Rule(time_zone=zone, at=f"{local_at:%Y-%m-%dT%H:%M:%S}")
    moment = next_moment(rule, Moment(_LONG_AGO.replace(tzinfo=None), _LONG_AGO))
    # A day that a place skips whole is nobody's: it goes by UTC there.
    return local_at.replace(tzinfo=UTC) if moment is None else moment.at


def _slot(at: datetime, due: dict[int, datetime]) -> int:
    """There are fewer times than slots: some forty zones differ, and each has one time."""
    slot = slot_of(at)
    while due.setdefault(slot, at) != at:
        slot = slot % SLOTS + 1
    return slot
