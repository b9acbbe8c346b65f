"""Links by which a brand's catalogue is read without a login: unguessable, for a time, and taken back at once."""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.accounts.audit import record
from stentor.db.connection import Connection
from stentor.db.pool import Database
from stentor.db.quotas import check_quota
from stentor.db.sql import QuerySet, Statement
from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, NotFound

SHARES_MAX = 50
"""Of a brand, those whose time is over included, until they are taken away."""
SHARE_DAYS_MAX = 365
NOTE_CHARS_MAX = 200
MADE_BY_CHARS_MAX = 320

_TAG_BYTES = 16
_BODY_BYTES = 32
_TOKEN_CHARS = (_BODY_BYTES + _TAG_BYTES) * 4 // 3


class Sql(QuerySet, file="catalogue_shares.sql", package=__package__):
    count_shares: Statement
    insert_share: Statement
    find_share: Statement
    list_shares: Statement
    delete_share: Statement


class CatalogueShare(msgspec.Struct, frozen=True):
    """One link: who it was made for and by whom, and until when it opens."""

    id: UUID
    note: str
    made_by: str
    created_at: datetime
    expires_at: datetime
    is_over: bool


class CatalogueShares:
    """Makes, lists and takes back links.

    The token in a link is base64url of brand ‖ id ‖ 16 bytes of a keyed hash: it is not stored, and whoever has no key makes none.
    """

    def __init__(self, db: Database, key: bytes) -> None:
        self._db = db
        self._key = hashlib.blake2b(key, digest_size=32, person=b"catalogue").digest()

    async def make(self, brand_id: UUID, *, note: str, days: int, made_by: str) -> CatalogueShare:
        """A link that opens for so many days. Raises Invalid for a note or a time that cannot be, and QuotaExceeded."""
        if len(note) > NOTE_CHARS_MAX or NOT_IN_A_LINE.search(note):
            raise Invalid.field("/note", "note", f"A note is one line of at most {NOTE_CHARS_MAX} characters.")
        if not 1 <= days <= SHARE_DAYS_MAX:
            raise Invalid.field("/days", "range", f"A link opens for 1 to {SHARE_DAYS_MAX} days.")
        async with self._db.transaction() as conn:
            await check_quota(conn, brand_id, "links to its catalogue", SHARES_MAX, _count)
            (share,) = await Sql.insert_share.rows(
                conn,
                CatalogueShare,
                id=new_id(),
                brand_id=brand_id,
                note=note.strip(),
                made_by=made_by[:MADE_BY_CHARS_MAX],
                days=days,
            )
            await record(conn, "catalogue_share.created", share.id, brand_id=brand_id, after=share)
            return share

    async def all(self, brand_id: UUID) -> list[CatalogueShare]:
        """The brand's links, the newest first."""
        async with self._db.read() as conn:
            return await Sql.list_shares.rows(conn, CatalogueShare, brand_id=brand_id)

    async def end(self, brand_id: UUID, share_id: UUID) -> None:
        """Takes the link back: nobody reads by it any more. Raises NotFound."""
        async with self._db.transaction() as conn:
            held = await Sql.find_share.first(conn, CatalogueShare, id=share_id, brand_id=brand_id)
            if held is None or not await Sql.delete_share.run(conn, id=share_id, brand_id=brand_id):
                raise NotFound("There is no such link any more.")
            await record(conn, "catalogue_share.deleted", share_id, brand_id=brand_id, before=held)

    async def opened(self, token: str) -> UUID | None:
        """The brand whose catalogue the token opens; None for one that was not made here, is over, or was taken back."""
        read = self._read(token)
        if read is None:
            return None
        brand_id, share_id = read
        async with self._db.read() as conn:
            share = await Sql.find_share.first(conn, CatalogueShare, id=share_id, brand_id=brand_id)
        return None if share is None or share.is_over else brand_id

    def token(self, brand_id: UUID, share_id: UUID) -> str:
        """What the link ends with."""
        body = brand_id.bytes + share_id.bytes
        return base64.urlsafe_b64encode(body + self._tag(body)).decode("ascii")

    def _read(self, token: str) -> tuple[UUID, UUID] | None:
        if len(token) != _TOKEN_CHARS or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, tag = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body)):
            return None
        return UUID(bytes=body[:16]), UUID(bytes=body[16:])

    def _tag(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, digest_size=_TAG_BYTES, key=self._key).digest()


async def _count(conn: Connection, brand_id: UUID) -> int:
    return await Sql.count_shares.value(conn, brand_id=brand_id)
