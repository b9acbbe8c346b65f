"""Small messages for the sandbox: a skeleton with one gap, and the part that fills it."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from stentor.channels.contract import Accepted, Outcome, Wave
from stentor.channels.sandbox.channel import SandboxChannel
from stentor.channels.sandbox.model import SandboxMessage
from stentor.db.pool import Database
from stentor.domain.ids import SendIds, customer_id, new_id
from stentor.domain.vocabulary import ChannelKind, Lane

SEND_IDS = SendIds(b"a key for tests")
MAIL = (
    b"From: Matchday <hello@example.net>\r\nSubject: %(subject)s\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\n%(body)s\r\n'
    b'--b\r\nContent-Type: text/html; charset="utf-8"\r\n\r\n<p>%(body)s</p>\r\n--b--\r\n'
)
_GAP = b"\x00"


class Letter(msgspec.Struct, frozen=True):
    """One message; `content` has a NUL where `body` belongs."""

    send_id: str
    address: str
    subject: str
    content: bytes
    body: bytes
    skeleton_id: bytes

    def skeleton_content(self) -> bytes:
        return self.content

    def parts(self) -> bytes:
        return self.body

    def wire(self) -> bytes:
        return reassemble(self.content, self.body)


def reassemble(content: bytes, parts: bytes) -> bytes:
    return content.replace(_GAP, parts)


def mail_skeleton(subject: str) -> bytes:
    return MAIL % {b"subject": subject.encode(), b"body": _GAP}


def letter(
    brand_id: UUID,
    address: str = "ann@example.com",
    *,
    subject: str = "Kick-off",
    body: str = "Hi Ann",
    execution_id: UUID | None = None,
    channel: ChannelKind = ChannelKind.EMAIL,
    content: bytes | None = None,
    external_id: str | None = None,
) -> Letter:
    """A letter to that address; its customer's external id is the address, unless one is given."""
    send_id = SEND_IDS.encode(execution_id or new_id(), customer_id(brand_id, external_id or address), channel)
    content = mail_skeleton(subject) if content is None else content
    return Letter(send_id, address, subject, content, body.encode(), hashlib.sha256(content).digest()[:16])


def wave_for(brand_id: UUID, channel: ChannelKind = ChannelKind.EMAIL) -> Wave:
    return Wave(brand_id=brand_id, sender_id=new_id(), kind=channel, lane=Lane.BULK, may_start=lambda: True)


async def deliver(
    db: Database, sandbox: SandboxChannel, wave: Wave, letters: Sequence[SandboxMessage]
) -> Sequence[Outcome]:
    """Hands the letters over and settles the wave, as a worker does."""
    outcomes = await sandbox.hand_over(wave, letters)
    accepted = [one for one, outcome in zip(letters, outcomes, strict=True) if isinstance(outcome, Accepted)]
    async with db.transaction() as conn:
        await sandbox.record(conn, wave, accepted)
    return outcomes
