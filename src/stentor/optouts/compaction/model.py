"""What compaction works on: a list's files as the catalogue has them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from stentor.optouts.hashing import HashName

FileKind = Literal["run", "segment"]


class CompactedList(msgspec.Struct, frozen=True):
    """A list whose files lie in the storage."""

    list_id: UUID
    brand_id: UUID
    hash: HashName
    expiry_days: int | None
    is_deleted: bool


class CatalogueFile(msgspec.Struct, frozen=True):
    """A live run or segment. `generation` is the highest in it; removals up to `cleared` were taken out of it."""

    id: UUID
    generation: int
    entries: int
    bytes: int
    cleared: int
    learned_at: datetime


class LiveFiles(msgspec.Struct, frozen=True):
    """How many files of a list look-ups and exports read, how large they are, and how many entries came in them."""

    runs: int
    segments: int
    bytes: int
    entries: int


class NewFile(msgspec.Struct, frozen=True):
    """What replaces such files, in the storage already."""

    id: UUID
    generation: int
    entries: int
    bytes: int
    cleared: int
    learned_at: datetime


class Removed(msgspec.Struct, frozen=True):
    """An entry that holds no more in files of generations up to this."""

    digest: bytes
    generation: int


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction did: how many files it read, and how many it made of them."""

    runs_read: int = 0
    runs_made: int = 0
    segments_read: int = 0
    segments_made: int = 0
    expired: int = 0
    """Files whose entries had all lapsed."""

    @property
    def files(self) -> int:
        """How many files it put an end to."""
        return self.runs_read + self.segments_read + self.expired

    def plus(self, other: "Compacted") -> "Compacted":
        """Both together."""
        return Compacted(
            self.runs_read + other.runs_read,
            self.runs_made + other.runs_made,
            self.segments_read + other.segments_read,
            self.segments_made + other.segments_made,
            self.expired + other.expired,
        )
