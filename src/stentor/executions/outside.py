"""Why somebody has no send in an execution: not in its audience, on no route, in no arm, or not planned yet."""

from datetime import datetime
from uuid import UUID

from stentor.audience.casting import HELD_OUT, WAITING
from stentor.audience.customers import missing_customer
from stentor.audience.past import Past, past_of
from stentor.campaigns.model import Publication
from stentor.db.connection import Connection
from stentor.domain.vocabulary import channel_mask, channels_in
from stentor.executions.experiment_store import place_of
from stentor.executions.model import Execution
from stentor.executions.named import is_cast, is_named
from stentor.executions.replaying import MEANWHILE
from stentor.executions.steps.standing import why_not_in_step

_OF_NO_ARM = {
    HELD_OUT: "Held out by the campaign's experiment: nobody of its holdout gets anything.",
    WAITING: "In the rest, which waits for the winner of the execution's experiment and gets it by an execution of its own.",
}

NO_ROUTE = "no route's condition held for them."


async def outside(
    conn: Connection,
    execution: Execution,
    publication: Publication,
    customer: UUID,
    external_id: str,
    *,
    planned_at: datetime | None,
) -> str:
    """Why this customer has no send in the execution; `planned_at`: when their part of it was planned, None: not yet.

    Raises NotFound for somebody who is erased.
    """
    past = await past_of(conn, execution.brand_id, customer, execution.topic_id)
    if past.is_erased:
        raise missing_customer(external_id)
    if planned_at is None:
        return unplanned(execution)
    if execution.recipients:
        if publication.content.needs_cast and await is_named(conn, execution.brand_id, execution.id, customer):
            return f"Named by the call, but {NO_ROUTE}"
        return "Not among the recipients that the call named."
    if execution.cast_at is not None:
        return await _outside_of_cast(conn, execution, publication, customer, execution.cast_at)
    return "Not in the audience. " + _told_by_the_ledger(past, execution, publication, planned_at)


async def _outside_of_cast(
    conn: Connection, execution: Execution, publication: Publication, customer: UUID, cast_at: datetime
) -> str:
    place = await place_of(conn, execution.brand_id, execution.id, customer)
    if place in _OF_NO_ARM:
        return _OF_NO_ARM[place]
    is_in_it = await is_cast(conn, execution.brand_id, execution.id, customer)
    if execution.step and not is_in_it:
        return await why_not_in_step(conn, execution, customer)
    return _told_by_the_cast(publication, cast_at, is_in_it=is_in_it)


def _told_by_the_cast(publication: Publication, cast_at: datetime, *, is_in_it: bool) -> str:
    fixed = f"{cast_at:%Y-%m-%d %H:%M:%S} UTC"
    if is_in_it:
        return f"In the audience as it was fixed at {fixed}: that they have no message is a fault of ours."
    if publication.content.needs_cast:
        return f"When the audience was fixed, at {fixed}, they were not in it, or {NO_ROUTE}"
    return f"Not in the audience when it was fixed, at {fixed}."


def _told_by_the_ledger(past: Past, execution: Execution, publication: Publication, planned_at: datetime) -> str:
    """What it said of the topic when the execution was planned, and what was chosen only after that."""
    topic, planned = repr(execution.topic_key), f"{planned_at:%Y-%m-%d %H:%M:%S} UTC"
    last = past.last(planned_at, of_topic=True)
    if last is None:
        later = next((entry for entry in past.entries if entry.is_of_topic), None)
        if later is None:
            return f"Never opted in to the topic {topic}."
        return (
            f"Opted in to the topic {topic} only at {later.at:%Y-%m-%d %H:%M:%S} UTC by {later.source}, "
            f"after the execution was planned at {planned}."
        )
    kinds = ", ".join(kind.label for kind in channels_in(last.channels))
    told = (
        f"When it was planned, at {planned}, the last choice for the topic {topic} was {last.kind} ({kinds}) "
        f"at {last.at:%Y-%m-%d %H:%M:%S} UTC by {last.source}."
    )
    wanted = channel_mask(route.channel for route in publication.content.routes)
    # What was being committed while others were planned bears an earlier time.
    before, then = (past.at(at) for at in (planned_at - MEANWHILE, planned_at))
    if then is None or not then.topic_channels & wanted:
        return told
    if before is None or not before.topic_channels & wanted:
        return f"{told} That was while the execution was being planned, which did not see it yet."
    return f"{told} By the ledger they were in the audience: that they have no message is a fault of ours."


def unplanned(execution: Execution) -> str:
    """Why somebody of the execution has no send: they are not planned yet, or never will be."""
    if execution.state not in {"failed", "cancelled"}:
        if execution.paused_at is not None:
            return f"The execution is paused since {execution.paused_at:%Y-%m-%d %H:%M:%S} UTC, and not planned yet."
        return "The execution is not planned yet; ask again when it is published."
    ended = "failed" if execution.state == "failed" else "was cancelled"
    why = ": ".join(filter(None, (execution.error_code, execution.error_message)))
    whom = "anybody was planned" if not execution.audience_size else "this person's part of the audience was planned"
    return f"The execution {ended} before {whom}{f' ({why})' if why else ''}."
