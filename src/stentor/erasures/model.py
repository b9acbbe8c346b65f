"""What an erasure is, and what is left of it."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

PEOPLE_MAX = 100
"""People of one call, and of one transaction: their rows are locked for well under a second."""

LISTS_WITHIN = timedelta(days=30)
"""When, at the latest, no file of an opt-out list has the address any more."""

_DIGEST_BYTES = 16


class Digests:
    """Names people by a keyed hash of their id, which is made of the brand and the external id."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes that are the installation's own."""
        self._key = key

    def of(self, customer_id: UUID) -> bytes:
        """16 bytes, the same for ever; without the key nobody can try external ids against them."""
        return hashlib.blake2b(customer_id.bytes, digest_size=_DIGEST_BYTES, key=self._key).digest()


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one person's erasure.

    `erased_at`: since then the person is gone. `completed_at`: since then so is what had been sent to them, and None while
    that is still being emptied. `counts`: how many rows there were of what. `digest` names the person, by a keyed hash.
    """

    id: UUID
    brand_id: UUID
    digest: bytes
    asked_by: str
    erased_at: datetime
    completed_at: datetime | None
    counts: dict[str, int]

    @property
    def lists_by(self) -> datetime:
        """By when no file of an opt-out list has the address any more."""
        return self.erased_at + LISTS_WITHIN


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one person who was named: their erasure, and whether it was made by this call."""

    external_id: str
    erasure: Erasure
    is_new: bool
