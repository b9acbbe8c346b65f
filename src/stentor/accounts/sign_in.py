"""Signing in by password and by a signed link, and what changes how somebody signs in."""

from uuid import UUID

from stentor.accounts import letter_store, sign_in_store, user_store
from stentor.accounts.attempts import (
    PRESENT_PASSWORD,
    RESETS_PER_ADDRESS,
    RESETS_PER_LINE,
    SIGN_IN_PER_ACCOUNT,
    SIGN_IN_PER_ACCOUNT_AND_LINE,
    SIGN_IN_PER_DEVICE,
    SIGN_IN_PER_LINE,
    Attempts,
    Counted,
)
from stentor.accounts.devices import Devices
from stentor.accounts.passwords import PASSWORD_CHARS_MAX, Passwords, check_password
from stentor.accounts.sealing import LinkTokens
from stentor.accounts.second_factors import SecondFactors
from stentor.accounts.sessions import SessionService, none_waits
from stentor.accounts.user_model import NewSession, Origin, SignedIn, User
from stentor.accounts.users import as_oneself, email_key, tell
from stentor.clock import Clock
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import Conflict, Forbidden, NotFound, Unauthenticated

LINK_S_MAX = 3600
FIRST_LINK_S_MAX = 7 * 24 * 3600

FRESH_S_MAX = 600
"""Since signing in, for who has no password that could be asked for again."""

_KIND = "password"


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
        devices: Devices,
        links: LinkTokens,
        sends_mail: bool,
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._sessions = sessions
        self._factors = factors
        self._attempts = attempts
        self._devices = devices
        self._links = links
        self.sends_mail = sends_mail

    async def by_password(self, email: str, password: str, origin: Origin, *, instead_of: str | None) -> NewSession:
        """A session for the right address and password, in place of the one that this browser had.

        Raises Unauthenticated, in the same words and after the same time for whatever is wrong, and RateLimited.
        """
        key = email_key(email)
        async with self._db.read() as conn:
            found = await user_store.stored_password(conn, key)
        user_id, stored = found or (None, None)
        counted = self._counted(key, user_id, origin)
        await self._attempts.take(*counted)
        if (
            not await self._passwords.is_right(stored, password[:PASSWORD_CHARS_MAX])
            or user_id is None
            or stored is None
        ):
            raise _not_right()
        await self._attempts.give_back(*counted)
        fresh = await self._passwords.hashed(password) if self._passwords.is_outdated(stored) else None
        async with self._db.transaction() as conn:
            # Comparing takes its time, in which the password may be changed, or the account closed.
            if await user_store.held_password(conn, user_id) != stored:
                raise _not_right()
            if fresh is not None:
                await user_store.set_password(conn, user_id, fresh)
            return await self._sessions.opened(conn, user_id, "password", origin, instead_of=instead_of)

    async def by_second_factor(self, token: str, code: str, origin: Origin) -> NewSession:
        """A whole session in place of one that waited for this code.

        Raises Unauthenticated when none waits any more, Invalid for a wrong code, RateLimited.
        """
        user_id = await self._sessions.half_signed_in(token)
        if user_id is None:
            raise none_waits()
        async with self._factors.attempt(user_id), self._db.transaction() as conn:
            # Whoever changes the password or disables the account ends the session that waits: before this or after it.
            await user_store.lock_user(conn, user_id)
            await self._factors.check(conn, user_id, code)
            return await self._sessions.completed(conn, token, user_id, origin)

    async def forgotten(self, email: str, origin: Origin) -> None:
        """Mails a link by which a new password is chosen, where there is such an account; says nothing of that.

        Raises RateLimited, for addresses of nobody too, and Conflict where the installation has no sender of its own.
        """
        if not self.sends_mail:
            raise Conflict("This installation sends no mail of its own. Ask whoever runs it for a link.")
        key = email_key(email)
        await self._attempts.take((RESETS_PER_LINE, origin.line), (RESETS_PER_ADDRESS, key))
        link_id = new_id()
        async with self._db.transaction() as conn:
            # Both statements in either case: a letter about no link is thrown away by whoever was to mail it.
            await sign_in_store.insert_link(conn, link_id, key, LINK_S_MAX, is_mailed=True)
            await letter_store.insert_letter(conn, "password", link_id)

    async def link_for(self, user: User, *, lasts_s: int = FIRST_LINK_S_MAX) -> str:
        """What a link ends in by which that user chooses a password once. Raises Conflict for a disabled user."""
        link_id = new_id()
        async with self._db.transaction() as conn:
            if not await sign_in_store.insert_link(conn, link_id, email_key(user.email), lasts_s, is_mailed=False):
                raise Conflict(f"{user.email} is disabled. `stentor user enable` lets them in again.")
            await tell(conn, "user.link_made", user.id)
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

        A second factor is still asked for, unless the link is the first to prove that the address is theirs: whoever was
        there before may be somebody else, and goes with all that they could come back by. Raises Invalid for a password
        that is too plain, NotFound for a dead link.
        """
        user = await self.linked(token)
        check_password(password, email=user.email)
        stored = await self._passwords.hashed(password)
        async with self._db.transaction() as conn:
            link_id = self._links.read(_KIND, token)
            is_mailed = None if link_id is None else await sign_in_store.use_link(conn, link_id)
            if is_mailed is None:
                raise _dead_link()
            is_first_proof = is_mailed and await user_store.set_proven(conn, user.id)
            with as_oneself(user.id, user.email, origin):
                if is_first_proof and await self._factors.remove(conn, user.id):
                    await tell(conn, "user.second_factor_reset", user.id)
                await self._set_password(conn, user.id, stored)
            return await self._sessions.opened(conn, user.id, "link", origin, instead_of=instead_of)

    async def change_password(self, who: SignedIn, token: str, old: str, new: str) -> NewSession:
        """Sets another password, signs the user out everywhere else, and rotates this session.

        Raises Forbidden when the old one is wrong, Invalid for one that is too plain, RateLimited.
        """
        before = await self._present(who, old)
        check_password(new, email=who.user.email)
        stored = await self._passwords.hashed(new)
        async with self._db.transaction() as conn:
            if await user_store.held_password(conn, who.user.id) != before:
                raise _not_present()
            await self._set_password(conn, who.user.id, stored, kept=who.session.id)
            return await self._sessions.rotated(conn, token)

    async def begin_second_factor(self, who: SignedIn, password: str) -> bytes:
        """A new secret for an app, for who gives the present password, or has none and signed in within ten minutes.

        Raises Forbidden for who does neither, Conflict where a second factor is in use, RateLimited.
        """
        if who.user.has_password:
            await self._present(who, password)
        elif (Clock(self._db.shift).now() - who.session.created_at).total_seconds() > FRESH_S_MAX:
            raise Forbidden(
                "You signed in too long ago for that. Sign out, sign in again, and set it up within ten minutes."
            )
        return await self._factors.begin(who.user.id, who.session.id)

    async def confirm_second_factor(self, who: SignedIn, token: str, code: str) -> tuple[NewSession, list[str]]:
        """Puts a second factor in use; returns the rotated session and the recovery codes. Raises as SecondFactors."""
        async with self._factors.attempt(who.user.id), self._db.transaction() as conn:
            # Whoever proves the address takes the factor off and ends this session: before this or after it.
            await user_store.lock_user(conn, who.user.id)
            codes = await self._factors.confirm(conn, who.user.id, who.session.id, code)
            await sign_in_store.end_sessions(conn, who.user.id, kept=who.session.id)
            await tell(conn, "user.second_factor_set", who.user.id)
            return await self._sessions.rotated(conn, token), codes

    async def remove_second_factor(self, who: SignedIn, token: str, code: str) -> NewSession:
        """Takes the second factor off, for one last code of it, and rotates the session. Raises as SecondFactors."""
        async with self._factors.attempt(who.user.id), self._db.transaction() as conn:
            await self._factors.check(conn, who.user.id, code)
            await self._factors.remove(conn, who.user.id)
            await tell(conn, "user.second_factor_removed", who.user.id)
            return await self._sessions.rotated(conn, token)

    async def reset_second_factor(self, user: User) -> None:
        """Takes the second factor of who lost it off, and signs them out everywhere. Raises NotFound where there is none."""
        async with self._db.transaction() as conn:
            await user_store.lock_user(conn, user.id)
            if not await self._factors.remove(conn, user.id):
                raise NotFound(f"{user.email} has no second factor.")
            await sign_in_store.end_sessions(conn, user.id)
            await tell(conn, "user.second_factor_reset", user.id)

    def _counted(self, key: str, user_id: UUID | None, origin: Origin) -> list[Counted]:
        """What a try counts against: of a known browser itself alone, so that strangers cannot use its tries up."""
        device = None if user_id is None else self._devices.known(user_id, origin.device)
        if device is not None:
            return [(SIGN_IN_PER_DEVICE, device)]
        return [
            (SIGN_IN_PER_LINE, origin.line),
            (SIGN_IN_PER_ACCOUNT_AND_LINE, f"{key}\0{origin.line}"),
            (SIGN_IN_PER_ACCOUNT, key),
        ]

    async def _present(self, who: SignedIn, password: str) -> str:
        """What is stored of the password that somebody signed in gave again. Raises Forbidden for another, RateLimited."""
        counted = PRESENT_PASSWORD, who.user.id.hex
        await self._attempts.take(counted)
        async with self._db.read() as conn:
            found = await user_store.stored_password(conn, email_key(who.user.email))
        stored = found[1] if found else None
        if not await self._passwords.is_right(stored, password[:PASSWORD_CHARS_MAX]) or stored is None:
            raise _not_present()
        await self._attempts.give_back(counted)
        return stored

    async def _set_password(self, conn: Connection, user_id: UUID, stored: str, *, kept: UUID | None = None) -> None:
        await user_store.set_password(conn, user_id, stored)
        await sign_in_store.end_links(conn, user_id)
        await sign_in_store.end_sessions(conn, user_id, kept=kept)
        await tell(conn, "user.password_changed", user_id)


def _not_right() -> Unauthenticated:
    return Unauthenticated("The address or the password is not right, or the account is not open.")


def _not_present() -> Forbidden:
    return Forbidden("The present password is not right.")


def _dead_link() -> NotFound:
    return NotFound("This link was used, or is over. Ask for a new one.")
