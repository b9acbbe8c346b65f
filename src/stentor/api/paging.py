"""Lists, page by page: a cursor that says where the next one begins, or page numbers for the clients that count."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stentor.errors import Invalid

T = TypeVar("T")

LIMIT_DEFAULT = 50
LIMIT_MAX = 100

_TAG_BYTES = 12


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What every list takes."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many at most; a page may be shorter.")] = (
        LIMIT_DEFAULT
    )
    cursor: Annotated[
        str | None, Meta(description="`next_cursor` of the page before; leave it out for the first page.")
    ] = None


class Links(msgspec.Struct, frozen=True):
    """Where other pages are."""

    first: str
    last: str
    prev: str | None
    next: str | None


class PageMeta(msgspec.Struct, frozen=True):
    """Which page this is."""

    current_page: int
    from_: Annotated[int | None, Meta(description="Number of the first item on the page.")] = msgspec.field(name="from")
    last_page: int = 1
    path: str = ""
    per_page: int = LIMIT_DEFAULT
    to: int | None = None
    total: int = 0


class Listing(msgspec.Struct, Generic[T], frozen=True):
    """One page. `next_cursor` is null on the last one."""

    data: Sequence[T]
    next_cursor: str | None = None
    links: Links | UnsetType = UNSET
    meta: PageMeta | UnsetType = UNSET


class Cursors:
    """Makes and reads cursors: a position in one list, signed, so that only what we gave out comes back."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"cursor", "sha256")

    def sealed(self, of: str, position: Any) -> str:
        """The cursor behind `position` in the list named `of`."""
        body = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._tag(of, body) + body).rstrip(b"=").decode("ascii")

    def opened(self, of: str, cursor: str, kind: type[T]) -> T:
        """The position. Raises Invalid for a text that is no cursor of this list."""
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
            if hmac.compare_digest(tag, self._tag(of, body)):
                return msgspec.json.decode(body, type=kind)
        except (binascii.Error, UnicodeEncodeError, msgspec.DecodeError):
            pass
        raise Invalid.field(
            "/cursor", "unknown-cursor", "This cursor was not given out for this list. Leave it out to start again."
        )

    def _tag(self, of: str, body: bytes) -> bytes:
        return hmac.digest(self._key, of.encode() + b"\0" + body, "sha256")[:_TAG_BYTES]
