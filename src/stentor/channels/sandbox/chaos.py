"""Faults on request: which messages a rule hits, and what they get for it."""

import random
from collections.abc import Callable, Sequence
from uuid import UUID

from stentor.channels.contract import Accepted, Deferred, InDoubt, Outcome, Rejected
from stentor.channels.sandbox import store
from stentor.channels.sandbox.model import ChaosRule
from stentor.db.pool import Database
from stentor.db.remembered import Remembered

KEEP_S = 1.0
ENTRIES_MAX = 10_000

_ACCEPTED = Accepted()
_ON_HAND_OVER: dict[str, Outcome] = {
    "refuse": Rejected("550 5.7.1 refused by the sandbox, as its chaos setting asks"),
    "defer": Deferred("451 4.7.1 not now, as the sandbox's chaos setting asks"),
    "drop": InDoubt("the sandbox dropped the connection before its reply, as its chaos setting asks"),
}


class Chaos:
    """The rules that hold for one wave."""

    def __init__(self, rules: Sequence[ChaosRule], draw: Callable[[], float]) -> None:
        self._on_hand_over = [
            (_Hits(rule, draw), _ON_HAND_OVER[rule.effect]) for rule in rules if rule.effect in _ON_HAND_OVER
        ]
        self._afterwards = [(_Hits(rule, draw), rule) for rule in rules if rule.effect not in _ON_HAND_OVER]

    def on_hand_over(self, address: str) -> Outcome:
        """What the sandbox answers for a message to this address."""
        if not self._on_hand_over:
            return _ACCEPTED
        return next((outcome for hits, outcome in self._on_hand_over if hits(address)), _ACCEPTED)

    def afterwards(self, address: str) -> ChaosRule | None:
        """What happens to an accepted message later; None: nothing that anybody reports."""
        return next((rule for hits, rule in self._afterwards if hits(address)), None)

    @property
    def reports_afterwards(self) -> bool:
        return bool(self._afterwards)


class ChaosSource:
    """Each brand's rules, as they were at most one second ago."""

    def __init__(self, db: Database, draw: Callable[[], float] = random.random) -> None:
        self._db = db
        self._draw = draw
        self._remembered = Remembered(self._load, keep_s=KEEP_S, entries_max=ENTRIES_MAX)

    async def load(self, brand_id: UUID) -> Chaos:
        return await self._remembered.get(brand_id)

    async def _load(self, brand_id: UUID) -> Chaos:
        async with self._db.read() as conn:
            return Chaos(await store.chaos_rules(conn, brand_id), self._draw)


class _Hits:
    """Whether a rule hits an address: it matches the pattern, whatever its case, and the dice say so."""

    def __init__(self, rule: ChaosRule, draw: Callable[[], float]) -> None:
        self._share = rule.share
        self._draw = draw
        self._first, *self._more = rule.recipients.casefold().split("*")

    def __call__(self, address: str) -> bool:
        return self._matches(address.casefold()) and (self._share >= 1 or self._draw() < self._share)

    def _matches(self, address: str) -> bool:
        if not self._more:
            return address == self._first
        if not address.startswith(self._first):
            return False
        at = len(self._first)
        # The leftmost place for each middle text leaves the most room for the next, so one pass is enough.
        *middle, last = self._more
        for text in middle:
            at = address.find(text, at)
            if at < 0:
                return False
            at += len(text)
        return len(address) - len(last) >= at and address.endswith(last)
