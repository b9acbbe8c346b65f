"""The log of erasures, outside of every database: a backup brings back who was erased after it, and this says who that was.

It has an entry for each transaction that erased. Nothing in it names anybody: people are keyed hashes.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from stentor.domain.ids import new_id
from stentor.optouts.outside_log import FORMAT, OutsideLog
from stentor.optouts.storage import Storage

_AREA = "erasures"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who was erased in one transaction, by keyed hashes, and when: who was made anew later is somebody else."""

    format: int = FORMAT
    id: UUID
    brand_id: UUID
    erased_at: datetime
    asked_by: str
    people: list[bytes]


class ErasureLog(OutsideLog[LogEntry]):
    """The log in that storage, of the installation with that fingerprint."""

    def __init__(self, storage: Storage, fingerprint: bytes) -> None:
        super().__init__(storage, fingerprint, area=_AREA, kind=LogEntry)

    async def note(self, brand_id: UUID, erased_at: datetime, asked_by: str, people: Sequence[bytes]) -> None:
        """Adds an entry; it is on disk when this returns."""
        await self.keep(
            LogEntry(id=new_id(), brand_id=brand_id, erased_at=erased_at, asked_by=asked_by, people=list(people))
        )
