"""Ids: one UUIDv7 per thing, a customer's id from its external id, a send's id from what it is about."""

import hashlib
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import numpy as np
import uuid_utils

from stentor.domain.vocabulary import ChannelKind

EXTERNAL_ID_BYTES_MAX = 255
# What external ids of bare addresses begin with, which messages were sent to; no customer's does.
ANONYMOUS_PREFIX = "addr:"
PARTS = 4096
SEND_ID_CHARS = 60

_SEND_ID_BYTES = 37  # execution 16 + customer 16 + channel 1 + tag 4: 296 bits, 60 characters of 5 bits
_TAG_BYTES = 4
_UUID_TIME_SHIFT = 80  # below the 48 bits of its milliseconds
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_BASE32_TABLE = np.frombuffer(_BASE32, dtype=np.uint8)
_BASE32_VALUE = {character: value for value, character in enumerate(_BASE32.decode())}
_BASE32_VALUES = np.zeros(256, dtype=np.uint64)
_BASE32_VALUES[_BASE32_TABLE] = np.arange(32, dtype=np.uint64)
_FILLER = "aaaa"
_GROUP_WEIGHTS = np.array([32**power for power in range(7, -1, -1)], dtype=np.uint64)
_WEIGHTS = np.array([16, 8, 4, 2, 1], dtype=np.uint8)


def new_id(at: datetime | None = None) -> UUID:
    """A UUIDv7: unique, and in the order of its making, or of that time, to the millisecond."""
    made = uuid_utils.uuid7().int
    if at is not None:
        made = int(at.timestamp() * 1000) << _UUID_TIME_SHIFT | made & ((1 << _UUID_TIME_SHIFT) - 1)
    return UUID(int=made)


def was_made_before(made: UUID, at: datetime) -> bool:
    """Whether a UUIDv7 was made before that time. Any other UUID answers something, too."""
    return made.int >> _UUID_TIME_SHIFT < at.timestamp() * 1000


def customer_id(brand_id: UUID, external_id: str) -> UUID:
    """The customer of that external id in that brand: UUIDv5 of both, so an upsert needs no look-up.

    The external id is taken exactly, after Unicode NFC. Raises ValueError when it is empty, longer than 255 bytes of
    UTF-8, begins with `addr:`, or holds a NUL, which PostgreSQL cannot store.
    """
    return uuid5(brand_id, normal_external_id(external_id))


def recipient_id(brand_id: UUID, external_id: str) -> UUID:
    """As `customer_id`, also of a bare address that messages were sent to, whose external id is Stentor's own."""
    if external_id.startswith(ANONYMOUS_PREFIX) and external_id.isascii():
        return uuid5(brand_id, external_id)
    return customer_id(brand_id, external_id)


def normal_external_id(external_id: str) -> str:
    """The external id as it is stored (NFC). Raises ValueError as `customer_id` does."""
    normal = external_id if external_id.isascii() else unicodedata.normalize("NFC", external_id)
    if not normal:
        raise ValueError("An external_id is needed: a non-empty string of at most 255 bytes.")
    try:
        size = len(normal.encode())
    except UnicodeEncodeError:
        raise ValueError("The external_id has a lone surrogate; send valid Unicode.") from None
    if size > EXTERNAL_ID_BYTES_MAX:
        raise ValueError(f"The external_id has {size} bytes of UTF-8; at most {EXTERNAL_ID_BYTES_MAX} are allowed.")
    if "\x00" in normal:
        raise ValueError("The external_id has a NUL character; remove it.")
    if normal.startswith(ANONYMOUS_PREFIX):
        raise ValueError(f"External ids that begin with {ANONYMOUS_PREFIX} are Stentor's own; choose another.")
    return normal


def part_of(customer: UUID) -> int:
    """The customer's part, 0–4095: the first 12 bits of the id, the unit of placement in every people table."""
    return customer.int >> 116


class SendIds:
    """Makes and reads the ids of sends: 60 characters of lower-case base32 that survive an e-mail's local part.

    An id is execution ‖ customer ‖ channel ‖ 4 bytes of a keyed hash, so it is the same for every attempt, says where
    the row lies, and cannot be made by a stranger.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, digest_size=32, person=b"send-id").digest()

    def encode(self, execution_id: UUID, customer: UUID, channel: ChannelKind) -> str:
        return self.encode_many(execution_id, [customer], channel)[0]

    def encode_many(self, execution_id: UUID, customers: list[UUID], channel: ChannelKind) -> list[str]:
        """The ids of one execution's sends on one channel, in the order given (0.9 µs each in waves of 500)."""
        if not customers:
            return []
        head, tail, key = execution_id.bytes, bytes([channel]), self._key
        rows = bytearray()
        for customer in customers:
            body = head + customer.bytes + tail
            rows += body
            rows += hashlib.blake2b(body, digest_size=_TAG_BYTES, key=key).digest()
        return base32_rows(bytes(rows), _SEND_ID_BYTES)

    def decode(self, send_id: str) -> tuple[UUID, UUID, ChannelKind]:
        """Execution, customer and channel of a send id. Raises ValueError for a text that is not one of ours."""
        if len(send_id) != SEND_ID_CHARS:
            raise ValueError(f"A send id has {SEND_ID_CHARS} characters.")
        number = 0
        for character in send_id.lower():
            if character not in _BASE32_VALUE:
                raise ValueError("A send id is lower-case base32.")
            number = number << 5 | _BASE32_VALUE[character]
        if number & 0b1111:
            raise ValueError("This send id was not made here.")
        raw = (number >> 4).to_bytes(_SEND_ID_BYTES, "big")
        body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if hashlib.blake2b(body, digest_size=_TAG_BYTES, key=self._key).digest() != tag:
            raise ValueError("This send id was not made here.")
        return UUID(bytes=body[:16]), UUID(bytes=body[16:32]), ChannelKind(body[32])


def send_keys(send_ids: Sequence[str]) -> list[tuple[UUID, UUID]]:
    """Execution and customer of each send id, unproven: for ids that this process has made itself (1.2 µs each)."""
    if not send_ids:
        return []
    # Eight characters are five bytes; four more characters fill the eighth group.
    text = _FILLER.join([*send_ids, ""]).encode("ascii")
    groups = _BASE32_VALUES[np.frombuffer(text, dtype=np.uint8)].reshape(-1, 8) @ _GROUP_WEIGHTS
    raw = groups.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 3:].tobytes()
    rows = [(raw[start : start + 16], raw[start + 16 : start + 32]) for start in range(0, len(raw), 8 * 5)]
    executions = {execution: UUID(bytes=execution) for execution in {execution for execution, _ in rows}}
    return [(executions[execution], UUID(bytes=customer)) for execution, customer in rows]


def base32_rows(rows: bytes, width: int) -> list[str]:
    """Each run of `width` bytes as lower-case base32 without padding: one numpy pass instead of a loop per row."""
    count = len(rows) // width
    bits = np.unpackbits(np.frombuffer(rows, dtype=np.uint8).reshape(count, width), axis=1)
    spare = -bits.shape[1] % 5
    if spare:
        bits = np.pad(bits, ((0, 0), (0, spare)))
    values = bits.reshape(count, -1, 5) @ _WEIGHTS
    characters = _BASE32_TABLE[values]
    text = characters.tobytes().decode("ascii")
    length = characters.shape[1]
    return [text[start : start + length] for start in range(0, count * length, length)]
