"""What the installation itself writes: invitations, links to new passwords, codes of test recipients, and what was switched off."""

from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from stentor.accounts import letter_store as store
from stentor.accounts.letter_store import DueLetter, InvitationFacts, LetterKind, ListenerFacts
from stentor.accounts.mail import Letter, Mailer
from stentor.accounts.sealing import LinkTokens
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.log import without_addresses

log = structlog.get_logger(__name__)

# The last try is a day after the first one; by then a link to choose a password is over for long.
LETTER_TRIES_MAX = 11

_BATCH = 20


async def write_to(conn: Connection, kind: LetterKind, about: UUID, user_id: UUID) -> None:
    """Has a letter mailed to that user, once the transaction is committed."""
    await store.insert_letter(conn, kind, about, user_id=user_id)


class LetterKeeper:
    """Mails what is due. `base_url`: what links begin with."""

    def __init__(self, db: Database, mailer: Mailer, links: LinkTokens, base_url: str) -> None:
        self._db = db
        self._mailer = mailer
        self._links = links
        self._base_url = base_url

    async def send_due(self) -> int:
        """Mails up to 20 letters that are due and returns how many went out.

        One that the relay does not take is due again later, eleven times. A process that dies in between lets a letter go
        out twice rather than never.
        """
        async with self._db.transaction() as conn:
            due = await store.claim_due(conn, _BATCH)
        sent = 0
        for one in due:
            letter = await self._written(one)
            is_sent = letter is not None and await self._is_sent(letter, one.kind, one.tries)
            if letter is not None and not is_sent and one.tries < LETTER_TRIES_MAX:
                continue
            sent += is_sent
            async with self._db.transaction() as conn:
                await store.delete_letter(conn, one.id)
        return sent

    async def _is_sent(self, letter: Letter, kind: LetterKind, tries: int) -> bool:
        try:
            await self._mailer.send(letter)
        except Unavailable as error:
            log.warning(
                "letter.refused",
                kind=kind,
                tries=tries,
                why=without_addresses(error.reason),
                what_next="see STENTOR_MAIL_URL and its relay",
            )
            return False
        log.info("letter.sent", kind=kind, tries=tries)
        return True

    async def _written(self, one: DueLetter) -> Letter | None:
        """The letter, or None where there is nothing to write about any more, or never was."""
        kind, about = one.kind, one.about
        async with self._db.read() as conn:
            if kind == "listener":
                facts = None if one.user_id is None else await store.listener_letter(conn, about, one.user_id)
                return None if facts is None else self._listener(facts)
            if kind == "invitation":
                invited = await store.invitation_letter(conn, about)
                return None if invited is None else self._invitation(about, invited)
            if kind == "test_recipient":
                named = await store.test_recipient_letter(conn, about)
                return None if named is None else self._test_recipient(about, *named)
            asked = await store.password_letter(conn, about)
            return None if asked is None else self._password(about, *asked)

    def _invitation(self, about: UUID, invited: InvitationFacts) -> Letter:
        place = invited.organisation if invited.brand is None else f"{invited.brand} ({invited.organisation})"
        by = f"{invited.invited_by} invites you" if invited.invited_by else "You are invited"
        return Letter(
            to=invited.email,
            subject=f"Invitation to {place}",
            text=f"{by} to {place} on Stentor, as {invited.role}.\n\n"
            f"Accept here, until {_written_at(invited.expires_at)}:\n{self._link('invitation', about)}\n\n"
            "If you expected no invitation, ignore this letter: nothing happens without you.\n",
        )

    def _password(self, about: UUID, email: str, expires_at: datetime) -> Letter:
        return Letter(
            to=email,
            subject="Choose a new password",
            text="Somebody, probably you, asked for a new password for this address on Stentor.\n\n"
            f"Choose it here, until {_written_at(expires_at)}:\n{self._link('password', about)}\n\n"
            "If it was not you, ignore this letter: your password stays as it is.\n",
        )

    def _test_recipient(self, about: UUID, address: str, brand: str) -> Letter:
        return Letter(
            to=address,
            subject=f"Test messages of {brand}",
            text=f"{brand} wants to send test messages to this address by Stentor.\n\n"
            f"If you want them, give this code to whoever asked you:\n{self._links.token('test_recipient', about)}\n\n"
            "If you do not, ignore this letter: nothing is sent without the code.\n",
        )

    def _listener(self, facts: ListenerFacts) -> Letter:
        place = urlsplit(facts.url).netloc
        return Letter(
            to=facts.email,
            subject=f"{facts.brand}: {facts.client} is not told any more",
            text=f"The listener of {facts.client} for {facts.event} at {place} was switched off on "
            f"{_written_at(facts.disabled_at)}.\n\n{facts.why}\n\n"
            f"Until somebody switches it on, {facts.client} hears nothing of this of {facts.brand}'s campaigns.\n"
            "When it answers again, switch the listener on in the console, and replay what it missed:\n"
            f"{self._base_url}/console\n",
        )

    def _link(self, kind: LetterKind, about: UUID) -> str:
        return link_of(self._base_url, kind, self._links.token(kind, about))


def link_of(base_url: str, kind: LetterKind, token: str) -> str:
    """The address of the page at which an invitation is accepted or a password chosen."""
    return f"{base_url}/console/{kind}/{token}"


def _written_at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
