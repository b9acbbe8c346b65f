"""What quiet hours make of the people of one route, worked out once for each place before any of them is planned."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.deliver.model import SLOTS, released_at, slot_in, slot_of
from stentor.domain.objections import Hold, Objection
from stentor.domain.vocabulary import SendState
from stentor.guard.quiet_hours import QuietHours


class QuietPlan(msgspec.Struct, frozen=True):
    """The verdict on each place where it is quiet, as the planning statement takes it, and the due time of each slot.

    A verdict packs, from its lowest bits on: the state (2 bits), the reason (6), the rule's number (7) and the slot (7).
    """

    verdicts: dict[str, int]
    due: dict[int, datetime]

    def due_at(self, number: int, key_from: UUID) -> datetime | None:
        """When the chunk of that number and first key falls due; None: now."""
        slot = slot_in(number)
        return released_at(self.due[slot], key_from) if slot else None


def quiet_plan(hours: QuietHours, places: Iterable[str], at: datetime) -> QuietPlan | None:
    """What becomes of people of these places at that instant; None when it is open for everybody."""
    plan = QuietPlan({}, {})
    for place in places:
        objection = hours.objection(place, at)
        if objection is not None and (verdict := _verdict(objection, plan.due)) is not None:
            plan.verdicts[place] = verdict
    return plan if plan.verdicts else None


def _verdict(objection: Objection, due: dict[int, datetime]) -> int | None:
    if not isinstance(objection, Hold):
        return SendState.SKIPPED | objection.reason << 2 | objection.rule << 8
    slot = slot_of(objection.until)
    while due.setdefault(slot, objection.until) != objection.until:
        # Another due time has this slot. Were none left, the wave would find that it is quiet, and hold them then.
        if len(due) == SLOTS:
            return None
        slot = slot % SLOTS + 1
    return SendState.HELD | objection.reason << 2 | objection.rule << 8 | slot << 15
