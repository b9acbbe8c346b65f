"""Users, roles, invitations and identities in the database."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from stentor.accounts.acting import Actor, ActorKind
from stentor.accounts.roles import Role
from stentor.accounts.user_model import BrandRole, Invitation, Member, Membership, User
from stentor.db.connection import Connection
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id

_USER_COLUMNS = 6


class Withdrawn(msgspec.Struct, frozen=True):
    """An invitation that was ended, and where it was to."""

    id: UUID
    organisation_id: UUID
    brand_id: UUID | None
    email: str | None
    role: Role


class Sql(QuerySet, file="users.sql", package=__package__):
    insert_user: Statement
    find_user: Statement
    find_user_by_email: Statement
    stored_password: Statement
    held_password: Statement
    lock_user: Statement
    users: Statement
    is_anybody_there: Statement
    set_password: Statement
    set_proven: Statement
    set_disabled: Statement
    memberships_of_user: Statement
    memberships_of_organisation: Statement
    put_membership: Statement
    delete_membership: Statement
    delete_memberships: Statement
    lock_organisation: Statement
    count_members: Statement
    count_owners: Statement
    brand_is_of: Statement
    insert_invitation: Statement
    invited_lately: Statement
    find_invitation: Statement
    open_invitations: Statement
    invitations_to: Statement
    accept_invitation: Statement
    withdraw_invitation: Statement
    withdraw_earlier: Statement
    withdraw_to: Statement
    withdraw_by: Statement
    forget_invitations: Statement
    find_identity: Statement
    insert_identity: Statement
    standing: Statement
    delete_identities: Statement


async def insert_user(
    conn: Connection, user_id: UUID, *, email: str, email_key: str, name: str, password: str | None, is_proven: bool
) -> bool:
    """Makes the user; False when there is one with that address. `is_proven`: the address is known to be theirs."""
    inserted = await Sql.insert_user.run(
        conn, id=user_id, email=email, email_key=email_key, name=name, password=password, is_proven=is_proven
    )
    return inserted > 0


async def find_user(conn: Connection, user_id: UUID) -> User | None:
    return await Sql.find_user.first(conn, User, id=user_id)


async def find_user_by_email(conn: Connection, email_key: str) -> User | None:
    return await Sql.find_user_by_email.first(conn, User, email_key=email_key)


async def stored_password(conn: Connection, email_key: str) -> tuple[UUID, str | None] | None:
    """The id and what is stored of the password of whoever has that address and is not disabled."""
    rows = await Sql.stored_password.tuples(conn, email_key=email_key)
    return (rows[0][0], rows[0][1]) if rows else None


async def held_password(conn: Connection, user_id: UUID) -> str | None:
    """What is stored of the password, which stays so until the transaction ends; None too for a disabled user."""
    return await Sql.held_password.value(conn, id=user_id)


async def lock_user(conn: Connection, user_id: UUID) -> User | None:
    """The user, whom nobody disables and whose password nobody changes until the transaction ends."""
    return await Sql.lock_user.first(conn, User, id=user_id)


async def users(conn: Connection, limit: int) -> list[User]:
    """The users in the order of their addresses."""
    return await Sql.users.rows(conn, User, limit=limit)


async def is_anybody_there(conn: Connection) -> bool:
    return await Sql.is_anybody_there.value(conn)


async def set_password(conn: Connection, user_id: UUID, password: str) -> None:
    await Sql.set_password.run(conn, id=user_id, password=password)


async def set_proven(conn: Connection, user_id: UUID) -> bool:
    """Notes that the address is theirs; False when that was known. The first time keeps its stamp."""
    return await Sql.set_proven.run(conn, id=user_id) > 0


async def set_disabled(conn: Connection, user_id: UUID, *, disabled: bool) -> bool:
    """Closes the account or opens it again; False when it is so already, or there is none."""
    return await Sql.set_disabled.run(conn, id=user_id, disabled=disabled) > 0


async def memberships_of_user(conn: Connection, user_id: UUID) -> tuple[Membership, ...]:
    return tuple(await Sql.memberships_of_user.rows(conn, Membership, user_id=user_id))


async def members(conn: Connection, organisation_id: UUID) -> list[Member]:
    """Everybody with a role in the organisation or in one of its brands, in the order of their addresses."""
    rows = await Sql.memberships_of_organisation.tuples(conn, organisation_id=organisation_id)
    return [_member(list(each)) for _, each in groupby(rows, key=itemgetter(0))]


async def put_membership(
    conn: Connection, user_id: UUID, organisation_id: UUID, brand_id: UUID | None, role: Role
) -> None:
    """Gives the role, in place of the one that was there."""
    await Sql.put_membership.run(
        conn, id=new_id(), user_id=user_id, organisation_id=organisation_id, brand_id=brand_id, role=role
    )


async def delete_membership(conn: Connection, user_id: UUID, organisation_id: UUID, brand_id: UUID | None) -> bool:
    """Takes the role in the organisation as a whole, or in that brand; False when there was none."""
    return (
        await Sql.delete_membership.run(conn, user_id=user_id, organisation_id=organisation_id, brand_id=brand_id) > 0
    )


async def delete_memberships(conn: Connection, user_id: UUID, organisation_id: UUID) -> bool:
    """Takes all roles in the organisation and its brands; False when there was none."""
    return await Sql.delete_memberships.run(conn, user_id=user_id, organisation_id=organisation_id) > 0


async def lock_organisation(conn: Connection, organisation_id: UUID) -> bool:
    """Waits until nobody else changes roles there; False when there is no such organisation."""
    return await Sql.lock_organisation.value(conn, id=organisation_id) is not None


async def count_members(conn: Connection, organisation_id: UUID) -> int:
    """How many people have a role in the organisation or in one of its brands."""
    return await Sql.count_members.value(conn, organisation_id=organisation_id)


async def count_owners(conn: Connection, organisation_id: UUID) -> int:
    """Owners who can sign in."""
    return await Sql.count_owners.value(conn, organisation_id=organisation_id)


async def brand_is_of(conn: Connection, brand_id: UUID, organisation_id: UUID) -> bool:
    return await Sql.brand_is_of.value(conn, brand_id=brand_id, organisation_id=organisation_id)


async def insert_invitation(
    conn: Connection,
    invitation_id: UUID,
    *,
    organisation_id: UUID,
    brand_id: UUID | None,
    email: str | None,
    email_key: str | None,
    role: Role,
    invited_by: Actor,
    lasts_s: float,
) -> None:
    await Sql.insert_invitation.run(
        conn,
        id=invitation_id,
        organisation_id=organisation_id,
        brand_id=brand_id,
        email=email,
        email_key=email_key,
        role=role,
        invited_by_kind=invited_by.kind,
        invited_by_id=invited_by.id,
        invited_by=invited_by.label,
        lasts_s=lasts_s,
    )


async def invited_lately(conn: Connection, organisation_id: UUID, at_most: int) -> timedelta | None:
    """None while the organisation invited fewer than that within a day; else how long until it may again."""
    return await Sql.invited_lately.value(conn, organisation_id=organisation_id, at_most=at_most)


async def find_invitation(conn: Connection, invitation_id: UUID) -> Invitation | None:
    """The invitation, while it is open."""
    return await Sql.find_invitation.first(conn, Invitation, id=invitation_id)


async def open_invitations(conn: Connection, organisation_id: UUID) -> list[Invitation]:
    return await Sql.open_invitations.rows(conn, Invitation, organisation_id=organisation_id)


async def invitations_to(conn: Connection, email_key: str) -> list[Invitation]:
    """The open invitations to that address."""
    return await Sql.invitations_to.rows(conn, Invitation, email_key=email_key)


async def accept_invitation(conn: Connection, invitation_id: UUID) -> bool:
    """Uses the invitation up; False when it is not open any more."""
    return await Sql.accept_invitation.run(conn, id=invitation_id) > 0


async def withdraw_invitation(conn: Connection, organisation_id: UUID, invitation_id: UUID) -> bool:
    """Ends the invitation; False when the organisation has no open one of that id."""
    return await Sql.withdraw_invitation.run(conn, organisation_id=organisation_id, id=invitation_id) > 0


async def withdraw_earlier(
    conn: Connection, organisation_id: UUID, brand_id: UUID | None, email_key: str
) -> list[Withdrawn]:
    """Ends the open invitation to that address for that place, which another one is to replace."""
    return await Sql.withdraw_earlier.rows(
        conn, Withdrawn, organisation_id=organisation_id, brand_id=brand_id, email_key=email_key
    )


async def withdraw_to(conn: Connection, email_key: str, organisation_id: UUID | None) -> list[Withdrawn]:
    """Ends the open invitations to that address, in the organisation or with None in all of them."""
    return await Sql.withdraw_to.rows(conn, Withdrawn, email_key=email_key, organisation_id=organisation_id)


async def withdraw_by(
    conn: Connection, organisation_id: UUID, kind: ActorKind, actor_id: str, grantable: Iterable[Role]
) -> list[Withdrawn]:
    """Ends the open invitations that they made there, but for those to roles that they may still give."""
    return await Sql.withdraw_by.rows(
        conn, Withdrawn, organisation_id=organisation_id, kind=kind, id=actor_id, grantable=list(grantable)
    )


async def forget_invitations(conn: Connection) -> int:
    """Deletes those that ended a month ago."""
    return await Sql.forget_invitations.run(conn)


async def find_identity(conn: Connection, issuer: str, subject: str) -> UUID | None:
    """Whom that provider means by that subject."""
    return await Sql.find_identity.value(conn, issuer=issuer, subject=subject)


async def insert_identity(conn: Connection, issuer: str, subject: str, user_id: UUID) -> bool:
    """Notes whom the provider means; False where it means somebody else by that, or knows the user by another subject."""
    return await Sql.insert_identity.run(conn, issuer=issuer, subject=subject, user_id=user_id) > 0


async def standing(conn: Connection, user_id: UUID, issuer: str) -> tuple[bool, bool]:
    """Whether somebody proved the user's address, and whether that provider knows them already."""
    rows = await Sql.standing.tuples(conn, id=user_id, issuer=issuer)
    return (rows[0][0], rows[0][1]) if rows else (False, False)


async def delete_identities(conn: Connection, user_id: UUID) -> bool:
    """Forgets by what providers know the user; False when none did."""
    return await Sql.delete_identities.run(conn, user_id=user_id) > 0


def _member(rows: list[tuple[Any, ...]]) -> Member:
    roles: dict[UUID | None, Role] = {row[_USER_COLUMNS]: row[_USER_COLUMNS + 1] for row in rows}
    in_brands = tuple(BrandRole(brand_id, role) for brand_id, role in roles.items() if brand_id is not None)
    return Member(User(*rows[0][:_USER_COLUMNS]), roles.get(None), in_brands, rows[0][-1])
