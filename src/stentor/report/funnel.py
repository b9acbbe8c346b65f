"""What became of an execution's people, by channel: the numbers that add up."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.report.tally import AUDIENCE, Sql


class ChannelFunnel(msgspec.Struct, frozen=True):
    """One channel's counts: `audience = pending + held + handed_over + skipped + failed + unknown`, at all times."""

    channel: str
    audience: int = 0
    pending: int = 0
    held: int = 0
    handed_over: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0
    held_by_reason: dict[str, int] = {}
    skipped_by_reason: dict[str, int] = {}
    failed_by_reason: dict[str, int] = {}
    unknown_by_reason: dict[str, int] = {}

    @property
    def balanced(self) -> bool:
        """Whether the six states add up to the audience."""
        return self.audience == self.pending + self.held + self.handed_over + self.skipped + self.failed + self.unknown


async def funnels(conn: Connection, brand_id: UUID, execution_ids: Sequence[UUID]) -> dict[UUID, list[ChannelFunnel]]:
    """The funnel of each execution, its channels in the order of their numbers; executions not planned yet have none."""
    rows = await Sql.counts.tuples(conn, brand_id=brand_id, execution_ids=list(execution_ids))
    by_execution: defaultdict[UUID, list[tuple[int, int, int, int]]] = defaultdict(list)
    for execution_id, *counted in rows:
        by_execution[execution_id].append(tuple(counted))
    return {execution_id: channel_funnels(counted) for execution_id, counted in by_execution.items()}


def channel_funnels(counted: Iterable[tuple[int, int, int, int]]) -> list[ChannelFunnel]:
    """The funnels of one execution from its counts, given as (channel, state, reason, sends)."""
    gathered: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for channel, state, reason, sends in sorted(counted):
        counts = gathered[channel]
        if state == AUDIENCE:
            counts["audience"] = sends
            continue
        label = SendState(state).label
        counts[label] = counts.get(label, 0) + sends
        if reason and sends:
            counts.setdefault(f"{label}_by_reason", {})[Reason(reason).label] = sends
    return [ChannelFunnel(ChannelKind(channel).label, **counts) for channel, counts in gathered.items()]
