"""One message by its send id: how it stands, why, and what happened to it when."""

from datetime import datetime
from uuid import UUID

import msgspec

from stentor.audience import reach
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind, Reason, SendState
from stentor.executions.explaining import ChannelExplanation, explain_channels
from stentor.executions.model import Execution
from stentor.executions.named import is_cast, is_named
from stentor.executions.outside import NO_ROUTE, unplanned
from stentor.optouts.look_up import LookUp


class MessageEvent(msgspec.Struct, frozen=True):
    """Something that happened to a message; `detail` is a reason, or a provider's own words."""

    at: datetime
    what: str
    detail: str = ""


class MessageStory(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it stands. `told` is how its send was decided; None as long as, or because, it was not planned.

    `external_id` is None when its recipient was erased; `note` says what `state` and `reason` cannot.
    """

    execution: Execution
    external_id: str | None
    channel: ChannelKind
    state: SendState
    reason: Reason
    note: str
    told: ChannelExplanation | None
    timeline: list[MessageEvent]


async def message_story(
    conn: Connection,
    look_up: LookUp,
    execution: Execution,
    publication: Publication,
    *,
    customer: UUID,
    channel: ChannelKind,
) -> MessageStory | None:
    """The story of the execution's message to that person on that channel; None when there is none. Raises as `LookUp.found`."""
    channels = await explain_channels(conn, look_up, execution, publication, customer)
    told = next((one for one in channels if one.channel == channel.label), None)
    if told is None and not await _is_meant(conn, execution, customer):
        return None
    if told is not None:
        state, reason, note = SendState[told.state.upper()], _reason(told), _objection(told)
    elif channels:
        state, reason = SendState.SKIPPED, Reason.OTHER_CHANNEL
        note = f"The campaign writes to each person on one channel; this one was chosen: {channels[0].channel}."
    else:
        state, reason = _unplanned(execution)
        note = unplanned(execution)
    if told is None and _had_no_route(execution, publication, channels):
        state, reason, note = SendState.SKIPPED, Reason.OTHER_CHANNEL, f"On {channel.label}, {NO_ROUTE}"
    (person,) = await reach.recipients(conn, execution.brand_id, [(customer, execution.topic_id)])
    return MessageStory(
        execution=execution,
        external_id=None if person is None else person.external_id,
        channel=channel,
        state=state,
        reason=reason,
        note=note,
        told=told,
        timeline=_timeline(execution, told),
    )


def _had_no_route(execution: Execution, publication: Publication, channels: list[ChannelExplanation]) -> bool:
    """Whether no route was meant for who has no send, rather than another channel chosen, or nothing planned yet."""
    was_chosen_from = publication.content.mode == "first" and channels
    return publication.content.needs_cast and execution.published_at is not None and not was_chosen_from


async def _is_meant(conn: Connection, execution: Execution, customer: UUID) -> bool:
    """Whether the call named the person, or the execution's cast holds them."""
    meant = is_named if execution.recipients else is_cast
    return await meant(conn, execution.brand_id, execution.id, customer)


def _reason(told: ChannelExplanation) -> Reason:
    return Reason[told.reason.upper()] if told.reason else Reason.NONE


def _objection(told: ChannelExplanation) -> str:
    return next((check.detail for check in told.checks if check.outcome == "objected"), "")


def _unplanned(execution: Execution) -> tuple[SendState, Reason]:
    if execution.state == "cancelled":
        return SendState.SKIPPED, Reason.EXECUTION_CANCELLED
    if execution.state == "failed":
        return (
            (SendState.SKIPPED, Reason.DEADLINE)
            if execution.error_code == "DEADLINE"
            else (SendState.FAILED, Reason.NONE)
        )
    return SendState.PENDING, Reason.NONE


def _timeline(execution: Execution, told: ChannelExplanation | None) -> list[MessageEvent]:
    events = [MessageEvent(execution.created_at, "queued")]
    if execution.published_at is not None:
        events.append(MessageEvent(execution.published_at, "planned"))
    if told is None:
        if execution.state in {"cancelled", "failed"}:
            events.append(MessageEvent(execution.status_at, execution.state, execution.error_message or ""))
        return events
    if told.state != SendState.PENDING.label:
        events.append(MessageEvent(told.decided_at, told.state, told.reason))
    events += [MessageEvent(answer.at, answer.kind, answer.answer) for answer in told.answers]
    return sorted(events, key=lambda event: event.at)
