"""Whether what a partner says is about an execution, a channel and a template that it may speak of."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.errors import Invalid, Violation
from stentor.integrations.metrics import store
from stentor.integrations.metrics.model import NO_TEMPLATE, Run

NUMBER_MAX = 2**31 - 1
# Whoever sends more of them has one thing to mend, and needs no more to see which.
VIOLATIONS_MAX = 20


class Named(NamedTuple):
    """An execution by its run number, a partner channel, and a template of it, or 0."""

    campaign: int
    channel: int
    template: int


async def found(
    conn: Connection,
    brand_id: UUID,
    channels: Collection[int] | None,
    said: Sequence[Named],
    *,
    noun: str,
    places: Sequence[int] | None = None,
) -> dict[int, Run]:
    """The executions that are named, by their run numbers; they are locked, one report after the other.

    `channels` are the partner channels that whoever says it executes; None: all of the brand's. `noun` is what one of the things
    said is called ("Item"), and empty where there is but one; `places` are where they stand, unless one behind the other. Raises Invalid with pointers such as `/3/campaign` for an execution that did not go out by the
    channel, or by none of the caller's, and for a template that the channel never had.
    """
    wanted = set(said)
    numbers = {one.campaign for one in wanted if 0 < one.campaign <= NUMBER_MAX}
    await store.lock_runs(conn, brand_id, numbers)
    runs = await store.runs(conn, brand_id, numbers)
    templates = await store.templates(
        conn,
        brand_id,
        {(one.channel, one.template) for one in wanted if max(one.channel, one.template) <= NUMBER_MAX},
    )
    objections = {one: objection for one in wanted if (objection := _objection(one, channels, runs, templates))}
    if objections:
        raise _refusal(said, objections, noun, range(len(said)) if places is None else places)
    return runs


def refused(noun: str, told: Iterable[tuple[int, Violation]]) -> Invalid:
    """The refusal of what lies at these places, each violation's pointer being within its thing.

    Without a `noun` there is but one thing, and no place.
    """
    violations = [_placed(noun, place, one) for place, one in told][:VIOLATIONS_MAX]
    return Invalid(f"{violations[0].message} Nothing was taken.", violations=violations)


def _placed(noun: str, place: int, one: Violation) -> Violation:
    return Violation(f"/{place}{one.pointer}", one.code, f"{noun} {place + 1}: {one.message}") if noun else one


def _objection(
    one: Named, channels: Collection[int] | None, runs: dict[int, Run], templates: set[tuple[int, int]]
) -> Violation | None:
    run = runs.get(one.campaign)
    # Another's channel is told of as one that there is not.
    if run is None or one.channel not in run.channels or (channels is not None and one.channel not in channels):
        text = f"No campaign {one.campaign} went out by channel {one.channel}."
        return Violation("/campaign", "unknown-campaign", text)
    if one.template != NO_TEMPLATE and (one.channel, one.template) not in templates:
        text = f"Channel {one.channel} has no template {one.template}; add it first."
        return Violation("/template", "unknown-template", text)
    return None


def _refusal(said: Sequence[Named], objections: dict[Named, Violation], noun: str, places: Sequence[int]) -> Invalid:
    return refused(
        noun, ((place, objections[one]) for place, one in zip(places, said, strict=True) if one in objections)
    )
