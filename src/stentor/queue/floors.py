"""From where on a queue is looked through.

What has left a queue stays in its index until nobody reads who began before that: beside somebody who reads for hours, each
claim would go past everything that was done meanwhile, and take longer and longer.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from stentor.clock import boottime_s
from stentor.domain.vocabulary import Lane

RAISED_EVERY_S = 5.0
WHOLE_EVERY_S = 60.0
"""How often all of it is looked through: for what came in below the floor, by a transaction that took longer than the lag."""

LAG_S = 20.0
"""The floor stays so far below the present: whoever puts something into a queue commits it a moment later."""

_BOTTOM = datetime(1970, 1, 1, tzinfo=UTC)

Look: TypeAlias = Callable[[dict[str, Any]], Awaitable[Sequence[datetime]]]
"""Answers, for `lanes` and their `floors`, the times from which on they have to be looked through."""


class Floors:
    """Below these times nothing waits in the lanes of a queue, as far as this process knows."""

    def __init__(self, now_s: Callable[[], float] = boottime_s) -> None:
        self._floors = dict.fromkeys(Lane, _BOTTOM)
        self._now_s = now_s
        self._raise_at_s = 0.0
        self._whole_at_s = now_s() + WHOLE_EVERY_S

    async def raised(self, look: Look) -> None:
        """Raises them with what `look` finds, unless that was done a moment ago."""
        now_s = self._now_s()
        if now_s < self._raise_at_s:
            return
        self._raise_at_s = now_s + RAISED_EVERY_S
        if now_s >= self._whole_at_s:
            self._whole_at_s = now_s + WHOLE_EVERY_S
            self._floors = dict.fromkeys(Lane, _BOTTOM)
        lanes = list(self._floors)
        self._floors = dict(zip(lanes, await look(self.up_to(Lane.BULK)), strict=True))

    def up_to(self, last_lane: Lane) -> dict[str, Any]:
        """The lanes up to that one, first to last, and the floor of each, as statements take them."""
        lanes = [lane for lane in Lane if lane <= last_lane]
        return {
            "lanes": [int(lane) for lane in lanes],
            "floors": [self._floors[lane] for lane in lanes],
            "lag_s": LAG_S,
        }
