"""Sessions: a cookie by chance, of which the database knows a keyed hash alone."""

import hmac
import secrets
from uuid import UUID

import structlog

from stentor.accounts import sign_in_store as store
from stentor.accounts import user_store
from stentor.accounts.user_model import Method, NewSession, Origin, Session, SignedIn, User
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.domain.ids import new_id
from stentor.errors import NotFound, Unauthenticated

log = structlog.get_logger(__name__)

SESSION_IDLE_S_MAX = 12 * 3600
SESSION_S_MAX = 14 * 24 * 3600
# Between the password and the second factor.
FIRST_FACTOR_S_MAX = 600
SESSIONS_MAX = 50
HALF_SESSIONS_MAX = 10
TOKEN_CHARS_MAX = 100

BROWSER_CHARS_MAX = 300
_TOKEN_BYTES = 32


class SessionService:
    """Who is signed in. `key`: 32 bytes derived from the installation's secret, under which cookies are hashed."""

    def __init__(self, db: Database, key: bytes) -> None:
        self._db = db
        self._key = key

    async def opened(
        self, conn: Connection, user_id: UUID, method: Method, origin: Origin, *, instead_of: str | None
    ) -> NewSession:
        """A new session in that transaction, in place of the one that this browser had.

        It is whole, unless the user has a second factor, which then has to come within ten minutes.
        """
        if instead_of:
            await store.delete_session(conn, self.digest(instead_of))
        factor = await store.find_factor(conn, user_id)
        is_whole = factor is None or not factor[1]
        stage: store.Stage = "whole" if is_whole else "first_factor"
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        ends_at = await store.insert_session(
            conn,
            self.digest(token),
            new_id(),
            user_id=user_id,
            stage=stage,
            method=method,
            origin=_stored(origin),
            lasts_s=SESSION_S_MAX if is_whole else FIRST_FACTOR_S_MAX,
        )
        await store.end_oldest_sessions(conn, user_id, stage, kept=SESSIONS_MAX if is_whole else HALF_SESSIONS_MAX)
        log.info("user.signed_in", user_id=str(user_id), method=method, is_whole=is_whole)
        return NewSession(token, user_id, is_whole, ends_at)

    async def completed(self, conn: Connection, token: str, user_id: UUID, origin: Origin) -> NewSession:
        """A whole session under a new cookie in place of the one of that user that waited for the second factor.

        Raises Unauthenticated when none waits: it ended, or somebody else was faster.
        """
        method = await store.take_half_session(conn, self.digest(token), user_id)
        if method is None:
            raise none_waits()
        fresh = secrets.token_urlsafe(_TOKEN_BYTES)
        ends_at = await store.insert_session(
            conn,
            self.digest(fresh),
            new_id(),
            user_id=user_id,
            stage="whole",
            method=method,
            origin=_stored(origin),
            lasts_s=SESSION_S_MAX,
        )
        await store.end_oldest_sessions(conn, user_id, "whole", kept=SESSIONS_MAX)
        log.info("user.signed_in", user_id=str(user_id), method=method, is_whole=True, with_second_factor=True)
        return NewSession(fresh, user_id, is_whole=True, ends_at=ends_at)

    async def rotated(self, conn: Connection, token: str) -> NewSession:
        """The same session under a new cookie: after a change of what it may do. Raises NotFound when it has ended."""
        fresh = secrets.token_urlsafe(_TOKEN_BYTES)
        found = await store.rotate_session(conn, self.digest(token), self.digest(fresh))
        if found is None:
            raise NotFound("This session has ended.")
        return NewSession(fresh, found[0], is_whole=True, ends_at=found[1])

    async def signed_in(self, token: str) -> SignedIn | None:
        """Who is signed in with that cookie, as of now; None for any other text, and while a second factor is waited for."""
        found = await self._found(token)
        if found is None or found[0] != "whole":
            return None
        _, session, user = found
        async with self._db.transaction() as conn:
            await store.touch_session(conn, self.digest(token))
            return SignedIn(user, session, await user_store.memberships_of_user(conn, user.id))

    async def remembered(self, token: str) -> SignedIn | None:
        """The same without being a use of the session: what a page asks by itself keeps nobody signed in."""
        found = await self._found(token)
        if found is None or found[0] != "whole":
            return None
        _, session, user = found
        async with self._db.read() as conn:
            return SignedIn(user, session, await user_store.memberships_of_user(conn, user.id))

    async def half_signed_in(self, token: str) -> UUID | None:
        """Whose second factor is waited for with that cookie."""
        found = await self._found(token)
        return found[2].id if found is not None and found[0] == "first_factor" else None

    async def sessions(self, user_id: UUID) -> list[Session]:
        """Where the user is signed in, the last used first."""
        async with self._db.read() as conn:
            return await store.sessions(conn, user_id, SESSION_IDLE_S_MAX)

    async def end(self, user_id: UUID, session_id: UUID) -> None:
        """Signs that browser out, at once. Raises NotFound."""
        async with self._db.transaction() as conn:
            if not await store.end_session(conn, user_id, session_id):
                raise NotFound("There is no such session.")

    async def end_others(self, user_id: UUID, kept: UUID | None = None) -> None:
        """Signs the user out everywhere, at once, but for the session that is kept."""
        async with self._db.transaction() as conn:
            await store.end_sessions(conn, user_id, kept=kept)

    async def sign_out(self, token: str) -> None:
        """Ends the session of that cookie; one that has ended is no error."""
        async with self._db.transaction() as conn:
            await store.delete_session(conn, self.digest(token))

    def digest(self, token: str) -> bytes:
        """What is stored of a cookie."""
        return hmac.digest(self._key, token.encode("utf-8", "replace"), "sha256")

    async def _found(self, token: str) -> tuple[store.Stage, Session, User] | None:
        if not token or len(token) > TOKEN_CHARS_MAX:
            return None
        async with self._db.read() as conn:
            return await store.find_session(conn, self.digest(token), SESSION_IDLE_S_MAX)


def none_waits() -> Unauthenticated:
    """The refusal of a second factor for which nothing waits."""
    return Unauthenticated(
        "No sign-in waits for this code any more: it was answered, or ten minutes are over. Sign in again."
    )


async def forget_ended(db: Database) -> int:
    """Clears away what ended: sessions, links, invitations, attempts."""
    async with db.transaction() as conn:
        return await store.forget_ended(conn, SESSION_IDLE_S_MAX) + await user_store.forget_invitations(conn)


def _stored(origin: Origin) -> Origin:
    # A browser calls itself whatever it likes.
    browser = "".join(letter for letter in origin.browser if letter.isprintable())[:BROWSER_CHARS_MAX]
    return Origin(origin.ip[:64], origin.line, browser)
