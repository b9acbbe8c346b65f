"""Letters of the installation's own in the database: what is to be mailed, and what is in it."""

from datetime import datetime
from typing import Literal, TypeAlias, get_args
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id

LetterKind: TypeAlias = Literal["invitation", "password", "test_recipient", "listener"]


class InvitationFacts(msgspec.Struct, frozen=True):
    """What a letter says of an invitation; `brand` is None for one to the whole organisation."""

    email: str
    organisation: str
    brand: str | None
    role: str
    invited_by: str
    expires_at: datetime


class ListenerFacts(msgspec.Struct, frozen=True):
    """What a letter says of a listener that was switched off."""

    email: str
    brand: str
    client: str
    event: str
    url: str
    why: str
    disabled_at: datetime


class Sql(QuerySet, file="letters.sql", package=__package__):
    insert_letter: Statement
    claim_due: Statement
    delete_letter: Statement
    invitation_letter: Statement
    password_letter: Statement
    test_recipient_letter: Statement
    listener_letter: Statement


class DueLetter(msgspec.Struct, frozen=True):
    """A letter to be written: what it is about, whom it goes to where that does not say it, and which try this is."""

    id: UUID
    kind: LetterKind
    about: UUID
    user_id: UUID | None
    tries: int


async def insert_letter(
    conn: Connection,
    kind: LetterKind,
    about: UUID,
    organisation_id: UUID | None = None,
    *,
    user_id: UUID | None = None,
) -> None:
    """Has a letter mailed about that invitation, sign-in link, test recipient or listener, once the transaction is committed.

    `organisation_id`: in whose turn; None where what it is about says that. `user_id`: whom it goes to, where that does not.
    """
    await Sql.insert_letter.run(
        conn, id=new_id(), kind=kind, about=about, organisation_id=organisation_id, user_id=user_id
    )


async def claim_due(conn: Connection, limit: int) -> list[DueLetter]:
    """Letters that are due, of each organisation and of its kinds in turn, the oldest first; nobody else has them for a while."""
    return await Sql.claim_due.rows(conn, DueLetter, kinds=list(get_args(LetterKind)), limit=limit)


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


async def listener_letter(conn: Connection, listener_id: UUID, user_id: UUID) -> ListenerFacts | None:
    """What is to be said of the listener to that owner; None when it is at work again, or they are none any more."""
    return await Sql.listener_letter.first(conn, ListenerFacts, id=listener_id, user_id=user_id)
