"""Coming in without a password of ours yet: by an invitation, or as whom an identity provider vouches for."""

from uuid import UUID

import msgspec

from stentor.accounts import sign_in_store, user_store
from stentor.accounts.audit import record
from stentor.accounts.invitations import InvitationService
from stentor.accounts.passwords import Passwords, check_password
from stentor.accounts.roles import is_stronger
from stentor.accounts.sessions import SessionService
from stentor.accounts.user_model import Invitation, NewSession, Origin, SignedIn, User, role_among
from stentor.accounts.users import MEMBERS_MAX, as_oneself, email_key, grant, made, tell, too_many_members
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Forbidden, NotFound

SUBJECT_CHARS_MAX = 255
"""Of a provider's id for somebody, as OpenID Connect bounds it."""


class Identity(msgspec.Struct, frozen=True):
    """Somebody as an identity provider knows them; `email` is None where the provider does not vouch for it."""

    issuer: str
    subject: str
    email: str | None
    name: str


class JoiningService:
    """Opens sessions for who is invited, and for whom an identity provider vouches for."""

    def __init__(
        self, db: Database, *, passwords: Passwords, sessions: SessionService, invitations: InvitationService
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._sessions = sessions
        self._invitations = invitations

    async def accept(
        self, token: str, *, email: str | None, name: str, password: str, origin: Origin, instead_of: str | None
    ) -> NewSession:
        """A new user with the invitation's role, signed in. `email` counts where the invitation names none.

        Raises NotFound for a dead invitation, Conflict where the address has an account or the organisation is full, Invalid.
        """
        invitation = await self._invitations.found(token)
        address = invitation.email or email or ""
        check_password(password, email=address)
        stored = await self._passwords.hashed(password)
        async with self._db.transaction() as conn:
            # Whoever invites has the link too: that it was opened does not say by whom.
            user_id = await made(conn, address, name, password=stored, is_proven=False)
            with as_oneself(user_id, address, origin):
                await _take(conn, invitation, user_id)
                await tell(conn, "user.created", user_id, {"email": address, "name": name})
            return await self._sessions.opened(conn, user_id, "link", origin, instead_of=instead_of)

    async def accept_as(self, token: str, who: SignedIn, session: str) -> NewSession:
        """Gives whoever is signed in the invitation's role, unless they may do as much, and rotates their session.

        Raises NotFound for a dead invitation, Forbidden for one to somebody else, Conflict where the organisation is full.
        """
        invitation = await self._invitations.found(token)
        if not is_to(invitation, who.user):
            raise Forbidden(
                f"This invitation is to somebody else. You are signed in as {who.user.email}: sign out first."
            )
        async with self._db.transaction() as conn:
            await _take(conn, invitation, who.user.id)
            return await self._sessions.rotated(conn, session)

    async def by_identity(self, identity: Identity, origin: Origin, *, instead_of: str | None) -> NewSession:
        """A session for whom an identity provider vouches for.

        The account is the one that this identity signed in to before, or else the one with its verified address, where that
        was proven to be its user's or its user is signed in here; an open invitation to the address makes one. Raises
        Forbidden where there is none of them, or where the provider knows the account's user by another id.
        """
        if not 1 <= len(identity.subject) <= SUBJECT_CHARS_MAX or NOT_IN_A_LINE.search(identity.subject):
            raise Forbidden(
                f"The identity provider's id for you is not one line of 1 to {SUBJECT_CHARS_MAX} characters. "
                "Tell whoever runs the provider."
            )
        here = await self._sessions.signed_in(instead_of) if instead_of else None
        async with self._db.transaction() as conn:
            known = await user_store.find_identity(conn, identity.issuer, identity.subject)
            user_id, is_made = (
                (known, False)
                if known is not None
                else await _introduced(conn, identity, None if here is None else here.user)
            )
            user = await user_store.lock_user(conn, user_id)
            if user is None or user.disabled_at is not None:
                raise no_account()
            is_theirs = identity.email is not None and email_key(identity.email) == email_key(user.email)
            with as_oneself(user_id, user.email, origin):
                for invitation in await user_store.invitations_to(conn, email_key(user.email)) if is_theirs else ():
                    await _take(conn, invitation, user_id)
                if is_made:
                    await tell(conn, "user.created", user_id, {"email": user.email, "name": user.name})
                if known is None:
                    if not await user_store.insert_identity(conn, identity.issuer, identity.subject, user_id):
                        raise _known_otherwise(user.email)
                    await user_store.set_proven(conn, user_id)
                    await tell(conn, "user.identity_linked", user_id, {"issuer": identity.issuer})
            return await self._sessions.opened(conn, user_id, "oidc", origin, instead_of=instead_of)

    async def unlink(self, user: User) -> None:
        """Forgets by what identity providers know the user, and signs them out everywhere. Raises NotFound."""
        async with self._db.transaction() as conn:
            await user_store.lock_user(conn, user.id)
            if not await user_store.delete_identities(conn, user.id):
                raise NotFound(f"No identity provider knows {user.email}.")
            await sign_in_store.end_sessions(conn, user.id)
            await tell(conn, "user.identity_unlinked", user.id)


def is_to(invitation: Invitation, user: User) -> bool:
    """Whether that user may take it: it names their address, or is for whoever has its link."""
    return invitation.email is None or email_key(invitation.email) == email_key(user.email)


def no_account() -> Forbidden:
    """For everybody whom the provider knows and this installation does not."""
    return Forbidden("Nobody here has this address, or it is not verified. Ask to be invited to it.")


def _known_otherwise(email: str) -> Forbidden:
    return Forbidden(
        f"The identity provider knows {email} here by another id, as if you were somebody else. "
        "Whoever runs this installation forgets the other one with `stentor user unlink`; then sign in again."
    )


async def _introduced(conn: Connection, identity: Identity, here: User | None) -> tuple[UUID, bool]:
    """Who an identity is that was never seen before: known by its address, or invited and (True) made just now.

    `here`: who is signed in in this browser, and thereby shows that the account and the identity are one person's.
    """
    if identity.email is None:
        raise no_account()
    key = email_key(identity.email)
    user = await user_store.find_user_by_email(conn, key)
    if user is None:
        if not await user_store.invitations_to(conn, key):
            raise no_account()
        name = identity.name or identity.email
        return await made(conn, identity.email, name, password=None, is_proven=True), True
    if user.disabled_at is not None:
        raise no_account()
    is_proven, is_known = await user_store.standing(conn, user.id, identity.issuer)
    if is_known:
        raise _known_otherwise(user.email)
    if not is_proven and (here is None or here.id != user.id):
        # Somebody else may have made the account under this address, and would go on having its password.
        raise Forbidden(
            f"There is an account for {user.email}, but nobody proved yet that the address is its user's. Sign in to it with "
            'its password and use "My account", or choose a new password by mail; then sign in here again.'
        )
    return user.id, False


async def _take(conn: Connection, invitation: Invitation, user_id: UUID) -> None:
    """Uses the invitation up, and gives its role to who may not do as much there already.

    Under the organisation's lock, so that a role that somebody is given meanwhile is seen.
    """
    organisation_id, brand_id = invitation.organisation_id, invitation.brand_id
    await user_store.lock_organisation(conn, organisation_id)
    if not await user_store.accept_invitation(conn, invitation.id):
        raise NotFound("This invitation was accepted, withdrawn, or is over. Ask for a new one.")
    held = await user_store.memberships_of_user(conn, user_id)
    present = role_among(held, organisation_id, brand_id)
    if is_stronger(invitation.role, present):
        is_new = all(one.organisation_id != organisation_id for one in held)
        if is_new and await user_store.count_members(conn, organisation_id) >= MEMBERS_MAX:
            raise too_many_members()
        await grant(conn, user_id, organisation_id, brand_id, invitation.role)
        present = invitation.role
    await record(
        conn,
        "invitation.accepted",
        invitation.id,
        brand_id=brand_id,
        organisation_id=organisation_id,
        after={"user_id": str(user_id), "role": present},
    )
