"""Tokens of partners in the database, which knows keyed hashes of them alone."""

from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement


class Sql(QuerySet, file="access.sql", package=__package__):
    insert_token: Statement
    end_oldest: Statement
    find: Statement
    lengthen: Statement
    forget: Statement


class Holder(msgspec.Struct, frozen=True):
    """Whose a token is, and for which credentials of theirs it was given.

    `is_behind`: it was lengthened too long ago to last as long as a call promises.
    """

    client_id: UUID
    stamp: bytes
    is_behind: bool


async def insert_token(conn: Connection, digest: bytes, client_id: UUID, stamp: bytes, lasts_s: float) -> None:
    """Stores a token of the client, for the credentials of that stamp."""
    await Sql.insert_token.run(conn, digest=digest, client_id=client_id, stamp=stamp, lasts_s=lasts_s)


async def end_oldest(conn: Connection, client_id: UUID, *, kept: int) -> None:
    """Ends the client's tokens that are over, and of the others all but the youngest."""
    await Sql.end_oldest.run(conn, client_id=client_id, kept=kept)


async def find(conn: Connection, digest: bytes, lasts_s: float) -> Holder | None:
    rows = await Sql.find.rows(conn, Holder, digest=digest, lasts_s=lasts_s)
    return rows[0] if rows else None


async def lengthen(conn: Connection, digest: bytes, lasts_s: float) -> None:
    """Lets the token last that long from now on, if it is still good."""
    await Sql.lengthen.run(conn, digest=digest, lasts_s=lasts_s)


async def forget(conn: Connection, limit: int) -> int:
    """Deletes tokens that are over and returns how many."""
    return await Sql.forget.run(conn, limit=limit)
