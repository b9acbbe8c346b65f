"""Why one person did or did not get a message: the stored verdict, the checks before it, and what was answered."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from stentor.audience import reach
from stentor.audience.customers import missing_customer
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.domain.ids import recipient_id
from stentor.domain.vocabulary import Reason, SendState, channels_in
from stentor.executions import store
from stentor.executions.model import Execution
from stentor.executions.quieting import BrandQuiet
from stentor.guard.caps import BRAND_RULES_FROM
from stentor.guard.places import place_of
from stentor.guard.quiet_hours import QuietHours
from stentor.report.recipients import DeliveryAnswer, SendTrace, answers_of, sends_of

_QUIET_REASONS = frozenset({Reason.QUIET_HOURS, Reason.QUIET_HOURS_CANCELLED, Reason.NO_TIMEZONE})
_CHECKS: tuple[tuple[str, frozenset[Reason]], ...] = (
    ("execution", frozenset({Reason.EXECUTION_CANCELLED})),
    ("consent", frozenset({Reason.NOT_OPTED_IN, Reason.UNSUBSCRIBED})),
    ("complaint", frozenset({Reason.COMPLAINED})),
    ("bounce", frozenset({Reason.BOUNCED_BEFORE})),
    ("address", frozenset({Reason.NO_ADDRESS, Reason.INVALID_ADDRESS})),
    ("holdout", frozenset({Reason.HOLDOUT})),
    ("suppression", frozenset({Reason.SUPPRESSED})),
    ("deadline", frozenset({Reason.DEADLINE})),
    ("quiet_hours", _QUIET_REASONS),
    ("cap", frozenset({Reason.FREQUENCY_CAP})),
    ("duplicate", frozenset({Reason.DUPLICATE_ADDRESS, Reason.DUPLICATE_RECIPIENT})),
    ("content", frozenset({Reason.TEMPLATE_ERROR, Reason.EMPTY_CONTENT, Reason.ABORT_BY_TEMPLATE})),
)
"""The checks in the order in which the guard makes them, each with the reasons that it objects with."""

_TRACE = (
    "execution",
    "consent",
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

_ZONES_TOLD = 3


class Check(msgspec.Struct, frozen=True):
    """One check of the guard: `passed`, `objected`, or `not_reached` because an earlier one objected or none was due yet.

    `detail` says which rule objected, and with what it found, where there are several.
    """

    name: str
    outcome: str
    reason: str = ""
    detail: str = ""


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


async def explain(
    conn: Connection, execution: Execution, publication: Publication, quiet: BrandQuiet, external_id: str
) -> Explanation:
    """The story of the customer with that external id. Raises NotFound when the brand has no such customer."""
    try:
        customer = recipient_id(execution.brand_id, external_id)
    except ValueError:
        raise missing_customer(external_id) from None
    channels = await explain_channels(conn, execution, publication, quiet, customer)
    outside = "" if channels else await _outside(conn, execution, customer, external_id)
    return Explanation(
        execution_id=execution.id, external_id=external_id, customer_id=customer, channels=channels, outside=outside
    )


async def explain_channels(
    conn: Connection, execution: Execution, publication: Publication, quiet: BrandQuiet, customer: UUID
) -> list[ChannelExplanation]:
    """What became of that person on each channel; nothing when they were not in the audience, or are not planned yet."""
    traces = await sends_of(conn, execution.brand_id, execution.id, customer)
    answers = await answers_of(conn, execution.brand_id, execution.id, customer) if traces else []
    return [
        _channel(
            trace,
            publication,
            answers,
            held_until=await _held_until(conn, execution, trace),
            detail=_cap_detail(trace, publication)
            or await _quiet_detail(conn, execution, quiet.on(publication.content, trace.channel), trace, customer),
        )
        for trace in traces
    ]


async def _held_until(conn: Connection, execution: Execution, trace: SendTrace) -> datetime | None:
    if trace.state is not SendState.HELD:
        return None
    return await store.chunk_due_at(conn, execution.brand_id, execution.id, trace.chunk)


async def _quiet_detail(
    conn: Connection, execution: Execution, hours: QuietHours | None, trace: SendTrace, customer: UUID
) -> str:
    """What the clock said when quiet hours objected, by where the person is now."""
    if hours is None or trace.reason not in _QUIET_REASONS:
        return ""
    (person,) = await reach.recipients(conn, execution.brand_id, [(customer, execution.topic_id)])
    if person is None:
        return ""
    zones = hours.zones(place_of(person.time_zone, person.phone))
    clocks = ", ".join(
        f"{trace.decided_at.astimezone(ZoneInfo(zone)):%a %H:%M} in {zone}" for zone in zones[:_ZONES_TOLD]
    )
    more = f" and {len(zones) - _ZONES_TOLD} more zones" if len(zones) > _ZONES_TOLD else ""
    return f"It was {clocks}{more}; rule {trace.rule} objected."


def _channel(
    trace: SendTrace,
    publication: Publication,
    answers: list[DeliveryAnswer],
    *,
    held_until: datetime | None,
    detail: str,
) -> ChannelExplanation:
    route = next(route for route in publication.content.routes if route.channel == trace.channel)
    return ChannelExplanation(
        channel=trace.channel.label,
        state=trace.state.label,
        reason=trace.reason.label,
        decided_at=trace.decided_at,
        held_until=held_until,
        tries=trace.tries,
        doubts=trace.doubts,
        template=route.template_name,
        template_version=route.template_version,
        language=route.variants[trace.variant].language,
        checks=_checks(trace, detail),
        answers=[answer for answer in answers if answer.channel is trace.channel],
    )


def _checks(trace: SendTrace, detail: str) -> list[Check]:
    objecting = next((name for name, reasons in _CHECKS if trace.reason in reasons), None)
    if objecting is None:
        outcome = "not_reached" if trace.state is SendState.PENDING else "passed"
        return [Check(name, outcome) for name in _TRACE]
    made = [name for name, _ in _CHECKS]
    passed = made[: made.index(objecting)]
    return [
        Check(name, "objected", trace.reason.label, detail)
        if name == objecting
        else Check(name, "passed" if name in passed else "not_reached")
        for name in _TRACE
    ]


def _cap_detail(trace: SendTrace, publication: Publication) -> str:
    """The cap as it was then: a campaign's is frozen in its publication, a brand's may have been changed since."""
    if trace.reason is not Reason.FREQUENCY_CAP:
        return ""
    counted = f"{trace.evidence} counted"
    if trace.rule > BRAND_RULES_FROM:
        return f"The brand's cap {trace.rule - BRAND_RULES_FROM}: {counted}."
    cap = publication.content.policy.caps[trace.rule - 1]
    return f"The campaign's cap {trace.rule}, at most {cap.at_most} per {cap.per}: {counted}."


async def _outside(conn: Connection, execution: Execution, customer: UUID, external_id: str) -> str:
    (person,) = await reach.recipients(conn, execution.brand_id, [(customer, execution.topic_id)])
    if person is None:
        raise missing_customer(external_id)
    if execution.published_at is None:
        return unplanned(execution)
    if execution.recipients:
        return "Not among the recipients that the call named."
    changed = await reach.last_choice(conn, execution.brand_id, customer, execution.topic_id)
    if changed is None:
        return f"Never opted in to the topic {execution.topic_key!r}."
    kinds = ", ".join(kind.label for kind in channels_in(changed.channels))
    return (
        f"Not in the audience. The last choice for the topic {execution.topic_key!r} was {changed.kind} "
        f"({kinds}) at {changed.at:%Y-%m-%d %H:%M:%S} UTC by {changed.source}."
    )


def unplanned(execution: Execution) -> str:
    """Why nobody of the execution has a send: it is not planned yet, or never will be."""
    if execution.state not in {"failed", "cancelled"}:
        return "The execution is not planned yet; ask again when it is published."
    ended = "failed" if execution.state == "failed" else "was cancelled"
    why = ": ".join(filter(None, (execution.error_code, execution.error_message)))
    return f"The execution {ended} before anybody was planned{f' ({why})' if why else ''}."
