"""The form of a worker's journal: a file of fixed size, mapped into memory, with a slot for each wave that may be open.

A page of the file is the kernel's as soon as it is written to, so what was noted survives the process, however it ends,
and not the machine. Numbers are the machine's own: nobody reads the file elsewhere, or after it has booted again.
"""

import struct
import zlib
from enum import IntEnum, unique
from functools import cache
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from stentor.deliver.model import CHUNKS_LOOK_AHEAD, WAVE_SENDS_MAX

HEAD_BYTES = 4_096
WORDS_BYTES_MAX = 160
"""How much of a provider's answer is kept for whoever settles the wave instead."""

WORKER_BYTES_MAX = 200
ROW_BYTES = 32
_KEY = struct.Struct("=16siii")
_ROW = struct.Struct("=16siiii")
_HEAD = struct.Struct(f"=8sII16s{WORKER_BYTES_MAX}s")
_CHECKSUM = struct.Struct("=I")
_MAGIC = b"stentorj"
_VERSION = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@unique
class Mark(IntEnum):
    """What is known of a message. NONE: nothing of it can have been accepted. STARTED: it may have been."""

    NONE = 0
    STARTED = 1
    ACCEPTED = 2
    DEFERRED = 3
    REJECTED = 4
    DEAD_ADDRESS = 5
    IN_DOUBT = 6


class At:
    """Where the fields of a slot begin. What a killed writer had written last makes the rest valid, or leaves it unread."""

    GENERATION = 0
    ATTEMPTS = 8
    SENDS = 12
    REVOKED = 16
    NUMBERS = 64
    """One for each message: when it was accepted (CLOCK_BOOTTIME), its Retry-After, or the sum of its refused address."""
    ROWS = NUMBERS + 8 * WAVE_SENDS_MAX
    CUSTOMERS = ROWS + ROW_BYTES * CHUNKS_LOOK_AHEAD
    PLACES = CUSTOMERS + 16 * WAVE_SENDS_MAX
    MARKS = PLACES + WAVE_SENDS_MAX
    WORDS = MARKS + WAVE_SENDS_MAX
    END = WORDS + WORDS_BYTES_MAX * WAVE_SENDS_MAX


SLOT_BYTES = -(-At.END // 4_096) * 4_096


class AttemptKey(msgspec.Struct, frozen=True):
    """What tells an attempt from all others of an installation."""

    execution_id: UUID
    chunk: int
    number: int
    epoch: int

    def packed(self) -> bytes:
        """As rows begin."""
        return _KEY.pack(self.execution_id.bytes, self.chunk, self.number, self.epoch)

    def row(self, place: int) -> bytes:
        """With its chunk's place among those of the wave, by which each send says where it belongs."""
        return _ROW.pack(self.execution_id.bytes, self.chunk, self.number, self.epoch, place)


def place_in_row(row: bytes) -> int:
    """The place that a row ends in."""
    return _ROW.unpack(row)[4]


class Head(msgspec.Struct, frozen=True):
    """Whose journal it is, for how many open waves, and since which boot of which machine."""

    worker: str
    slots: int
    boot: bytes

    def packed(self) -> bytes:
        """With a checksum at its end."""
        packed = _HEAD.pack(_MAGIC, _VERSION, self.slots, self.boot, self.worker.encode())
        return packed + _CHECKSUM.pack(zlib.crc32(packed))

    @property
    def file_bytes(self) -> int:
        """The size of the whole file."""
        return HEAD_BYTES + self.slots * SLOT_BYTES

    @classmethod
    def unpacked(cls, raw: bytes) -> Self | None:
        """None for what no version of ours wrote so, or what was damaged since."""
        if len(raw) < HEAD_BYTES:
            return None
        packed, (checksum,) = raw[: _HEAD.size], _CHECKSUM.unpack_from(raw, _HEAD.size)
        magic, version, slots, boot, worker = _HEAD.unpack(packed)
        if magic != _MAGIC or version != _VERSION or checksum != zlib.crc32(packed):
            return None
        return cls(worker.rstrip(b"\0").decode(), slots, boot)


@cache
def boot_id() -> bytes:
    """16 bytes that are another machine's, or this one's after another start."""
    return UUID(_BOOT_ID.read_text(encoding="ascii").strip()).bytes


def address_sum(address: str) -> int:
    """What tells an address that was refused from one that its owner has meanwhile."""
    return zlib.crc32(address.encode())
