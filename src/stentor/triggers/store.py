"""Accepted calls in the database: executions, tokens, idempotency keys."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.triggers.model import KeyOfBrand, QueuedCall, StoredAnswer


class Sql(QuerySet, file="queries.sql", package=__package__):
    open_bucket: Statement
    admit: Statement
    claim_keys: Statement
    stored_answers: Statement
    release_keys: Statement
    forget_answers: Statement


async def open_bucket(conn: Connection, brand_id: UUID, rate_per_s: int) -> None:
    """Makes a full bucket for the brand where it has none."""
    await Sql.open_bucket.run(conn, brand_id=brand_id, rate_per_s=rate_per_s)


async def admit(conn: Connection, calls: Sequence[QueuedCall]) -> set[UUID]:
    """Stores as many of the calls as their brands have tokens for and returns the ids of those."""
    return set(await Sql.admit.column(conn, calls=Jsonb(calls)))


async def claim_keys(conn: Connection, claims: Sequence[StoredAnswer]) -> set[KeyOfBrand]:
    """Stores the answers under their keys and returns the keys that were free; each may come once in `claims`."""
    rows = await Sql.claim_keys.tuples(
        conn,
        brand_ids=[claim.brand_id for claim in claims],
        keys=[claim.key for claim in claims],
        request_hashes=[claim.request_hash for claim in claims],
        statuses=[claim.status for claim in claims],
        headers=[msgspec.json.encode(claim.headers).decode() for claim in claims],
        bodies=[claim.body for claim in claims],
    )
    return {(brand_id, key) for brand_id, key in rows}


async def stored_answers(conn: Connection, keys: Sequence[KeyOfBrand]) -> dict[KeyOfBrand, StoredAnswer]:
    """What is stored under those of the keys that were used."""
    rows = await Sql.stored_answers.rows(
        conn, StoredAnswer, brand_ids=[brand_id for brand_id, _ in keys], keys=[key for _, key in keys]
    )
    return {(row.brand_id, row.key): row for row in rows}


async def release_keys(conn: Connection, keys: Sequence[KeyOfBrand]) -> None:
    """Forgets the keys."""
    await Sql.release_keys.run(conn, brand_ids=[brand_id for brand_id, _ in keys], keys=[key for _, key in keys])


async def forget_answers(conn: Connection, limit: int) -> int:
    """Deletes answers that nobody may count on any more and returns how many."""
    return await Sql.forget_answers.run(conn, limit=limit)
