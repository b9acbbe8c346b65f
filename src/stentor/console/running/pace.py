"""How fast an execution goes and when it is done, from looks at it that lie a few seconds apart."""

import time
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from stentor.executions.today import UnderWay

# Long enough to even out waves, short enough to follow a pause.
OVER_S = 10.0
# Two looks closer than this say nothing.
APART_S_MIN = 1.0
_EXECUTIONS_MAX = 10_000


class Paces:
    """Remembers how many were settled when, for as long as somebody looks."""

    def __init__(self) -> None:
        self._seen: dict[UUID, deque[tuple[float, int]]] = {}

    def note(self, standing: Iterable[UnderWay]) -> dict[UUID, float | None]:
        """By execution, how many of its people per second were settled lately; None where that is not known yet."""
        now = time.monotonic()
        return {one.execution.id: self._pace(one, now) for one in standing}

    def _pace(self, one: UnderWay, now: float) -> float | None:
        seen = self._seen.pop(one.execution.id, None) or deque[tuple[float, int]]()
        self._seen[one.execution.id] = seen
        if len(self._seen) > _EXECUTIONS_MAX:
            del self._seen[next(iter(self._seen))]
        # Somebody looks again after a while: what was between says nothing of now.
        if seen and now - seen[-1][0] > OVER_S:
            seen.clear()
        if not seen or now - seen[-1][0] >= APART_S_MIN / 2:
            seen.append((now, one.settled))
        while now - seen[0][0] > OVER_S:
            seen.popleft()
        at, settled = seen[0]
        return (one.settled - settled) / (now - at) if now - at >= APART_S_MIN else None


def seconds_left(one: UnderWay, per_s: float | None) -> int | None:
    """How long the rest takes at that pace; None where that is not known, or people are held until some other time."""
    if not per_s or one.execution.paused_at is not None or not one.audience:
        return None
    return round(one.pending / per_s)
