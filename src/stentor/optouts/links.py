"""Signed links to send a file to and to fetch one from: all that is needed to do so, and nothing that can be guessed or changed."""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from stentor.errors import Forbidden

FILE_NAME_CHARS_MAX = 100

Purpose: TypeAlias = Literal["upload", "download"]

_PURPOSES: tuple[Purpose, ...] = ("upload", "download")
_TAG_BYTES = 16
_HEAD_BYTES = 1 + 5 + 16 + 16  # purpose, end in seconds of the epoch, brand, job
_TOKEN_CHARS_MAX = -(-(_HEAD_BYTES + FILE_NAME_CHARS_MAX + _TAG_BYTES) * 4 // 3) + 1


class LinkForged(Forbidden):
    code = "link-forged"
    title = "This link was not made here"


class LinkExpired(Forbidden):
    code = "link-expired"
    title = "The time of this link is over"


class FileLink(msgspec.Struct, frozen=True):
    """What a link opens: the upload of a job's file, or the download of one that it made, until that moment."""

    purpose: Purpose
    brand_id: UUID
    job_id: UUID
    until: datetime
    file_name: str = ""


class FileLinks:
    """Makes and reads the tokens of links to files.

    A token is base64url of purpose ‖ end ‖ brand ‖ job ‖ file name ‖ 16 bytes of a keyed hash. The names of files in the
    storage are not in it: they are looked up by the job.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, digest_size=32, person=b"list-files").digest()

    def token(self, link: FileLink) -> str:
        """The token that opens it."""
        body = b"".join(
            (
                bytes([_PURPOSES.index(link.purpose)]),
                int(link.until.timestamp()).to_bytes(5, "big"),
                link.brand_id.bytes,
                link.job_id.bytes,
                link.file_name.encode("ascii"),
            )
        )
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> FileLink | None:
        """What the token opens, also when its time is over; None for a text that was not made here."""
        if len(token) > _TOKEN_CHARS_MAX or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if len(body) < _HEAD_BYTES or not hmac.compare_digest(tag, self._tag(body)):
            return None
        link = FileLink(
            purpose=_PURPOSES[body[0]],
            until=datetime.fromtimestamp(int.from_bytes(body[1:6], "big"), UTC),
            brand_id=UUID(bytes=body[6:22]),
            job_id=UUID(bytes=body[22:38]),
            file_name=body[38:].decode("ascii"),
        )
        # Spare bits of its last character would be a second spelling.
        return link if self.token(link) == token else None

    def _tag(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=_TAG_BYTES, key=self._key).digest()
