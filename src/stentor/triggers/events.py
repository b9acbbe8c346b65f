"""Calls that tell of the same event: the first one runs, the others are answered with its execution."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from stentor.campaigns.model import Deduplication
from stentor.db.batches import until_short
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.errors import Invalid, pointer_to
from stentor.triggers.model import RunCall

FORGOTTEN_AT_ONCE_MAX = 10_000

EventOfBrand: TypeAlias = tuple[UUID, bytes]
"""An event's digest (16 bytes) and the brand that was told of it."""


class Sql(QuerySet, file="events.sql", package=__package__):
    claim_events: Statement
    first_executions: Statement
    release_events: Statement
    forget_events: Statement


class EventClaim(msgspec.Struct, frozen=True):
    """A call's claim to be the first to tell of its event, from now until the window after its start is over."""

    brand_id: UUID
    digest: bytes
    execution_id: UUID
    window_s: int
    start_at: datetime | None = None

    @property
    def event(self) -> EventOfBrand:
        """What is claimed."""
        return self.brand_id, self.digest


def digest_of(said: Deduplication, call: RunCall) -> bytes:
    """16 bytes that are equal for calls that tell of the same event. Raises Invalid, naming a field that is missing.

    What a test key tells of is never what others tell of.
    """
    values = [_value(call.context, field) for field in said.fields]
    told = [call.generator_id, call.topic_key, call.is_test, said.fields, values]
    return hashlib.blake2b(msgspec.json.encode(told, order="deterministic"), digest_size=16).digest()


async def claim_events(conn: Connection, claims: Sequence[EventClaim]) -> set[EventOfBrand]:
    """Claims the events and returns those that nobody told of before; each may come once in `claims`.

    An event whose window is over is free again, and so is one whose execution failed or was cancelled. What another
    transaction is claiming is waited for.
    """
    rows = await Sql.claim_events.tuples(
        conn,
        brand_ids=[claim.brand_id for claim in claims],
        digests=[claim.digest for claim in claims],
        execution_ids=[claim.execution_id for claim in claims],
        windows_s=[claim.window_s for claim in claims],
        starts_at=[claim.start_at for claim in claims],
    )
    return {(brand_id, digest) for brand_id, digest in rows}


async def first_executions(conn: Connection, events: Sequence[EventOfBrand]) -> dict[EventOfBrand, UUID]:
    """The execution of whoever told of each event first."""
    rows = await Sql.first_executions.tuples(
        conn, brand_ids=[brand_id for brand_id, _ in events], digests=[digest for _, digest in events]
    )
    return {(brand_id, digest): execution_id for brand_id, digest, execution_id in rows}


async def release_events(conn: Connection, events: Sequence[EventOfBrand]) -> None:
    """Lets go of claims whose call was not accepted."""
    await Sql.release_events.run(
        conn, brand_ids=[brand_id for brand_id, _ in events], digests=[digest for _, digest in events]
    )


async def forget_events(db: Database) -> int:
    """Forgets events whose window is over; the keeper's chore. Returns how many."""

    async def forget() -> int:
        async with db.transaction() as conn:
            return await Sql.forget_events.run(conn, limit=FORGOTTEN_AT_ONCE_MAX)

    return await until_short(forget, FORGOTTEN_AT_ONCE_MAX)


def _value(context: Mapping[str, Any], field: str) -> Any:
    value: Any = context
    steps = field.split(".")
    for step in steps:
        if not isinstance(value, dict) or step not in value:
            message = f"This event generator tells events apart by {field}. Send it."
            raise Invalid.field("/context" + pointer_to(*steps), "required", message)
        value = value[step]
    return value
