"""Users and what they may do: made, found, disabled, given roles and relieved of them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from stentor.accounts import sign_in_store, user_store
from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.audit import record
from stentor.accounts.model import NAME_CHARS_MAX
from stentor.accounts.revoking import RevocationHook, revoke_beyond
from stentor.accounts.roles import ROLES, Role
from stentor.accounts.user_model import Member, Origin, User
from stentor.accounts.withdrawing import withdraw_by, withdraw_to
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.address import ADDRESS_CHARS_MAX, InvalidAddress, normal_email
from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE, checked_name
from stentor.errors import Conflict, Invalid, NotFound

USERS_LISTED_MAX = 10_000
MEMBERS_MAX = 1_000


class UserService:
    """Who may sign in, and what each may do where."""

    def __init__(self, db: Database, *, on_key_revoked: RevocationHook | None = None) -> None:
        """`on_key_revoked` is called as AccountService calls it."""
        self._db = db
        self._on_key_revoked = on_key_revoked

    async def is_anybody_there(self) -> bool:
        """Whether anybody could sign in at all."""
        async with self._db.read() as conn:
            return await user_store.is_anybody_there(conn)

    async def users(self) -> list[User]:
        """The first 10,000 in the order of their addresses."""
        async with self._db.read() as conn:
            return await user_store.users(conn, USERS_LISTED_MAX)

    async def named(self, email: str) -> User:
        """The user with that address. Raises NotFound."""
        async with self._db.read() as conn:
            user = await user_store.find_user_by_email(conn, email_key(email))
        if user is None:
            raise NotFound(f"There is no user {email}. See `stentor user list`.")
        return user

    async def create(
        self, email: str, name: str, *, organisation_id: UUID, role: Role, brand_id: UUID | None = None
    ) -> User:
        """A user without a password, with that role; a signed link lets them choose one.

        Whoever makes one vouches for the address. Raises Invalid for an address or a role that is none, Conflict when there
        is such a user, NotFound.
        """
        async with self._db.transaction() as conn:
            await _lock(conn, organisation_id)
            user_id = await made(conn, email, name, password=None, is_proven=True)
            await grant(conn, user_id, organisation_id, brand_id, role)
            user = await _found(conn, user_id)
            told = {"email": user.email, "name": user.name, "role": role}
            await record(conn, "user.created", user_id, brand_id=brand_id, organisation_id=organisation_id, after=told)
            return user

    async def set_disabled(self, user_id: UUID, *, disabled: bool) -> User:
        """Lets somebody sign in no more, and out at once everywhere, or lets them in again.

        Links to choose a password, invitations to them and by them, and all API tokens that they made end with it, and do
        not come back. Raises NotFound, and Conflict where an organisation would be left without an owner.
        """
        is_revoked = False
        async with self._db.transaction() as conn:
            # In one order, so that two who disable each other take turns.
            places = sorted({one.organisation_id for one in await user_store.memberships_of_user(conn, user_id)})
            for organisation_id in places:
                await _lock(conn, organisation_id)
            is_changed = await user_store.set_disabled(conn, user_id, disabled=disabled)
            user = await _found(conn, user_id)
            if not is_changed:
                return user
            if disabled:
                held = await user_store.memberships_of_user(conn, user_id)
                for one in held:
                    await _check_owned(conn, one.organisation_id, was_owned=one.role == "owner")
                await sign_in_store.end_links(conn, user_id)
                is_revoked = await revoke_beyond(conn, user_id, ())
                await withdraw_to(conn, email_key(user.email))
                for organisation_id in places:
                    await withdraw_by(conn, organisation_id, "user", str(user_id))
                await _sign_out(conn, user_id)
            for organisation_id in places:
                await record(
                    conn, "user.disabled" if disabled else "user.enabled", user_id, organisation_id=organisation_id
                )
        await self._keep(is_revoked)
        return user

    async def members(self, organisation_id: UUID) -> list[Member]:
        """Everybody with a role in the organisation or in one of its brands, in the order of their addresses."""
        async with self._db.read() as conn:
            return await user_store.members(conn, organisation_id)

    async def member(self, organisation_id: UUID, user_id: UUID) -> Member:
        """One of them. Raises NotFound."""
        for one in await self.members(organisation_id):
            if one.user.id == user_id:
                return one
        raise no_member()

    async def set_role(
        self, organisation_id: UUID, user_id: UUID, role: Role | None, *, brand_id: UUID | None = None, owners_too: bool
    ) -> Member:
        """Gives a member a role in the organisation, or in one brand; None takes the one that was there.

        Whoever's role changes is signed out, and signs in to what they may do then; what they were invited to ends, and so
        does what they invited others to and may not any more, and the API tokens that they made and that may do more than
        they. A role that they have already changes nothing. Raises NotFound, Invalid for a role that nobody has there, and Conflict where the organisation would be left without an
        owner, or where an owner is made, unmade or given a role in a brand without `owners_too`.
        """
        is_revoked = False
        async with self._db.transaction() as conn:
            await _lock(conn, organisation_id)
            present = await _roles(conn, organisation_id, user_id)
            if not present:
                raise no_member()
            # A role in a brand takes the place of the owner's there, so it is a matter of owners too.
            if not owners_too and "owner" in {role, present.get(None)}:
                raise owners_alone()
            if role is None or role != present.get(brand_id):
                await _check_invited(conn, organisation_id, user_id, owners_too=owners_too)
                is_revoked = await _change_role(
                    conn, organisation_id, user_id, role, brand_id=brand_id, present=present
                )
        await self._keep(is_revoked)
        return await self._member_or_nothing(organisation_id, user_id)

    async def give_role(
        self, organisation_id: UUID, user_id: UUID, role: Role, *, brand_id: UUID | None = None
    ) -> Member:
        """As `set_role` for owners, also to a user who has no role there yet. Conflict too where the organisation is full."""
        is_revoked = False
        async with self._db.transaction() as conn:
            await _lock(conn, organisation_id)
            await _found(conn, user_id)
            present = await _roles(conn, organisation_id, user_id)
            if not present and await user_store.count_members(conn, organisation_id) >= MEMBERS_MAX:
                raise too_many_members()
            if role != present.get(brand_id):
                is_revoked = await _change_role(
                    conn, organisation_id, user_id, role, brand_id=brand_id, present=present
                )
        await self._keep(is_revoked)
        return await self.member(organisation_id, user_id)

    async def remove(self, organisation_id: UUID, user_id: UUID, *, owners_too: bool) -> None:
        """Takes somebody all their roles in the organisation and its brands, and signs them out.

        What they were invited to there, and invited others to, ends with it, and the API tokens that they made there. Raises
        NotFound, and Conflict as `set_role`.
        """
        async with self._db.transaction() as conn:
            await _lock(conn, organisation_id)
            present = await _roles(conn, organisation_id, user_id)
            if present.get(None) == "owner" and not owners_too:
                raise owners_alone()
            if not present:
                raise no_member()
            await _check_invited(conn, organisation_id, user_id, owners_too=owners_too)
            await user_store.lock_user(conn, user_id)
            await user_store.delete_memberships(conn, user_id, organisation_id)
            is_revoked = await revoke_beyond(conn, user_id, (), organisation_id)
            await _end_invitations(conn, organisation_id, user_id, None)
            await _check_owned(conn, organisation_id, was_owned=present.get(None) == "owner")
            await _sign_out(conn, user_id)
            await record(
                conn,
                "member.removed",
                user_id,
                organisation_id=organisation_id,
                before={"roles": list(present.values())},
            )
        await self._keep(is_revoked)

    async def _keep(self, is_revoked: bool) -> None:
        """Where keys were revoked, and that is committed, keeps outside of the database that they were."""
        if is_revoked and self._on_key_revoked is not None:
            await self._on_key_revoked()

    async def _member_or_nothing(self, organisation_id: UUID, user_id: UUID) -> Member:
        """The member as it is now, also when the last role was just taken."""
        try:
            return await self.member(organisation_id, user_id)
        except NotFound:
            async with self._db.read() as conn:
                return Member(await _found(conn, user_id), None, (), has_second_factor=False)


def email_key(email: str) -> str:
    """By what accounts are told apart: the address in lower case, since nobody has two by the case of a letter.

    Of what is no address it is a text that can be looked for, and that nobody has.
    """
    email = NOT_IN_A_LINE.sub("\ufffd", email[: ADDRESS_CHARS_MAX + 1])
    normal = normal_email(email)
    return (email[:ADDRESS_CHARS_MAX].strip() if isinstance(normal, InvalidAddress) else normal).lower()


def checked_email(email: str) -> str:
    """The address in its normal form. Raises Invalid."""
    normal = normal_email(email)
    if isinstance(normal, InvalidAddress):
        raise Invalid.field("/email", "invalid-email", normal.reason)
    return normal


async def made(conn: Connection, email: str, name: str, *, password: str | None, is_proven: bool) -> UUID:
    """A new user; `is_proven` tells that the address is known to be theirs.

    Raises Invalid, and Conflict when there is one with that address.
    """
    email, name = checked_email(email), checked_name(name, NAME_CHARS_MAX)
    user_id = new_id()
    if not await user_store.insert_user(
        conn, user_id, email=email, email_key=email_key(email), name=name, password=password, is_proven=is_proven
    ):
        raise Conflict(f"There is a user {email} already.")
    return user_id


async def grant(conn: Connection, user_id: UUID, organisation_id: UUID, brand_id: UUID | None, role: Role) -> None:
    """Gives the role. Raises Invalid for one that nobody has there, NotFound for a brand of another organisation."""
    check_role(role, brand_id)
    if brand_id is not None and not await user_store.brand_is_of(conn, brand_id, organisation_id):
        raise NotFound("There is no such brand in this organisation.")
    await user_store.put_membership(conn, user_id, organisation_id, brand_id, role)


def check_role(role: str, brand_id: UUID | None) -> None:
    """Raises Invalid for a role that nobody has there."""
    if role not in ROLES:
        raise Invalid.field("/role", "role", f"There is no role {role!r}; the roles are {', '.join(ROLES)}.")
    if role == "owner" and brand_id is not None:
        raise Invalid.field("/role", "role", "Whoever owns an organisation owns all of it: leave the brand out.")


def owners_alone() -> Conflict:
    return Conflict("Owners alone make somebody an owner, or change what an owner may do.")


def no_member() -> NotFound:
    return NotFound("There is no such member.")


def too_many_members() -> Conflict:
    return Conflict(f"An organisation has at most {MEMBERS_MAX} members. Remove some of them first.")


def as_oneself(user_id: UUID, email: str, origin: Origin) -> AbstractContextManager[None]:
    """Who is let in by a link or a provider acts, before there is a session that says so."""
    return as_actor(Actor("user", str(user_id), email, origin.ip))


async def tell(conn: Connection, action: str, user_id: UUID, after: Mapping[str, Any] | None = None) -> None:
    """Notes in every organisation of the user what changed about them."""
    held = await user_store.memberships_of_user(conn, user_id)
    for organisation_id in dict.fromkeys(one.organisation_id for one in held):
        await record(conn, action, user_id, organisation_id=organisation_id, after=after)


async def _lock(conn: Connection, organisation_id: UUID) -> None:
    if not await user_store.lock_organisation(conn, organisation_id):
        raise NotFound(f"There is no organisation {organisation_id}.")


async def _roles(conn: Connection, organisation_id: UUID, user_id: UUID) -> dict[UUID | None, Role]:
    held = await user_store.memberships_of_user(conn, user_id)
    return {one.brand_id: one.role for one in held if one.organisation_id == organisation_id}


async def _check_invited(conn: Connection, organisation_id: UUID, user_id: UUID, *, owners_too: bool) -> None:
    """Raises Conflict where the user is invited to be an owner, which owners alone take back."""
    if owners_too:
        return
    key = email_key((await _found(conn, user_id)).email)
    waiting = await user_store.invitations_to(conn, key)
    if any(one.role == "owner" and one.organisation_id == organisation_id for one in waiting):
        raise owners_alone()


async def _end_invitations(conn: Connection, organisation_id: UUID, user_id: UUID, role: Role | None) -> None:
    """Ends what waits for the user there, and what they invited others to and may not, in that role in the organisation."""
    await withdraw_to(conn, email_key((await _found(conn, user_id)).email), organisation_id)
    await withdraw_by(conn, organisation_id, "user", str(user_id), role)


async def _change_role(
    conn: Connection,
    organisation_id: UUID,
    user_id: UUID,
    role: Role | None,
    *,
    brand_id: UUID | None,
    present: Mapping[UUID | None, Role],
) -> bool:
    """Gives the role, or takes it, with what goes with that; True when API tokens were revoked."""
    # Whoever makes a token in a session of theirs holds them too, and is waited for, or asks what they may do afterwards.
    await user_store.lock_user(conn, user_id)
    if role is not None:
        await grant(conn, user_id, organisation_id, brand_id, role)
    elif not await user_store.delete_membership(conn, user_id, organisation_id, brand_id):
        raise NotFound("There is no such role.")
    await _check_owned(conn, organisation_id, was_owned=present.get(None) == "owner")
    held = await user_store.memberships_of_user(conn, user_id)
    is_revoked = await revoke_beyond(conn, user_id, held, organisation_id)
    await _end_invitations(conn, organisation_id, user_id, role if brand_id is None else present.get(None))
    await _sign_out(conn, user_id)
    await record(
        conn,
        "member.changed",
        user_id,
        brand_id=brand_id,
        organisation_id=organisation_id,
        before={"role": present.get(brand_id)},
        after={"role": role},
    )
    return is_revoked


async def _check_owned(conn: Connection, organisation_id: UUID, *, was_owned: bool = True) -> None:
    if was_owned and await user_store.count_owners(conn, organisation_id) == 0:
        raise Conflict("An organisation keeps at least one owner. Make somebody else an owner first.")


async def _sign_out(conn: Connection, user_id: UUID) -> None:
    await sign_in_store.end_sessions(conn, user_id)


async def _found(conn: Connection, user_id: UUID) -> User:
    user = await user_store.find_user(conn, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user
