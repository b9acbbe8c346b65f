"""What brands say of how long things are kept, carried out by the keeper: a step of each kind for each brand at a time."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from stentor.accounts.audit import forget_audit_of
from stentor.accounts.model import Brand
from stentor.audience.forgetting import ToldKeeper
from stentor.db.pool import Database
from stentor.executions.forgetting import PayloadKeeper
from stentor.executions.history import drop_history_of
from stentor.triggers.batches.forgetting import BatchKeeper

_Step: TypeAlias = Callable[[], Awaitable[int]]

STEPS_MAX = 50
"""Steps of one kind for one brand, before the others have their turn."""


class RetentionKeeper:
    """Forgets what brands do not want to be kept any longer.

    The installation's own retention (`history_days`, and `audit_days` where it has one) drops things whatever a brand says.
    """

    def __init__(self, db: Database, brands: Callable[[], Awaitable[Sequence[Brand]]], *, history_days: int) -> None:
        """`history_days`: how long the installation keeps history."""
        self._db = db
        self._history_days = history_days
        self._brands = brands
        self._payloads = PayloadKeeper(db)
        self._told = ToldKeeper(db)
        self._batches = BatchKeeper(db)

    async def forget(self) -> int:
        """Takes the next steps for all brands; the keeper's chore. Returns how much was forgotten."""
        return sum([await _stepped(step) for brand in await self._brands() for step in self._steps(brand)])

    def _steps(self, brand: Brand) -> Iterator[_Step]:
        kept = brand.settings
        if kept.history_days is not None and kept.history_days < self._history_days:
            yield partial(drop_history_of, self._db, brand.id, days=kept.history_days)
        if kept.payload_days is not None:
            yield partial(self._payloads.forget, brand.id, days=kept.payload_days)
        if kept.event_days is not None:
            yield partial(self._told.forget, brand.id, days=kept.event_days)
        if kept.batch_days is not None:
            yield partial(self._batches.forget, brand.id, days=kept.batch_days)
        if kept.audit_days is not None:
            yield partial(forget_audit_of, self._db, brand.id, days=kept.audit_days)


async def _stepped(step: _Step) -> int:
    """Takes the step again while it finds something to forget; returns how much that was."""
    forgotten = 0
    for _ in range(STEPS_MAX):
        found = await step()
        forgotten += found
        if not found:
            break
    return forgotten
