"""The audit log in the database."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.accounts.acting import Actor
from stentor.accounts.audit_model import AuditEntry, Narrowed
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="audit.sql", package=__package__):
    add_of_brand: Statement
    add_of_organisation: Statement
    page_of_brand: Statement
    page_of_organisation: Statement
    entries_of_brand: Statement
    entries_of_organisation: Statement
    entries: Statement
    keep_from: Statement
    forget: Statement
    forget_of_brand: Statement


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down: of a brand, or of an organisation and none of its brands."""

    actor: Actor
    action: str
    thing_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    brand_id: UUID | None
    organisation_id: UUID | None


async def add(conn: Connection, entry: NewEntry) -> None:
    """Adds the entry in the caller's transaction."""
    said = {
        "actor_kind": entry.actor.kind,
        "actor_id": entry.actor.id,
        "actor_label": entry.actor.label,
        "ip": entry.actor.ip,
        "action": entry.action,
        "thing_id": entry.thing_id,
        "before": None if entry.before is None else Jsonb(entry.before),
        "after": None if entry.after is None else Jsonb(entry.after),
    }
    if entry.brand_id is not None:
        await Sql.add_of_brand.run(conn, brand_id=entry.brand_id, **said)
    else:
        await Sql.add_of_organisation.run(conn, organisation_id=entry.organisation_id, **said)


async def page_of_brand(
    conn: Connection, brand_id: UUID, narrowed: Narrowed, *, before_number: int | None, limit: int
) -> list[AuditEntry]:
    """The newest entries of the brand, from before the one of that number."""
    return await Sql.page_of_brand.rows(
        conn,
        AuditEntry,
        brand_id=brand_id,
        before_number=before_number,
        limit=limit,
        **msgspec.structs.asdict(narrowed),
    )


async def page_of_organisation(
    conn: Connection, organisation_id: UUID, narrowed: Narrowed, *, before_number: int | None, limit: int
) -> list[AuditEntry]:
    """The newest entries of the organisation and its brands, from before the one of that number."""
    return await Sql.page_of_organisation.rows(
        conn,
        AuditEntry,
        organisation_id=organisation_id,
        before_number=before_number,
        limit=limit,
        **msgspec.structs.asdict(narrowed),
    )


async def entries(
    conn: Connection, narrowed: Narrowed, size: int, *, brand_id: UUID | None, organisation_id: UUID | None
) -> AsyncGenerator[list[AuditEntry], None]:
    """The entries of the brand, or of the organisation, or of the whole installation, oldest first, `size` at a time."""
    said = msgspec.structs.asdict(narrowed)
    if brand_id is not None:
        found = Sql.entries_of_brand.batches(conn, size, brand_id=brand_id, **said)
    elif organisation_id is not None:
        found = Sql.entries_of_organisation.batches(conn, size, organisation_id=organisation_id, **said)
    else:
        found = Sql.entries.batches(conn, size, **said)
    async for rows in found:
        yield [AuditEntry(*row) for row in rows]


async def forget(conn: Connection, *, days: int, limit: int) -> int:
    """Deletes entries that are older than that, the oldest first, and returns how many."""
    await Sql.keep_from.run(conn, days=days)
    return await Sql.forget.run(conn, days=days, limit=limit)


async def forget_of_brand(conn: Connection, brand_id: UUID, *, days: int, limit: int) -> int:
    """As `forget`, of one brand."""
    await Sql.keep_from.run(conn, days=days)
    return await Sql.forget_of_brand.run(conn, brand_id=brand_id, days=days, limit=limit)
