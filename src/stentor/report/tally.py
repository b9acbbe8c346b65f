"""The counters of an execution: sends by channel, state and reason, moved in the transaction that changes the state."""

import random
from collections import Counter
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import Reason, SendState

AUDIENCE = -1
"""The pseudo-state under which a channel's audience is counted."""

SHARDS = 64


class Sql(QuerySet, file="tally.sql", package=__package__):
    move: Statement
    counts: Statement


class Moves:
    """Changes to the counters, gathered during one transaction and written by one statement at its end."""

    def __init__(self, brand_id: UUID) -> None:
        self.brand_id = brand_id
        self._changes: Counter[tuple[UUID, int, int, int]] = Counter()

    def planned(self, execution_id: UUID, channel: int, state: int, reason: int, sends: int) -> None:
        """New sends: they enter the audience and a state."""
        self._changes[execution_id, channel, AUDIENCE, Reason.NONE] += sends
        self._changes[execution_id, channel, state, reason] += sends

    def settled(self, execution_id: UUID, channel: int, state: SendState, reason: Reason, sends: int = 1) -> None:
        """Sends that were pending and now are what `state` says."""
        self._changes[execution_id, channel, SendState.PENDING, Reason.NONE] -= sends
        self._changes[execution_id, channel, state, reason] += sends

    def woken(self, execution_id: UUID, channel: int, reason: Reason, sends: int) -> None:
        """Sends that were held for that reason and now are pending."""
        self._changes[execution_id, channel, SendState.HELD, reason] -= sends
        self._changes[execution_id, channel, SendState.PENDING, Reason.NONE] += sends

    def moved(
        self, execution_id: UUID, channel: int, before: tuple[int, int], after: tuple[int, int], sends: int
    ) -> None:
        """Sends that leave one state and reason for another."""
        self._changes[execution_id, channel, *before] -= sends
        self._changes[execution_id, channel, *after] += sends

    async def write(self, conn: Connection) -> None:
        """Adds the changes to the counters of a shard drawn by chance, in the order of their key.

        The rows stay locked until the commit, so that with a shard per worker, a worker's own transactions waited 3 ms
        for each other; the order keeps two that meet nevertheless from deadlocking.
        """
        changes = sorted((key, sends) for key, sends in self._changes.items() if sends)
        if changes:
            await Sql.move.run(
                conn,
                brand_id=self.brand_id,
                shard=random.randrange(SHARDS),
                execution_ids=[key[0] for key, _ in changes],
                channels=[key[1] for key, _ in changes],
                states=[key[2] for key, _ in changes],
                reasons=[key[3] for key, _ in changes],
                sends=[sends for _, sends in changes],
            )
