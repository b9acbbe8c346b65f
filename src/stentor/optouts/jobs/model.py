"""Files on their way into a list, out of it, or past it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

import msgspec

JobKind: TypeAlias = Literal["import", "export", "scrub"]
JobState: TypeAlias = Literal["uploading", "queued", "running", "success", "failed", "removed"]
Encoding: TypeAlias = Literal["", "gzip", "zstd"]

OVER: tuple[JobState, ...] = ("success", "failed", "removed")
"""States that a job leaves no more, but for `removed` once its files are gone."""


class ResultFile(msgspec.Struct, frozen=True):
    """A file that a job made: its name in the storage, its size, and the tag that it is served with, without quotes."""

    name: str
    bytes: int
    etag: str


class Part(msgspec.Struct, frozen=True):
    """A piece of an uploaded file: where in the file it begins, and its name in the storage."""

    start_byte: int
    name: str
    bytes: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An import, an export or a scrub, and where it stands.

    `uploading` awaits its file, which may be begun until `upload_until`; `queued` has all it needs since `ready_at`. `spec` is
    what was asked for, in the words of who works on it, `progress` how far that is. `declared_bytes` is how long the file was
    said to be; `received_bytes` counts as sent. `results` are its files by the names that people know them by. `now` is when
    this was read, by the database's clock.
    """

    id: UUID
    brand_id: UUID
    list_id: UUID | None
    kind: JobKind
    state: JobState
    spec: dict[str, Any]
    asked_by: str
    declared_bytes: int | None
    received_bytes: int
    encoding: Encoding
    created_at: datetime
    upload_until: datetime | None
    upload_epoch: int
    ready_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    kept_until: datetime | None
    progress: dict[str, Any]
    submitted: int
    added: int
    duplicate: int
    malformed: int
    message: str
    results: Mapping[str, ResultFile]
    now: datetime

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    @property
    def is_begun(self) -> bool:
        """Whether somebody has begun to send its file."""
        return self.upload_epoch > 0

    @property
    def is_too_late(self) -> bool:
        """Whether the time is over in which its file may be begun."""
        return self.upload_until is not None and self.upload_until <= self.now

    @property
    def elapsed_s(self) -> int | None:
        """Whole seconds since its file was there, until its end or until now; None before that."""
        if self.ready_at is None:
            return None
        return max(0, int(((self.ended_at or self.now) - self.ready_at).total_seconds()))
