"""What may be ordered for sends that failed or are in doubt: try again, send again, or call them settled.

An order is a row, written while the execution is locked; workers carry it out, a range of parts per transaction, so that
half a million people hold up nobody, a killed worker loses nothing of it, and whoever is moved is moved once.
"""

from collections import Counter
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
import structlog

from stentor.db.by_keys import go_by_keys
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.deliver.model import KEPT_BITS_MASK, PLACE_MASK, resend_round
from stentor.domain.ids import PARTS
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.executions.ending import end_finished
from stentor.executions.model import ExecutionState
from stentor.executions.steps.store import reopen as reopen_steps
from stentor.failpoints import failpoint
from stentor.guard import contacts
from stentor.guard.store import release_addresses
from stentor.report.tally import Moves

log = structlog.get_logger(__name__)

Action: TypeAlias = Literal["retry_failed", "resend", "settle_as_handed_over", "settle_as_failed"]

REMEDIES_LISTED_MAX = 100

STEP_PEOPLE = 20_000
"""How many people one transaction looks at: some 0.2 s when all of them are concerned."""


class Sql(QuerySet, file="remedies.sql", package=__package__):
    hold_run: Statement
    lock: Statement
    counted: Statement
    is_under_way: Statement
    reopen: Statement
    order: Statement
    asking_channels: Statement
    claim: Statement
    treat: Statement
    open_chunks: Statement
    note_progress: Statement
    page: Statement


class Remedy(msgspec.Struct, frozen=True):
    """An order: for whom (everybody who stood so when it was asked, on all channels or one), and how far it is.

    `sends` were treated until now; `done_at` is None while it is being carried out.
    """

    number: int
    action: Action
    channel: ChannelKind | None
    asked_by: str
    asked_at: datetime
    sends: int
    done_at: datetime | None


class Treatment(msgspec.Struct, frozen=True):
    """Which sends an action is for, and what it makes of them. `reasons` None: whatever their reason."""

    state_from: SendState
    reasons: tuple[Reason, ...] | None
    state_to: SendState
    reason_to: Reason = Reason.NONE

    @property
    def sends_again(self) -> bool:
        """Whether it makes them pending, and so needs an execution that is not over."""
        return self.state_to is SendState.PENDING


TREATMENTS: dict[Action, Treatment] = {
    "retry_failed": Treatment(
        SendState.FAILED, (Reason.RETRIES_EXHAUSTED, Reason.PROVIDER_REJECTED), SendState.PENDING
    ),
    "resend": Treatment(SendState.UNKNOWN, None, SendState.PENDING),
    "settle_as_handed_over": Treatment(SendState.UNKNOWN, None, SendState.HANDED_OVER),
    "settle_as_failed": Treatment(SendState.UNKNOWN, None, SendState.FAILED, Reason.IN_DOUBT),
}


class OpenRemedy(msgspec.Struct, frozen=True):
    """A remedy that a worker holds locked, with how its execution stands."""

    execution_id: UUID
    number: int
    brand_id: UUID
    action: Action
    channel: int | None
    asked_at: datetime
    next_part: int
    state: ExecutionState
    audience_size: int

    @property
    def part_to(self) -> int:
        """The last part of its next step."""
        width = max(1, PARTS * STEP_PEOPLE // max(self.audience_size, 1))
        return min(self.next_part + width, PARTS) - 1

    @property
    def is_moot(self) -> bool:
        """Whether there is nobody to be sent anything any more: it was cancelled meanwhile, or failed."""
        return TREATMENTS[self.action].sends_again and self.state in {"cancelled", "failed"}


async def lock(conn: Connection, brand_id: UUID, execution_id: UUID) -> tuple[ExecutionState, bool, bool, bool] | None:
    """The execution's state, whether its deadline has passed, if it is a test, and whether what it said is forgotten.

    They stay so until the transaction ends. A step's words are forgotten with its run's. None when it is not there.
    """
    await Sql.hold_run.run(conn, brand_id=brand_id, execution_id=execution_id)
    found = await Sql.lock.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return (found[0][0], found[0][1], found[0][2], found[0][3]) if found else None


async def order(
    conn: Connection, brand_id: UUID, execution_id: UUID, action: Action, channel: ChannelKind | None, *, asked_by: str
) -> None:
    """Orders a remedy for the locked execution, which is open again until it is carried out.

    Does nothing when nobody stands so, or when the same is being carried out already.
    """
    treatment = TREATMENTS[action]
    execution = {"brand_id": brand_id, "execution_id": execution_id, "channel": channel}
    concerned = await Sql.counted.value(conn, state=treatment.state_from, reasons=_reasons(treatment), **execution)
    if not concerned or await Sql.is_under_way.value(conn, action=action, **execution):
        return
    number = await Sql.reopen.value(conn, brand_id=brand_id, execution_id=execution_id)
    await reopen_steps(conn, brand_id, execution_id)
    await Sql.order.run(conn, number=number, action=action, asked_by=asked_by, **execution)


async def asking_channels(conn: Connection, brand_id: UUID, execution_id: UUID) -> set[str]:
    """The names of the channels on which a sender of the execution asks what becomes of doubt."""
    found = await Sql.asking_channels.column(conn, brand_id=brand_id, execution_id=execution_id)
    return {ChannelKind(channel).label for channel in found}


async def page(conn: Connection, brand_id: UUID, execution_id: UUID) -> list[Remedy]:
    """The execution's last `REMEDIES_LISTED_MAX` remedies, newest first."""
    rows = await Sql.page.tuples(conn, brand_id=brand_id, execution_id=execution_id, limit=REMEDIES_LISTED_MAX)
    return [
        Remedy(number, action, None if channel is None else ChannelKind(channel), *rest)
        for number, action, channel, *rest in rows
    ]


async def carry_out_next(db: Database) -> bool:
    """Takes the next step of what was ordered first; False when nothing is left to do."""
    async with db.transaction() as conn:
        await go_by_keys(conn)
        remedy = await Sql.claim.first(conn, OpenRemedy)
        if remedy is None:
            return False
        sends = 0 if remedy.is_moot else await _treat(conn, remedy)
        is_done = remedy.is_moot or remedy.part_to == PARTS - 1
        await Sql.note_progress.run(
            conn,
            brand_id=remedy.brand_id,
            execution_id=remedy.execution_id,
            number=remedy.number,
            next_part=remedy.part_to + 1,
            sends=sends,
            is_done=is_done,
        )
        failpoint("remedy.before_commit")
    failpoint("remedy.after_commit")
    if is_done:
        log.info("remedy.done", execution_id=str(remedy.execution_id), number=remedy.number, action=remedy.action)
        await end_finished(db, [remedy.execution_id])
    return True


async def _treat(conn: Connection, remedy: OpenRemedy) -> int:
    treatment = TREATMENTS[remedy.action]
    treated = await Sql.treat.tuples(
        conn,
        brand_id=remedy.brand_id,
        execution_id=remedy.execution_id,
        part_from=remedy.next_part,
        part_to=remedy.part_to,
        state_from=treatment.state_from,
        reasons=_reasons(treatment),
        channel=remedy.channel,
        asked_at=remedy.asked_at,
        state_to=treatment.state_to,
        reason_to=treatment.reason_to,
        round=resend_round(remedy.number),
        low_bits=KEPT_BITS_MASK,
    )
    if not treated:
        return 0
    if treatment.state_to is SendState.FAILED:
        await _give_back(conn, remedy, treated)
    if treatment.sends_again:
        await _open_chunks(conn, remedy, Counter(number for _, _, number, _ in treated))
    moves = Moves(remedy.brand_id)
    for (channel, reason), sends in Counter((channel, reason) for _, channel, _, reason in treated).items():
        moves.moved(
            remedy.execution_id,
            channel,
            (treatment.state_from, Reason(reason)),
            (treatment.state_to, treatment.reason_to),
            sends,
        )
    await moves.write(conn)
    return len(treated)


async def _open_chunks(conn: Connection, remedy: OpenRemedy, sends: Counter[int]) -> None:
    await Sql.open_chunks.run(
        conn,
        brand_id=remedy.brand_id,
        execution_id=remedy.execution_id,
        numbers=list(sends),
        sends=list(sends.values()),
        place_mask=PLACE_MASK,
    )


async def _give_back(conn: Connection, remedy: OpenRemedy, treated: list[tuple[UUID, int, int, int]]) -> None:
    """What was held for them: messages that caps count, and addresses that they share with others."""
    for kind in sorted({channel for _, channel, _, _ in treated}):
        keys = [(remedy.execution_id, customer) for customer, channel, _, _ in treated if channel == kind]
        await contacts.give_back(conn, remedy.brand_id, ChannelKind(kind), keys)
        await release_addresses(conn, remedy.brand_id, ChannelKind(kind), keys)


def _reasons(treatment: Treatment) -> list[int] | None:
    return None if treatment.reasons is None else [int(reason) for reason in treatment.reasons]
