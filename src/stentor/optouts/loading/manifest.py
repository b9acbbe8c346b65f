"""What a load remembers in its workplace, so that whoever goes on after a crash does not begin anew.

A file is there whole, on disk, or not at all.
"""

import os
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from stentor.db.home import sync_directory
from stentor.optouts.loading.store import Target

T = TypeVar("T")

VERSION = 2


class Plan(msgspec.Struct, frozen=True):
    """What was decided at the beginning; for another version, or another size, all begins anew."""

    version: int
    received_bytes: int
    chunk_lines: int
    chunk_bytes: int
    target: Target
    run_id: UUID


class DoneChunk(msgspec.Struct, frozen=True):
    """A chunk that is read and written."""

    number: int
    first_line: int
    lines: int
    segment_id: UUID
    submitted: int
    added: int
    malformed: int
    rejects_kept: int
    segment_bytes: int


class Manifest:
    """The files in a workplace by what they are for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def plan(self) -> Plan | None:
        """The plan of whoever worked here before, or None."""
        return _read(self.directory / "plan.json", Plan)

    def begin(self, plan: Plan) -> None:
        """Notes the plan."""
        _write(self.directory / "plan.json", plan)

    def done(self) -> list[DoneChunk]:
        """The chunks that are done without a gap, from the first one on."""
        chunks: list[DoneChunk] = []
        while chunk := _read(self._done_path(len(chunks)), DoneChunk):
            chunks.append(chunk)
        return chunks

    def add(self, chunk: DoneChunk) -> None:
        """Notes that a chunk is done; its files are on disk."""
        _write(self._done_path(chunk.number), chunk)

    def segment(self, number: int) -> Path:
        return self.directory / f"{number:06}.parquet"

    def digests(self, number: int) -> Path:
        return self.directory / f"{number:06}.index"

    def merged(self, group: int) -> Path:
        """One index of a group of chunks."""
        return self.directory / f"{group:06}.merged"

    def rejects(self, number: int) -> Path:
        return self.directory / f"{number:06}.rejects"

    def _done_path(self, number: int) -> Path:
        return self.directory / f"{number:06}.json"


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(path: Path, value: msgspec.Struct) -> None:
    making = path.with_suffix(".making")
    with making.open("wb") as file:
        file.write(msgspec.json.encode(value))
        file.flush()
        os.fsync(file.fileno())
    making.rename(path)
    sync_directory(path.parent)
