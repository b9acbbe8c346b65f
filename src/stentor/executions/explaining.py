"""Why one person did or did not get a message: each check, what it went by, what was decided, and what was answered.

Planning and a wave ask different checks in different orders, so what is told depends on which of them decided. Every check
that was made is made again, by what held then (`replaying.py`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from stentor.accounts.service import policies_between
from stentor.audience.customers import missing_customer
from stentor.audience.past import Past, past_of
from stentor.audience.reach import Recipient, recipients
from stentor.audience.segments.expressions import Expression
from stentor.campaigns.model import PartnerContent, Publication
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import part_of, recipient_id
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.executions.experiment_store import place_of
from stentor.executions.forgetting import forgotten_after
from stentor.executions.model import Execution
from stentor.executions.outside import outside
from stentor.executions.replaying import CHECKS, KNOWN_WITHIN, MEANWHILE, Kept, Replay
from stentor.guard.contacts import contacts_of
from stentor.guard.store import claimant, present
from stentor.optouts.listed_then import ListsThen, Subject, lists_then
from stentor.optouts.look_up import LookUp
from stentor.report.recipients import DeliveryAnswer, SendTrace, answers_of, sends_of

_PLANNING = ("consent", "complaint", "bounce", "address", "holdout", "quiet_hours")
"""What planning asks, in its order."""

_WAVE = (
    "holdout",
    "execution",
    "sender",
    "consent",
    "complaint",
    "bounce",
    "address",
    "break",
    "suppression",
    "deadline",
    "quiet_hours",
    "cap",
    "duplicate",
    "content",
)
"""What a wave asks, in its order, after what planning asked once and for all."""

FROZEN_OF_EACH_MAX = 5
"""Lists of one client that may have been the one by which somebody was guarded."""
FROZEN_LISTS_MAX = 50
"""Of all clients together; each is asked about at the moments when it began and ended."""

_TRACE = (
    "execution",
    "sender",
    "consent",
    "break",
    "suppression",
    "complaint",
    "bounce",
    "address",
    "duplicate",
    "holdout",
    "deadline",
    "cap",
    "quiet_hours",
    "content",
)
"""The checks in the order in which they are told: what a person said, where they are reached, what the sender set."""

_TIMED = "What quiet hours keep until later is on the service's list with that time."

_WAITING = frozenset({SendState.PENDING, SendState.HELD})


class Sql(QuerySet, file="explaining.sql", package=__package__):
    kept_since: Statement
    planned_at: Statement
    waves_of: Statement
    frozen_lists: Statement
    chunk_and_sender: Statement
    paused_senders: Statement


class Check(msgspec.Struct, frozen=True):
    """One check of the guard: `passed`, `objected`, or `not_reached` because an earlier one objected or none was due yet.

    `detail` says what it went by. `replayed`: it was made again by what held then, and not only read as it was stored;
    `differs`: it came to something else, which is a fault of ours.
    """

    name: str
    outcome: str
    reason: str = ""
    detail: str = ""
    replayed: bool = False
    differs: bool = False


class ChannelExplanation(msgspec.Struct, frozen=True):
    """What became of one person on one channel, with the template and language that were chosen."""

    channel: str
    state: str
    reason: str
    decided_at: datetime
    held_until: datetime | None
    tries: int
    doubts: int
    template: str
    template_version: int
    language: str
    route: int
    """Which route of the campaign, from 0: on its channel the first whose condition held when the people were fixed."""
    when: Expression | None
    """That condition; None: it is meant for everybody."""
    arm: str | None
    """Of the campaign's experiment; None where it has none."""
    partner: PartnerContent | None
    """What a partner sends there, that pulls whom it is for; None for what goes out from here."""
    checks: list[Check]
    answers: list[DeliveryAnswer]


class Explanation(msgspec.Struct, frozen=True):
    """The whole story of one person in one execution.

    Without `channels` the person was not in the audience, and `outside` says what the consent ledger knows.
    """

    execution_id: UUID
    external_id: str
    customer_id: UUID
    channels: list[ChannelExplanation]
    outside: str = ""
    forgotten: str = ""
    """What is not kept any more of the execution, and since when; empty while all of it is."""


class PausedSender(msgspec.Struct, frozen=True):
    """A sender that somebody of an execution waits for."""

    name: str
    channel: ChannelKind
    paused_at: datetime


class _Asked(NamedTuple):
    """Who is asked about, in which execution. `person`: as they are now, None when they are erased."""

    execution: Execution
    publication: Publication
    customer: UUID
    person: Recipient | None
    past: Past
    kept_since: datetime


class _Chunk(NamedTuple):
    """Where a send waits: until when, and for which sender."""

    due_at: datetime | None = None
    sender: str = ""
    sender_paused_at: datetime | None = None


async def explain(
    conn: Connection, look_up: LookUp, execution: Execution, publication: Publication, external_id: str
) -> Explanation:
    """The story of the customer with that external id. Raises NotFound when the brand has no such customer.

    And as `LookUp.found`, which `LookUp.surely` answers.
    """
    try:
        customer = recipient_id(execution.brand_id, external_id)
    except ValueError:
        raise missing_customer(external_id) from None
    channels = await explain_channels(conn, look_up, execution, publication, customer)
    why = ""
    if not channels:
        _, planned_at = await _planned_at(conn, execution, customer)
        why = await outside(conn, execution, publication, customer, external_id, planned_at=planned_at)
    days = await forgotten_after(conn, execution.brand_id, execution.id)
    return Explanation(
        execution_id=execution.id,
        external_id=external_id,
        customer_id=customer,
        channels=channels,
        outside=why,
        forgotten="" if days is None else f"What the call said and what was answered was forgotten after {days} days.",
    )


async def explain_channels(
    conn: Connection,
    look_up: LookUp,
    execution: Execution,
    publication: Publication,
    customer: UUID,
    *,
    meanwhile: timedelta = MEANWHILE,
) -> list[ChannelExplanation]:
    """What became of that person on each channel; nothing when they were not in the audience, or are not planned yet.

    `meanwhile`: how long before its stamp a decision may have been made. Raises as `LookUp.found`.
    """
    traces = await sends_of(conn, execution.brand_id, execution.id, customer)
    if not traces:
        return []
    experiment = publication.content.experiment
    place = None if experiment is None else await place_of(conn, execution.brand_id, execution.id, customer)
    arm = None if experiment is None or place is None else experiment.names[place]
    answers = await answers_of(conn, execution.brand_id, execution.id, customer)
    past = await past_of(conn, execution.brand_id, customer, execution.topic_id)
    (person,) = await recipients(conn, execution.brand_id, [(customer, execution.topic_id)])
    asked = _Asked(execution, publication, customer, person, past, await Sql.kept_since.value(conn))
    told: list[ChannelExplanation] = []
    for trace in traces:
        kept = await _kept(conn, look_up, asked, trace, meanwhile)
        chunk = await _chunk(conn, execution, trace)
        ordinal, variant = publication.content.place(trace.channel, trace.variant)
        route = publication.content.routes[ordinal]
        told.append(
            ChannelExplanation(
                channel=trace.channel.label,
                state=trace.state.label,
                reason=trace.reason.label,
                decided_at=trace.decided_at,
                held_until=chunk.due_at if trace.state is SendState.HELD else None,
                tries=trace.tries,
                doubts=trace.doubts,
                template=route.template_name,
                template_version=route.template_version,
                language=route.variants[variant].language,
                route=ordinal,
                when=route.when,
                arm=arm,
                partner=None if execution.is_test else route.partner,
                checks=_checks(kept, chunk, Replay(kept, meanwhile=meanwhile)),
                answers=[answer for answer in answers if answer.channel is trace.channel],
            )
        )
    return told


async def paused_senders(conn: Connection, brand_id: UUID, execution_id: UUID) -> list[PausedSender]:
    """The senders that somebody of the execution waits for because they are paused, by name."""
    rows = await Sql.paused_senders.tuples(conn, brand_id=brand_id, execution_id=execution_id)
    return [PausedSender(name, ChannelKind(channel), paused_at) for name, channel, paused_at in rows]


async def _planned_at(
    conn: Connection, execution: Execution, customer: UUID
) -> tuple[datetime | None, datetime | None]:
    """The execution's deadline, and when this person's part of it was planned; None where there is none, or not yet."""
    rows = await Sql.planned_at.tuples(
        conn, brand_id=execution.brand_id, execution_id=execution.id, part=part_of(customer)
    )
    deadline_at, planned_at = rows[0] if rows else (None, None)
    return deadline_at, planned_at


async def _chunk(conn: Connection, execution: Execution, trace: SendTrace) -> _Chunk:
    if trace.state not in _WAITING:
        return _Chunk()
    rows = await Sql.chunk_and_sender.tuples(
        conn, brand_id=execution.brand_id, execution_id=execution.id, number=trace.chunk
    )
    return _Chunk(*rows[0]) if rows else _Chunk()


async def _kept(conn: Connection, look_up: LookUp, asked: _Asked, trace: SendTrace, meanwhile: timedelta) -> Kept:
    execution, publication, customer, _, past, kept_since = asked
    brand_id = execution.brand_id
    deadline_at, planned_at = await _planned_at(conn, execution, customer)
    by_planning = trace.state is SendState.PENDING or (planned_at is not None and trace.decided_at <= planned_at)
    moments: list[datetime] = [trace.decided_at]
    if trace.state is SendState.PENDING:
        moments = [planned_at] if planned_at else []
    elif (partner := _partner(asked, trace)) is not None:
        lists = await Sql.frozen_lists.tuples(
            conn,
            brand_id=brand_id,
            execution_id=execution.id,
            channel_number=partner.channel_number,
            until=trace.decided_at + KNOWN_WITHIN,
            of_each=FROZEN_OF_EACH_MAX,
            limit=FROZEN_LISTS_MAX,
        )
        # People are read when a list begins to be frozen. Who was handed over is stamped later, when they were fetched.
        freezes = [at for began, ended in lists for at in (began, ended)]
        moments = freezes if trace.state is SendState.HANDED_OVER else [trace.decided_at, *freezes]
    elif _objecting(trace) in {None, "content"}:
        waves: Sequence[datetime] = await Sql.waves_of.column(
            conn, brand_id=brand_id, execution_id=execution.id, chunk=trace.chunk, customer_id=customer
        )
        moments = [at for at in waves if at <= trace.decided_at + KNOWN_WITHIN]
    then = past.at(moments[0]) if moments else None
    digest = None if then is None else then.digest_on(trace.channel)
    owner = None if digest is None else await claimant(conn, brand_id, execution.id, trace.channel, digest)
    return Kept(
        execution=execution,
        publication=publication,
        deadline_at=deadline_at,
        customer=customer,
        send=trace,
        moments=moments,
        by_planning=by_planning,
        kept_since=kept_since,
        past=past,
        lists=await _lists(conn, look_up, asked, trace, at=moments[0] if moments else trace.decided_at),
        policies=await policies_between(conn, brand_id, min(moments) - meanwhile - KNOWN_WITHIN, max(moments))
        if moments
        else [],
        contacts=await contacts_of(conn, brand_id, customer),
        shares_address=owner is not None and owner != customer,
        now=await present(conn),
    )


def _partner(asked: _Asked | Kept, trace: SendTrace) -> PartnerContent | None:
    """What a partner sends, of a send that it pulls."""
    route, _ = asked.publication.content.wording(trace.channel, trace.variant)
    return None if asked.execution.is_test else route.partner


async def _lists(conn: Connection, look_up: LookUp, asked: _Asked, trace: SendTrace, *, at: datetime) -> ListsThen:
    """What opt-out lists say of all the addresses that they ever had on the channel; only the present one is kept as it is."""
    channel, person = trace.channel, asked.person
    addresses = dict.fromkeys(asked.past.digests(channel), "")
    if person is not None and (digest := person.digest_on(channel)) is not None:
        addresses[digest] = person.address_on(channel)
    subject = Subject(channel, asked.publication.content.campaign_id, asked.execution.topic_id)
    stored = trace.evidence if trace.reason is Reason.SUPPRESSED else 0
    return await lists_then(conn, look_up, asked.execution.brand_id, subject, addresses, at=at, stored=stored)


def _checks(kept: Kept, chunk: _Chunk, replay: Replay) -> list[Check]:
    objecting = _objecting(kept.send)
    made = _made(kept, objecting)
    pauses = _pauses(kept, chunk)
    checks: list[Check] = []
    if kept.send.state is SendState.HANDED_OVER and _partner(kept, kept.send) is not None:
        pauses["quiet_hours"] = Check("quiet_hours", "passed", detail=_TIMED)
    for name in _TRACE:
        if name in pauses:
            checks.append(pauses[name])
        elif name in made:
            reason = kept.send.reason if name == objecting else Reason.NONE
            found = replay.find(name, reason)
            differs = found.is_kept and found.reason is not reason
            outcome = "objected" if name == objecting else "passed"
            checks.append(Check(name, outcome, reason.label, found.detail, replayed=found.is_kept, differs=differs))
        else:
            checks.append(Check(name, "not_reached"))
    return checks


def _objecting(trace: SendTrace) -> str | None:
    return next((name for name, reasons in CHECKS.items() if trace.reason in reasons), None)


def _made(kept: Kept, objecting: str | None) -> Sequence[str]:
    """The checks that were made for this decision, up to the one that objected."""
    if kept.send.state is SendState.PENDING:
        # Whether it is quiet is asked when it leaves: planning only holds what can be told beforehand.
        return _PLANNING[: _PLANNING.index("quiet_hours")]
    order = list(_PLANNING if kept.by_planning else _WAVE)
    if objecting in {"execution", "deadline"}:
        # What is over waits for no sender.
        order.remove("sender")
    return order if objecting is None else order[: order.index(objecting) + 1]


def _pauses(kept: Kept, chunk: _Chunk) -> dict[str, Check]:
    """What a message waits for that nobody has decided about: until it is resumed, its deadline passes, or it is cancelled."""
    execution = kept.execution
    is_over = execution.state in {"cancelled", "failed"} or (
        kept.deadline_at is not None and kept.deadline_at <= kept.now
    )
    if kept.send.state not in _WAITING or is_over:
        return {}
    pauses = _waits(kept)
    if execution.paused_at is not None:
        told = f"Paused since {execution.paused_at:%Y-%m-%d %H:%M:%S} UTC."
        pauses["execution"] = _paused("execution", Reason.EXECUTION_PAUSED, told)
    if chunk.sender_paused_at is not None:
        told = f"The sender {chunk.sender!r} is paused since {chunk.sender_paused_at:%Y-%m-%d %H:%M:%S} UTC."
        pauses["sender"] = _paused("sender", Reason.SENDER_PAUSED, told)
    return pauses


def _waits(kept: Kept) -> dict[str, Check]:
    """That it waits for a service to pull it, where one does."""
    partner = _partner(kept, kept.send)
    if partner is None:
        return {}
    told = f"Waits until the service of channel {partner.channel_number} pulls it."
    return {"sender": Check("sender", "not_reached", detail=told)}


def _paused(name: str, reason: Reason, told: str) -> Check:
    return Check(name, "objected", reason.label, told, replayed=True)
