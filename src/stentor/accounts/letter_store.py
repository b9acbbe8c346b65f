"""Letters of the installation's own in the database: what is to be mailed, and what is in it."""

from datetime import datetime
from typing import Literal, TypeAlias, get_args
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id

LetterKind: TypeAlias = Literal["invitation", "password", "test_recipient"]


class InvitationFacts(msgspec.Struct, frozen=True):
    """What a letter says of an invitation; `brand` is None for one to the whole organisation."""

    email: str
    organisation: str
    brand: str | None
    role: str
    invited_by: str
    expires_at: datetime


class Sql(QuerySet, file="letters.sql", package=__package__):
    insert_letter: Statement
    claim_due: Statement
    delete_letter: Statement
    invitation_letter: Statement
    password_letter: Statement
    test_recipient_letter: Statement


async def insert_letter(conn: Connection, kind: LetterKind, about: UUID) -> None:
    """Has a letter mailed about that invitation or sign-in link, once the transaction is committed."""
    await Sql.insert_letter.run(conn, id=new_id(), kind=kind, about=about)


async def claim_due(conn: Connection, limit: int) -> list[tuple[UUID, LetterKind, UUID, int]]:
    """Letters that are due, the oldest of each kind in turn; nobody else has them for a while.

    Each with its kind, what it is about, and which try this is.
    """
    kinds = list(get_args(LetterKind))
    return [(row[0], row[1], row[2], row[3]) for row in await Sql.claim_due.tuples(conn, kinds=kinds, limit=limit)]


async def delete_letter(conn: Connection, letter_id: UUID) -> None:
    await Sql.delete_letter.run(conn, id=letter_id)


async def invitation_letter(conn: Connection, invitation_id: UUID) -> InvitationFacts | None:
    """What is to be said of the invitation; None when it is not open any more."""
    return await Sql.invitation_letter.first(conn, InvitationFacts, id=invitation_id)


async def test_recipient_letter(conn: Connection, recipient_id: UUID) -> tuple[str, str] | None:
    """The address and the brand's name; None when it is confirmed, or none any more."""
    rows = await Sql.test_recipient_letter.tuples(conn, id=recipient_id)
    return (rows[0][0], rows[0][1]) if rows else None


async def password_letter(conn: Connection, link_id: UUID) -> tuple[str, datetime] | None:
    """The address and until when the link is good; None when it is not any more."""
    rows = await Sql.password_letter.tuples(conn, id=link_id)
    return (rows[0][0], rows[0][1]) if rows else None
