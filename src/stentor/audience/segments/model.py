"""Segments as things: named expressions, how many they mean, and who goes by them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from stentor.audience.segments.expressions import Expression
from stentor.db.connection import Connection


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Who is meant, under a name. `version` counts the changes of its expression, from 1."""

    id: UUID
    name: str
    expression: Expression
    version: int
    created_at: datetime
    updated_at: datetime


class SegmentPatch(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a segment; what is left out is kept."""

    name: str | UnsetType = UNSET
    expression: Expression | UnsetType = UNSET


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many people an expression means, now. `people` is None where counting took too long.

    `estimate` then says about how many, from a random share of all people (`sampled_share`); None where even that took too
    long. `reachable`: on how many of them a channel has nothing against them as persons, by the name of the channel; of an
    estimate, estimated too.
    """

    people: int | None
    estimate: int | None
    sampled_share: float
    reachable: Mapping[str, int]
    took_ms: int


class Use(msgspec.Struct, frozen=True):
    """What goes by a segment: `kind` is schedule, or execution: one that waits, with the name of its campaign."""

    kind: str
    id: UUID
    name: str


class AttributeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute that people of the brand have, in a sample of them."""

    name: str
    types: Mapping[str, float]
    """The JSON types of its values, each with the share of people who have it so."""
    values: Sequence[str]
    """Values that many have, for choosing from; none of what is everybody's own, such as names."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a form can offer to choose from: found in a random sample of the brand's people."""

    sampled: int
    attributes: Sequence[AttributeSeen]
    events: Sequence[str]


Known: TypeAlias = Callable[[Connection, UUID, Sequence[UUID]], Awaitable[set[UUID]]]
"""Which of these ids are things of the brand."""

Users: TypeAlias = Callable[[Connection, UUID, UUID], Awaitable[Sequence[Use]]]
"""What goes by the segment of that brand."""
