"""Signing in: by password, by a signed link, by an identity provider; and what changes how somebody signs in."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import msgspec
import structlog

from stentor.accounts import letter_store, sign_in_store, user_store
from stentor.accounts.acting import Actor, as_actor
from stentor.accounts.attempts import (
    LETTERS_PER_ACCOUNT,
    LETTERS_PER_LINE,
    SIGN_IN_PER_ACCOUNT,
    SIGN_IN_PER_LINE,
    Attempts,
)
from stentor.accounts.audit import record
from stentor.accounts.invitations import InvitationService
from stentor.accounts.passwords import PASSWORD_CHARS_MAX, Passwords, check_password
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.sessions import SessionService
from stentor.accounts.user_model import Invitation, Method, NewSession, Origin, SignedIn, User
from stentor.accounts.users import email_key, grant, made
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Conflict, Forbidden, NotFound, Unauthenticated

log = structlog.get_logger(__name__)

LINK_S_MAX = 3600
FIRST_LINK_S_MAX = 7 * 24 * 3600

SUBJECT_CHARS_MAX = 255
"""Of a provider's id for somebody, as OpenID Connect bounds it."""

_KIND = "password"


class Identity(msgspec.Struct, frozen=True):
    """Somebody as an identity provider knows them; `email` is None where the provider does not vouch for it."""

    issuer: str
    subject: str
    email: str | None
    name: str


class SignInService:
    """Opens sessions. Every answer to a stranger is the same whether there is such an account or not."""

    def __init__(
        self,
        db: Database,
        *,
        passwords: Passwords,
        sessions: SessionService,
        factors: SecondFactors,
        attempts: Attempts,
        invitations: InvitationService,
        links: LinkTokens,
        sends_mail: bool,
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._sessions = sessions
        self._factors = factors
        self._attempts = attempts
        self._invitations = invitations
        self._links = links
        self.sends_mail = sends_mail

    async def by_password(self, email: str, password: str, origin: Origin, *, instead_of: str | None) -> NewSession:
        """A session for the right address and password, in place of the one that this browser had.

        Raises Unauthenticated, in the same words and after the same time for whatever is wrong, and RateLimited.
        """
        key = email_key(email)
        await self._attempts.take(SIGN_IN_PER_LINE, origin.line)
        await self._attempts.take(SIGN_IN_PER_ACCOUNT, key)
        async with self._db.read() as conn:
            found = await user_store.stored_password(conn, key)
        user_id, stored = found or (None, None)
        if (
            not await self._passwords.is_right(stored, password[:PASSWORD_CHARS_MAX])
            or user_id is None
            or stored is None
        ):
            raise _not_right()
        await self._attempts.give_back(SIGN_IN_PER_ACCOUNT, key)
        await self._attempts.give_back(SIGN_IN_PER_LINE, origin.line)
        fresh = await self._passwords.hashed(password) if self._passwords.is_outdated(stored) else None
        async with self._db.transaction() as conn:
            # Comparing takes its time, in which the password may be changed, or the account closed.
            if await user_store.held_password(conn, user_id) != stored:
                raise _not_right()
            if fresh is not None:
                await user_store.set_password(conn, user_id, fresh)
            return await self._opened(conn, user_id, "password", origin, instead_of)

    async def by_second_factor(self, token: str, code: str, origin: Origin) -> NewSession:
        """A whole session in place of one that waited for this code.

        Raises Unauthenticated when none waits any more, Invalid for a wrong code, RateLimited.
        """
        found = await self._sessions.half_signed_in(token)
        if found is None:
            raise Unauthenticated("Ten minutes are over. Sign in again.")
        user_id, method = found
        async with self._factors.attempt(user_id), self._db.transaction() as conn:
            await self._factors.check(conn, user_id, code)
            session = await self._sessions.completed(conn, token, user_id, method, origin)
        log.info("user.signed_in", user_id=str(user_id), method=method, with_second_factor=True)
        return session

    async def forgotten(self, email: str, origin: Origin) -> None:
        """Mails a link by which a new password is chosen, where there is such an account; says nothing of that.

        Raises RateLimited, for addresses of nobody too, and Conflict where the installation has no sender of its own.
        """
        if not self.sends_mail:
            raise Conflict("This installation sends no mail of its own. Ask whoever runs it for a link.")
        key = email_key(email)
        await self._attempts.take(LETTERS_PER_LINE, origin.line)
        await self._attempts.take(LETTERS_PER_ACCOUNT, key)
        link_id = new_id()
        async with self._db.transaction() as conn:
            # Both statements in either case: a letter about no link is thrown away by whoever was to mail it.
            await sign_in_store.insert_link(conn, link_id, key, LINK_S_MAX)
            await letter_store.insert_letter(conn, "password", link_id)

    async def link_for(self, user: User, *, lasts_s: int = FIRST_LINK_S_MAX) -> str:
        """What a link ends in by which that user chooses a password once. Raises Conflict for a disabled user."""
        link_id = new_id()
        async with self._db.transaction() as conn:
            if not await sign_in_store.insert_link(conn, link_id, email_key(user.email), lasts_s):
                raise Conflict(f"{user.email} is disabled. `stentor user enable` lets them in again.")
            await _tell(conn, "user.link_made", user.id)
        return self._links.token(_KIND, link_id)

    async def linked(self, token: str) -> User:
        """Whose link it is. Raises NotFound for one that was used, is over, or is none."""
        link_id = self._links.read(_KIND, token)
        if link_id is not None:
            async with self._db.read() as conn:
                if (user := await sign_in_store.find_link(conn, link_id)) is not None:
                    return user
        raise _dead_link()

    async def by_link(self, token: str, password: str, origin: Origin, *, instead_of: str | None) -> NewSession:
        """Sets the password of the link's user, signs them out everywhere, and in here.

        A second factor is still asked for. Raises Invalid for a password that is too plain, NotFound for a dead link.
        """
        user = await self.linked(token)
        check_password(password, email=user.email)
        stored = await self._passwords.hashed(password)
        async with self._db.transaction() as conn:
            link_id = self._links.read(_KIND, token)
            if link_id is None or await sign_in_store.use_link(conn, link_id) is None:
                raise _dead_link()
            with _oneself(user.id, user.email, origin):
                await self._set_password(conn, user.id, stored)
            return await self._opened(conn, user.id, "link", origin, instead_of)

    async def change_password(self, who: SignedIn, token: str, old: str, new: str) -> NewSession:
        """Sets another password, signs the user out everywhere else, and rotates this session.

        Raises Forbidden when the old one is wrong, Invalid for one that is too plain, RateLimited.
        """
        key = email_key(who.user.email)
        await self._attempts.take(SIGN_IN_PER_ACCOUNT, key)
        async with self._db.read() as conn:
            found = await user_store.stored_password(conn, key)
        before = found[1] if found else None
        if not await self._passwords.is_right(before, old[:PASSWORD_CHARS_MAX]):
            raise _not_present()
        await self._attempts.give_back(SIGN_IN_PER_ACCOUNT, key)
        check_password(new, email=who.user.email)
        stored = await self._passwords.hashed(new)
        async with self._db.transaction() as conn:
            if await user_store.held_password(conn, who.user.id) != before:
                raise _not_present()
            await self._set_password(conn, who.user.id, stored, kept=who.session.id)
            return await self._sessions.rotated(conn, token)

    async def confirm_second_factor(self, who: SignedIn, token: str, code: str) -> tuple[NewSession, list[str]]:
        """Puts a second factor in use; returns the rotated session and the recovery codes. Raises as SecondFactors."""
        async with self._factors.attempt(who.user.id), self._db.transaction() as conn:
            codes = await self._factors.confirm(conn, who.user.id, code)
            await sign_in_store.end_sessions(conn, who.user.id, kept=who.session.id)
            await _tell(conn, "user.second_factor_set", who.user.id)
            return await self._sessions.rotated(conn, token), codes

    async def remove_second_factor(self, who: SignedIn, token: str, code: str) -> NewSession:
        """Takes the second factor off, for one last code of it, and rotates the session. Raises as SecondFactors."""
        async with self._factors.attempt(who.user.id), self._db.transaction() as conn:
            await self._factors.check(conn, who.user.id, code)
            await self._factors.remove(conn, who.user.id)
            await _tell(conn, "user.second_factor_removed", who.user.id)
            return await self._sessions.rotated(conn, token)

    async def accept(
        self, token: str, *, email: str | None, name: str, password: str, origin: Origin, instead_of: str | None
    ) -> NewSession:
        """A new user with the invitation's role, signed in. `email` counts where the invitation names none.

        Raises NotFound for a dead invitation, Conflict where the address has an account, Invalid.
        """
        invitation = await self._invitations.found(token)
        address = invitation.email or email or ""
        check_password(password, email=address)
        stored = await self._passwords.hashed(password)
        async with self._db.transaction() as conn:
            user_id = await made(conn, address, name, password=stored)
            with _oneself(user_id, address, origin):
                await _take(conn, invitation, user_id)
                await _tell(conn, "user.created", user_id, {"email": address, "name": name})
            return await self._opened(conn, user_id, "link", origin, instead_of)

    async def accept_as(self, token: str, who: SignedIn, session: str) -> NewSession:
        """Gives whoever is signed in the invitation's role, and rotates their session.

        Raises NotFound for a dead invitation, Forbidden for one to somebody else.
        """
        invitation = await self._invitations.found(token)
        if invitation.email is None or email_key(invitation.email) != email_key(who.user.email):
            raise Forbidden(
                f"This invitation is to somebody else. You are signed in as {who.user.email}: sign out first."
            )
        async with self._db.transaction() as conn:
            await _take(conn, invitation, who.user.id)
            return await self._sessions.rotated(conn, session)

    async def by_identity(self, identity: Identity, origin: Origin, *, instead_of: str | None) -> NewSession:
        """A session for whom an identity provider vouches for.

        The account is the one that this identity signed in to before, or else the one with its verified address; an open
        invitation to that address makes one. Raises Forbidden where there is none of them.
        """
        if not 1 <= len(identity.subject) <= SUBJECT_CHARS_MAX or NOT_IN_A_LINE.search(identity.subject):
            raise Forbidden(
                f"The identity provider's id for you is not one line of 1 to {SUBJECT_CHARS_MAX} characters. "
                "Tell whoever runs the provider."
            )
        async with self._db.transaction() as conn:
            known = await user_store.find_identity(conn, identity.issuer, identity.subject)
            user_id, is_made = (known, False) if known is not None else await _introduced(conn, identity)
            user = await user_store.find_user(conn, user_id)
            if user is None or user.disabled_at is not None:
                raise no_account()
            with _oneself(user_id, user.email, origin):
                for invitation in await user_store.invitations_to(conn, email_key(user.email)):
                    if identity.email is not None and email_key(identity.email) == email_key(user.email):
                        await _take(conn, invitation, user_id)
                if is_made:
                    await _tell(conn, "user.created", user_id, {"email": user.email, "name": user.name})
                if known is None:
                    await user_store.insert_identity(conn, identity.issuer, identity.subject, user_id)
                    await _tell(conn, "user.identity_linked", user_id, {"issuer": identity.issuer})
            return await self._opened(conn, user_id, "oidc", origin, instead_of)

    async def _opened(
        self, conn: Connection, user_id: UUID, method: Method, origin: Origin, instead_of: str | None
    ) -> NewSession:
        session = await self._sessions.opened(conn, user_id, method, origin, instead_of=instead_of)
        log.info("user.signed_in", user_id=str(user_id), method=method, is_whole=session.is_whole)
        return session

    async def _set_password(self, conn: Connection, user_id: UUID, stored: str, *, kept: UUID | None = None) -> None:
        await user_store.set_password(conn, user_id, stored)
        await sign_in_store.end_links(conn, user_id)
        await sign_in_store.end_sessions(conn, user_id, kept=kept)
        await _tell(conn, "user.password_changed", user_id)


def no_account() -> Forbidden:
    """For everybody whom the provider knows and this installation does not."""
    return Forbidden("Nobody here has this address, or it is not verified. Ask to be invited to it.")


async def _introduced(conn: Connection, identity: Identity) -> tuple[UUID, bool]:
    """Who an identity is that was never seen before: known by its address, or invited and (True) made just now."""
    if identity.email is None:
        raise no_account()
    key = email_key(identity.email)
    user = await user_store.find_user_by_email(conn, key)
    if user is not None:
        return user.id, False
    if not await user_store.invitations_to(conn, key):
        raise no_account()
    return await made(conn, identity.email, identity.name or identity.email, password=None), True


def _oneself(user_id: UUID, email: str, origin: Origin) -> AbstractContextManager[None]:
    """Who is let in by a link or a provider acts, before there is a session that says so."""
    return as_actor(Actor("user", str(user_id), email, origin.ip))


async def _take(conn: Connection, invitation: Invitation, user_id: UUID) -> None:
    if not await user_store.accept_invitation(conn, invitation.id):
        raise NotFound("This invitation was accepted, withdrawn, or is over. Ask for a new one.")
    await grant(conn, user_id, invitation.organisation_id, invitation.brand_id, invitation.role)
    await record(
        conn,
        "invitation.accepted",
        invitation.id,
        brand_id=invitation.brand_id,
        organisation_id=invitation.organisation_id,
        after={"user_id": str(user_id), "role": invitation.role},
    )


async def _tell(conn: Connection, action: str, user_id: UUID, after: Mapping[str, Any] | None = None) -> None:
    """Notes in every organisation of the user what changed about them."""
    held = await user_store.memberships_of_user(conn, user_id)
    for organisation_id in dict.fromkeys(one.organisation_id for one in held):
        await record(conn, action, user_id, organisation_id=organisation_id, after=after)


def _not_right() -> Unauthenticated:
    return Unauthenticated("The address or the password is not right, or the account is not open.")


def _not_present() -> Forbidden:
    return Forbidden("The present password is not right.")


def _dead_link() -> NotFound:
    return NotFound("This link was used, or is over. Ask for a new one.")
