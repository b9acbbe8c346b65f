"""What a scrub is asked for: a file of addresses or hashes is parted into those that lists hold and those that they do not."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from stentor.errors import Invalid

SCRUB_LISTS_MAX = 100

CLEAN_FILE = "clean.csv"
REMOVED_FILE = "removed.csv"
REJECTS_FILE = "rejects.csv"


class ScrubSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Against which lists a file is held; stored with the job. Made by `checked`.

    `gzipped` compresses the files that come of it; their names then end in `.gz`.
    """

    against: tuple[UUID, ...]
    gzipped: bool = False

    def file_name(self, plain: str) -> str:
        """What one of its files is called among the results of the job."""
        return f"{plain}.gz" if self.gzipped else plain

    def as_json(self) -> dict[str, Any]:
        """As a job keeps it."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "ScrubSpec":
        """What a job kept."""
        return msgspec.convert(kept, cls)


def checked(against: Sequence[UUID], *, gzipped: bool = False) -> ScrubSpec:
    """The spec for these lists, each once. Raises Invalid for none, or for more than SCRUB_LISTS_MAX."""
    lists = tuple(dict.fromkeys(against))
    if not lists:
        raise Invalid.field("/against", "required", "Name at least one list that the file is held against.")
    if len(lists) > SCRUB_LISTS_MAX:
        raise Invalid.field(
            "/against", "too-many", f"These are {len(lists):,} lists; at most {SCRUB_LISTS_MAX} are allowed."
        )
    return ScrubSpec(against=lists, gzipped=gzipped)
