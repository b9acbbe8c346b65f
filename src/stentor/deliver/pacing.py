"""How large the next wave may be: half a second of what the sender manages now."""

from uuid import UUID

from stentor.deliver.model import WAVE_SENDS_MAX

_WAVE_S = 0.5
_FIRST_WAVE = 100


class Pace:
    """The present pace of each sender as this worker sees it.

    A wave's guard is fresh for two seconds, so a slow sender gets small waves: nobody is guarded long before the first
    byte, and an opt-out reaches a slow sender as soon as a fast one.
    """

    def __init__(self) -> None:
        self._limits: dict[UUID, int] = {}

    def limit(self, sender_id: UUID, pace_per_s: float | None) -> int:
        """The most sends for this sender's next wave."""
        limit = self._limits.get(sender_id, _FIRST_WAVE)
        if pace_per_s is not None:
            limit = min(limit, max(1, int(pace_per_s * _WAVE_S)))
        return limit

    def observe(self, sender_id: UUID, sends: int, took_s: float, *, is_late: bool = False) -> None:
        """Learns from a wave that was handed over; the limit at most doubles, and halves at once when it must.

        `is_late`: its guard grew too old before all of it had started, whatever took so long: perhaps making the messages did.
        """
        if is_late:
            self._limits[sender_id] = max(1, min(sends, self.limit(sender_id, None)) // 2)
            return
        managed = int(sends / took_s * _WAVE_S) if took_s > 0 else WAVE_SENDS_MAX
        ceiling = max(self.limit(sender_id, None), sends) * 2
        self._limits[sender_id] = max(1, min(managed, ceiling, WAVE_SENDS_MAX))
