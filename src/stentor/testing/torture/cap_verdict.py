"""Frequency caps in the verdict: who got more than a rule allows, by the relay's own times, and who was withheld without need."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from uuid import UUID

from stentor.testing.torture.evidence import Cap

if TYPE_CHECKING:
    import psycopg

STAMP_S = 5.0
"""A message counts from when its acceptance was written down, which is so much later than the relay's time at most."""

_MOMENT_S = 1.0  # a look at the clock and the write that it is for, on a busy machine


class Withheld(NamedTuple):
    """A send that was skipped for a cap, and when (seconds since the epoch)."""

    execution: UUID
    customer: UUID
    topic: str
    at_s: float


class CapVerdict:
    """What the rules have to say about the messages that were taken."""

    def __init__(
        self, conn: "psycopg.Connection[tuple[Any, ...]]", caps: Sequence[Cap], topics: Mapping[UUID, str]
    ) -> None:
        self._conn = conn
        self._caps = caps
        self._executions = [[execution for execution, topic in topics.items() if topic in cap.topics] for cap in caps]
        self._taken: list[dict[UUID, list[float]]] = [defaultdict(list) for _ in caps]

    def take(self, customer: UUID, topic: str, at_s: float) -> None:
        """A message about the topic was taken for this person, at that second since the epoch."""
        for cap, taken in zip(self._caps, self._taken, strict=True):
            if topic in cap.topics:
                taken[customer].append(at_s)

    def violations(self) -> Iterable[str]:
        """One sentence for each message that was one too many."""
        for cap, taken in zip(self._caps, self._taken, strict=True):
            for customer, times in taken.items():
                times.sort()
                for first, last in zip(times, times[cap.at_most :], strict=False):
                    if last - first < cap.per_s:
                        yield f"{customer}: {cap.at_most + 1} messages within {last - first:.3f} s of {cap.per_s}"

    def explains(self, withheld: Withheld) -> bool:
        """Whether one of the rules was met when this person was withheld. Ask after `violations`."""
        return any(
            withheld.topic in cap.topics and self._is_met(number, cap, withheld)
            for number, cap in enumerate(self._caps)
        )

    def _is_met(self, number: int, cap: Cap, withheld: Withheld) -> bool:
        since_s, until_s = withheld.at_s - cap.per_s - STAMP_S, withheld.at_s + _MOMENT_S
        times = self._taken[number].get(withheld.customer, [])
        taken = bisect_right(times, until_s) - bisect_left(times, since_s)
        if taken >= cap.at_most:
            return True
        facts = {
            "executions": [execution for execution in self._executions[number] if execution != withheld.execution],
            "customer": withheld.customer,
            "since_s": since_s,
            "until_s": until_s,
            "open_after_s": withheld.at_s - _MOMENT_S,
        }
        row = self._conn.execute(_OPEN_OR_IN_DOUBT, facts).fetchone()
        return taken + (row[0] if row else 0) >= cap.at_most


_OPEN_OR_IN_DOUBT: LiteralString = """
    SELECT (
        SELECT count(*) FROM wave
        WHERE execution_id = ANY(%(executions)s) AND %(customer)s BETWEEN key_from AND key_to
            AND opened_at <= to_timestamp(%(until_s)s)
            AND (settled_at IS NULL OR settled_at >= to_timestamp(%(open_after_s)s))
    ) + (
        SELECT count(*) FROM send
        WHERE execution_id = ANY(%(executions)s) AND customer_id = %(customer)s AND state = 5
            AND decided_at BETWEEN to_timestamp(%(since_s)s) AND to_timestamp(%(until_s)s)
    )"""
