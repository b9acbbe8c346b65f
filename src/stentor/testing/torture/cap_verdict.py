"""Frequency caps in the verdict: who got more than a rule allows, by the relay's own times, and who was withheld without need."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from uuid import UUID

from stentor.testing.torture.evidence import Cap

if TYPE_CHECKING:
    import psycopg

STAMP_S = 5.0
"""A message counts from when its acceptance was written down, which is so much later than the relay's time at most."""

_BELOW_PART = 116  # of a customer's 128 bits the first 12 are the part

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
        self._doubts: dict[int, _Doubts] = {}

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
        doubts = self._doubts_of(number)
        held = doubts.open_between(withheld, withheld.at_s - _MOMENT_S, until_s) + doubts.unknown(
            withheld, since_s, until_s
        )
        return taken + held >= cap.at_most

    def _doubts_of(self, number: int) -> "_Doubts":
        if number not in self._doubts:
            self._doubts[number] = _Doubts(self._conn, self._executions[number])
        return self._doubts[number]


class _Wave(NamedTuple):
    execution: UUID
    key_from: UUID
    key_to: UUID
    opened_s: float
    settled_s: float


class _Doubts:
    """Of the executions that a rule counts: waves by the seconds in which they were open, and sends that stayed in doubt.

    Read once: asked about each person who was withheld in half an hour, the database took ten minutes.
    """

    def __init__(self, conn: "psycopg.Connection[tuple[Any, ...]]", executions: Sequence[UUID]) -> None:
        self._conn = conn
        self._open: dict[int, list[_Wave]] = defaultdict(list)
        self._unknown: dict[UUID, list[tuple[UUID, float]]] = defaultdict(list)
        for row in conn.execute(_WAVES, [executions]):
            wave = _Wave(*row)
            for second in range(int(wave.opened_s), int(wave.settled_s) + 1):
                self._open[second].append(wave)
        for execution, customer, decided_s in conn.execute(_UNKNOWN, [executions]):
            self._unknown[customer].append((execution, decided_s))

    def open_between(self, withheld: Withheld, since_s: float, until_s: float) -> int:
        """How many waves of other executions that may hold this person were open at some moment between.

        A wave holds nobody whose send was settled before it was opened: skipped by its guard, or reached by another wave.
        """
        waves = {
            wave
            for second in range(int(since_s), int(until_s) + 1)
            for wave in self._open.get(second, ())
            if wave.opened_s <= until_s
            and wave.settled_s >= since_s
            and wave.execution != withheld.execution
            and wave.key_from <= withheld.customer <= wave.key_to
        }
        if not waves:
            return 0
        executions = list({wave.execution for wave in waves})
        settled = self._conn.execute(_SETTLED, [executions, withheld.customer.int >> _BELOW_PART, withheld.customer])
        settled_s: dict[UUID, float] = dict(settled.fetchall())
        return sum(settled_s.get(wave.execution, inf) > wave.opened_s for wave in waves)

    def unknown(self, withheld: Withheld, since_s: float, until_s: float) -> int:
        """How many sends of other executions to this person came into doubt between, and stayed so."""
        return sum(
            execution != withheld.execution and since_s <= decided_s <= until_s
            for execution, decided_s in self._unknown.get(withheld.customer, ())
        )


# A wave that is still open counts as open until now.
_WAVES: LiteralString = """
    SELECT execution_id, key_from, key_to, extract(epoch FROM opened_at)::float,
        extract(epoch FROM coalesce(settled_at, statement_timestamp()))::float
    FROM wave WHERE execution_id = ANY(%s)"""
_SETTLED: LiteralString = """
    SELECT execution_id, extract(epoch FROM max(decided_at))::float FROM send
    WHERE execution_id = ANY(%s) AND part = %s AND customer_id = %s
    GROUP BY execution_id HAVING min(state) >= 2"""
_UNKNOWN: LiteralString = """
    SELECT execution_id, customer_id, extract(epoch FROM decided_at)::float
    FROM send WHERE execution_id = ANY(%s) AND state = 5"""
