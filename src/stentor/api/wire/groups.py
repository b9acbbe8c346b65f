"""What bodies of the older groups API have in common: its times, its references, its empty `metadata`."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.api.request import Caller
from stentor.audience.model import Act, Source

WireTime = Annotated[
    str,
    Meta(
        description="UTC with six digits behind the second, as `2026-12-01T09:30:00.000000Z`.",
        extra_json_schema={"format": "date-time"},
    ),
]
Metadata = Annotated[list[Any], Meta(description="Always an empty list.")]

NOTHING: list[Any] = []


class Ref(msgspec.Struct, frozen=True):
    """Another thing, by its id and name."""

    uuid: UUID
    name: str


def wire_time(at: datetime) -> str:
    """The time as clients of that API parse it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def group_ref(caller: Caller) -> Ref:
    """The group that the caller acts for."""
    return Ref(caller.brand.id, caller.brand.name)


def act_of(caller: Caller, ip: Any) -> Act:
    """How what a caller says of people's consent came about."""
    return Act(source=Source.BATCH, actor=f"key {caller.principal.key_number}", ip=ip)
