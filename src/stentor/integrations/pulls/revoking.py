"""Revoking: whoever is on a list and has since said no is told of once, and handed over no more if that is still to come."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.domain.ids import part_of
from stentor.domain.vocabulary import Reason, SendState
from stentor.guard import contacts
from stentor.guard.store import release_addresses
from stentor.integrations.listeners.enqueueing import enqueue
from stentor.integrations.listeners.model import Event
from stentor.integrations.pulls.model import PulledRun
from stentor.integrations.pulls.revoking_store import Sql
from stentor.report.tally import Moves

TOLD_AT_ONCE_MAX = 500
"""People whom one notice names, by the ids that are made of brand and external id."""


class Revoked(NamedTuple):
    """Somebody who must not be written to any more, and why."""

    customer_id: UUID
    reason: Reason


class _Told(msgspec.Struct, frozen=True):
    number: int
    customer_id: UUID
    reason: str


class _Notice(msgspec.Struct, frozen=True):
    """The body of a notice. Who reads it finds the external ids, and all before, in the feed of the pull."""

    campaign: int
    channel: int
    revocations: list[_Told]


async def revoke(conn: Connection, run: PulledRun, revoked: Sequence[Revoked], *, held: Sequence[int]) -> int:
    """Revokes these people of the run, each once, and has its listeners told; returns how many are new.

    Who waits for their page still is skipped as `revoked`; who was handed over stays so, and shows as revoked. Call it last in
    a transaction: those who revoke at the same time wait for its commit, so that numbers become visible in their order. `held`:
    the chunks whose people may be skipped, locked by the caller (`store.hold_pulled`) before anything else.
    """
    if not revoked:
        return 0
    key = {"brand_id": run.brand_id, "execution_id": run.execution_id}
    reasons = {one.customer_id: one.reason for one in revoked}
    asked = {**key, **_people(list(reasons))}
    if skipped := await Sql.skip.column(conn, **asked, channel=int(run.channel), chunks=list(held)):
        await let_go(conn, run, skipped)
        moves = Moves(run.brand_id)
        moves.settled(run.execution_id, run.channel, SendState.SKIPPED, Reason.REVOKED, len(skipped))
        await moves.write(conn)
    # From here on alone: what somebody else revoked a moment ago is known.
    await Sql.lock_run.run(conn, **key, channel_number=run.channel_number)
    known = set(await Sql.known.column(conn, **key, channel_number=run.channel_number, **_people(list(reasons))))
    new = sorted(reasons.keys() - known)
    if not new:
        return 0
    last = await Sql.take_numbers.value(conn, **key, channel_number=run.channel_number, wanted=len(new))
    first = last - len(new) + 1
    await Sql.add.run(
        conn,
        **key,
        channel_number=run.channel_number,
        first=first,
        reasons=[int(reasons[one]) for one in new],
        **_people(new),
    )
    told = [_Told(number, one, reasons[one].label) for number, one in enumerate(new, first)]
    for start in range(0, len(told), TOLD_AT_ONCE_MAX):
        body = _Notice(run.campaign, run.channel_number, told[start : start + TOLD_AT_ONCE_MAX])
        await enqueue(
            conn,
            run.brand_id,
            Event.REVOCATION,
            msgspec.json.encode(body),
            channels=[run.channel_number],
            execution_id=run.execution_id,
        )
    return len(new)


async def let_go(conn: Connection, run: PulledRun, skipped: Sequence[UUID]) -> None:
    """Gives back what lists of the run hold for people who were just skipped: their reservations under caps, and their addresses."""
    keys = [(run.execution_id, customer) for customer in skipped]
    await contacts.settle(conn, run.brand_id, run.channel, refused=keys)
    await release_addresses(conn, run.brand_id, run.channel, keys)


def _people(customers: Sequence[UUID]) -> dict[str, list[UUID] | list[int]]:
    return {"parts": [part_of(customer) for customer in customers], "customer_ids": list(customers)}
