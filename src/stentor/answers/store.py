"""Idempotency keys and what was answered under them, in the database."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.answers.model import KeyOfBrand, StoredAnswer
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="queries.sql", package=__package__):
    reserve: Statement
    claim_keys: Statement
    restate: Statement
    stored_answers: Statement
    release_keys: Statement
    forget_answers: Statement


async def reserve(conn: Connection, brand_id: UUID, key: str) -> bool:
    """Keeps others from the key until the transaction ends; False when another transaction does so."""
    return bool(await Sql.reserve.value(conn, brand_id=brand_id, key=key))


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


async def restate(conn: Connection, answers: Sequence[StoredAnswer]) -> None:
    """Replaces what was stored under keys that this transaction claimed."""
    await Sql.restate.run(
        conn,
        brand_ids=[answer.brand_id for answer in answers],
        keys=[answer.key for answer in answers],
        headers=[msgspec.json.encode(answer.headers).decode() for answer in answers],
        bodies=[answer.body for answer in answers],
    )


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
