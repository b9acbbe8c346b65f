"""Claims on shared addresses: an execution writes to an address once, whoever shares it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.sql import QuerySet, Statement
from stentor.domain.vocabulary import ChannelKind


class Sql(QuerySet, file="queries.sql", package=__package__):
    clock: Statement
    claim_addresses: Statement
    lost_addresses: Statement
    claimant: Statement
    release_addresses: Statement
    forget_claims: Statement


CLAIMS_KEPT = timedelta(days=30)
"""Longer than any execution sends: retries end after hours, pauses are resumed within days."""

_FORGET_MAX = 10_000


class AddressClaim(NamedTuple):
    """One person who shares an address and is about to be written to."""

    execution_id: UUID
    customer_id: UUID
    digest: bytes


async def present(conn: Connection) -> datetime:
    """The time by the database's clock: the one that quiet hours are judged by, once and at this moment."""
    return await Sql.clock.value(conn)


async def claim_addresses(
    conn: Connection, brand_id: UUID, channel: ChannelKind, claims: Sequence[AddressClaim]
) -> set[tuple[UUID, UUID]]:
    """Claims the addresses and returns (execution, customer) of those who came too late.

    Called last in a wave's transaction: the claims lock against other waves until it commits.
    """
    if not claims:
        return set()
    arrays = {
        "brand_id": brand_id,
        "channel": int(channel),
        "shards": [digest_shard(claim.digest) for claim in claims],
        "execution_ids": [claim.execution_id for claim in claims],
        "digests": [claim.digest for claim in claims],
        "customer_ids": [claim.customer_id for claim in claims],
    }
    await Sql.claim_addresses.run(conn, **arrays)
    return {(execution, customer) for execution, customer in await Sql.lost_addresses.tuples(conn, **arrays)}


async def claimant(
    conn: Connection, brand_id: UUID, execution_id: UUID, channel: ChannelKind, digest: bytes
) -> UUID | None:
    """Who of those who share the address has claimed it for the execution, while that is kept; None: nobody."""
    return await Sql.claimant.value(
        conn,
        brand_id=brand_id,
        shard=digest_shard(digest),
        execution_id=execution_id,
        channel=int(channel),
        digest=digest,
    )


async def release_addresses(
    conn: Connection, brand_id: UUID, channel: ChannelKind, refused: Sequence[tuple[UUID, UUID]]
) -> None:
    """Frees the addresses of sends that were definitely refused, given as (execution, customer)."""
    if refused:
        await Sql.release_addresses.run(
            conn,
            brand_id=brand_id,
            channel=int(channel),
            execution_ids=[execution for execution, _ in refused],
            customer_ids=[customer for _, customer in refused],
        )


async def forget_claims(db: Database) -> int:
    """Deletes a bounded number of claims of executions older than `CLAIMS_KEPT`; the keeper's chore. Returns how many."""
    async with db.transaction() as conn:
        return await Sql.forget_claims.run(conn, age=CLAIMS_KEPT, limit=_FORGET_MAX)


def digest_shard(digest: bytes) -> int:
    """The first 12 bits of a digest: what look-up tables lead their key with."""
    return digest[0] << 4 | digest[1] >> 4
