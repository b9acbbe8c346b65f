"""What an expression names: tags, topics, campaigns and clocks, all of which have to be there."""

from collections.abc import Mapping
from uuid import UUID

from stentor.audience.segments import store
from stentor.audience.segments.expressions import (
    Anniversary,
    Attribute,
    Condition,
    Created,
    Expression,
    Happened,
    Sent,
    Subscribed,
    Tagged,
    Updated,
    conditions_in,
)
from stentor.audience.segments.model import Known
from stentor.db.connection import Connection
from stentor.errors import Violation


async def unknown_names(
    conn: Connection, brand_id: UUID, expression: Expression, known: Mapping[str, Known], pointer: str
) -> list[Violation]:
    """What the expression names that is not there, each with its place below `pointer`.

    `known` says for `tags`, `topics` and `campaigns` which ids are the brand's.
    """
    violations: list[Violation] = []
    named: dict[str, list[tuple[UUID, str]]] = {}
    zones: list[tuple[str, str]] = []
    for condition, place in conditions_in(expression):
        for noun, field, thing in _named_by(condition):
            named.setdefault(noun, []).append((thing, f"{pointer}{place}/{field}"))
        zones += [(zone, f"{pointer}{place}/{field}") for zone, field in _zones_of(condition)]
    for noun, things in named.items():
        there = await known[noun](conn, brand_id, [thing for thing, _ in things])
        for thing, place in things:
            if thing not in there:
                text = f"This brand has no {noun.removesuffix('s')} {thing}; take the id that the list of {noun} shows."
                violations.append(Violation(place, f"unknown-{noun.removesuffix('s')}", text))
    if strange := {zone for zone, _ in zones} - {"UTC"}:
        unknown = await store.unknown_zones(conn, sorted(strange))
        text = "The database server has no clock of this time zone; take the one of a larger place beside it."
        violations += [Violation(place, "unknown-time-zone", text) for zone, place in zones if zone in unknown]
    return violations


def _named_by(condition: Condition) -> list[tuple[str, str, UUID]]:
    """The things that a condition names: the noun, the field and the id."""
    match condition:
        case Tagged(tag_id=tag_id):
            return [("tags", "tag_id", tag_id)]
        case Subscribed(topic_id=topic_id):
            return [("topics", "topic_id", topic_id)]
        case Sent(campaign_id=UUID() as campaign_id):
            return [("campaigns", "campaign_id", campaign_id)]
    return []


def _zones_of(condition: Condition) -> list[tuple[str, str]]:
    match condition:
        case Attribute(test=Anniversary(time_zone=zone)) | Created(test=Anniversary(time_zone=zone)):
            return [(zone, "test/time_zone")]
        case Updated(test=Anniversary(time_zone=zone)):
            return [(zone, "test/time_zone")]
        case Happened(where=where):
            return [
                (one.test.time_zone, f"where/{place}/test/time_zone")
                for place, one in enumerate(where)
                if isinstance(one.test, Anniversary)
            ]
    return []
