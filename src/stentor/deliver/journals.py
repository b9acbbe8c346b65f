"""The journals in a data directory: this process's own, those of others whose waves are taken over, those nobody needs."""

import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec
import structlog

from stentor.channels.contract import Accepted, Deferred, InDoubt, NotSent, Outcome, Rejected
from stentor.clock import Clock, boottime_s
from stentor.db.locks import try_exclusive, wait_exclusive
from stentor.db.pool import Database
from stentor.deliver import store
from stentor.deliver.journal import Journal
from stentor.deliver.journal_file import (
    HEAD_BYTES,
    ROW_BYTES,
    SLOT_BYTES,
    WORDS_BYTES_MAX,
    At,
    AttemptKey,
    Head,
    Mark,
    boot_id,
    place_in_row,
)
from stentor.deliver.model import CHUNKS_LOOK_AHEAD, WAVE_SENDS_MAX, LostWave

log = structlog.get_logger(__name__)

DIRECTORY = "journals"
LEFT_MAX = 64
"""Journals of dead workers that are kept for waves that nobody has taken over yet."""

COMMITTED_WITHIN_S = 60.0
"""How long a dead worker's journal is left alone: it is removed by the first worker that starts later."""

_LOCK = ".lock"
_NAME = re.compile(r"\w[\w.:-]{0,199}", re.ASCII)
_WORKER_LOST = InDoubt("The worker that sent it was lost before the reply came.")
_NOT_STARTED = NotSent("the worker was lost before it began")
_GENERATION = struct.Struct("=Q")
_COUNT = struct.Struct("=I")


class Noted(msgspec.Struct, frozen=True):
    """What a journal says of one message: what was answered, and of an acceptance how many seconds ago that was.

    `address_sum`: of the address that was refused.
    """

    outcome: Outcome
    age_s: float = 0.0
    address_sum: int = 0


class Journals:
    """The journals of one machine's workers, in the directory that they share."""

    def __init__(self, data: Path) -> None:
        self._directory = data / DIRECTORY

    def open(self, worker: str, *, waves: int) -> Journal:
        """This process's own, for so many waves open at once. Raises OSError with the reason where there can be none."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            return Journal.made(self._path(worker), worker, waves)

    def take_over(self, lost: Sequence[LostWave]) -> "list[TakenOver | None]":
        """Revokes these waves wherever their workers' journals are found here; None for each that is not.

        From then on a worker that has only been frozen starts nothing more of them. What is to be read is read after a
        round trip to the database, so that it is what the worker wrote before it could see that.
        """
        mapped: dict[str, memoryview | None] = {}
        taken: list[TakenOver | None] = []
        for wave in lost:
            if wave.worker not in mapped:
                mapped[wave.worker] = self._mapped(wave.worker)
            memory = mapped[wave.worker]
            taken.append(None if memory is None else TakenOver.found(memory, _key(wave)))
        return taken

    async def tidy(self, db: Database) -> int:
        """Removes the journals of dead workers that no open wave needs, and the oldest of too many; returns how many."""
        if not self._directory.is_dir():
            return 0
        with self._locked():
            dead = sorted((path for path in self._files() if _is_long_dead(path)), key=_modified_at)
        async with db.read() as conn:
            needed = await store.workers_with_open_waves(conn, [path.name for path in dead])
        kept = [path for path in dead if path.name in needed]
        too_many = kept[: max(0, len(kept) - LEFT_MAX)]
        for path in too_many:
            log.warning("journal.dropped", worker=path.name, why=f"more than {LEFT_MAX} are kept for open waves")
        gone = [*(path for path in dead if path.name not in needed), *too_many]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Between a file's making and its lock it looks like a dead worker's.
        descriptor = wait_exclusive(self._directory / _LOCK)
        try:
            yield
        finally:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return [path for path in self._directory.iterdir() if _NAME.fullmatch(path.name)]

    def _path(self, worker: str) -> Path:
        if not _NAME.fullmatch(worker):
            raise ValueError(f"{worker!r} is no name of a worker's.")
        return self._directory / worker

    def _mapped(self, worker: str) -> memoryview | None:
        """The whole file of a worker of this boot of this machine; None where there is none that can be relied on."""
        if not _NAME.fullmatch(worker):
            return None
        try:
            with self._path(worker).open("r+b") as file:
                memory = memoryview(mmap.mmap(file.fileno(), 0))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("journal.unreadable", worker=worker, why=str(error))
            return None
        head = Head.unpacked(bytes(memory[:HEAD_BYTES]))
        if head is None or len(memory) != head.file_bytes or (head.worker, head.boot) != (worker, boot_id()):
            log.warning("journal.lost", worker=worker, why="it is damaged, or of another machine or boot")
            return None
        return memory


class TakenOver:
    """A wave's notes in another worker's journal, which starts nothing more of it."""

    def __init__(self, slot: memoryview, generation: int, place: int) -> None:
        """`generation`: the slot's before it was looked through; in another one it tells of another wave."""
        self._slot = slot
        self._place = place
        self._generation = generation
        slot[At.REVOKED] = 1

    @classmethod
    def found(cls, memory: memoryview, key: AttemptKey) -> Self | None:
        """The slot that tells of this attempt, revoked; None when none does any more."""
        packed = key.packed()
        for start in range(HEAD_BYTES, len(memory), SLOT_BYTES):
            slot = memory[start : start + SLOT_BYTES]
            generation = _generation(slot)
            for row in _rows(slot):
                if row.startswith(packed):
                    return cls(slot, generation, place_in_row(row))
        return None

    def read(self) -> Mapping[UUID, Noted] | None:
        """What is noted of each person in the attempt, nobody being started who is not in it; None when it was damaged."""
        slot = bytes(self._slot)
        (sends,) = _COUNT.unpack_from(slot, At.SENDS)
        marks = slot[At.MARKS : At.MARKS + sends]
        # Another generation: its worker was out of room and took it for another wave while it was read.
        if (
            sends > WAVE_SENDS_MAX
            or self._generation != _generation(self._slot)
            or any(mark not in _MARKS for mark in marks)
        ):
            return None
        places = slot[At.PLACES : At.PLACES + sends]
        now_s = boottime_s()
        return {
            UUID(bytes=slot[At.CUSTOMERS + 16 * index : At.CUSTOMERS + 16 * index + 16]): _noted(
                slot, index, mark, now_s
            )
            for index, (place, mark) in enumerate(zip(places, marks, strict=True))
            if place == self._place
        }


def _key(wave: LostWave) -> AttemptKey:
    return AttemptKey(wave.execution_id, wave.chunk, wave.number, wave.epoch)


_MARKS = frozenset(int(mark) for mark in Mark)


def _noted(slot: bytes, index: int, mark: int, now_s: float) -> Noted:
    (number,) = struct.unpack_from("=d", slot, At.NUMBERS + 8 * index)
    start = At.WORDS + WORDS_BYTES_MAX * index
    words = slot[start : start + WORDS_BYTES_MAX].rstrip(b"\0").decode(errors="ignore")
    match Mark(mark):
        case Mark.NONE:
            return Noted(_NOT_STARTED)
        case Mark.STARTED:
            return Noted(_WORKER_LOST)
        case Mark.ACCEPTED:
            return Noted(Accepted(), max(0.0, now_s - number))
        case Mark.DEFERRED:
            return Noted(Deferred(words, number or None))
        case Mark.REJECTED | Mark.DEAD_ADDRESS:
            return Noted(Rejected(words, bad_address=mark == Mark.DEAD_ADDRESS), address_sum=int(number))
        case Mark.IN_DOUBT:
            return Noted(InDoubt(words))


def _rows(slot: memoryview) -> Iterator[bytes]:
    (attempts,) = _COUNT.unpack_from(slot, At.ATTEMPTS)
    for number in range(min(attempts, CHUNKS_LOOK_AHEAD)):
        start = At.ROWS + ROW_BYTES * number
        yield bytes(slot[start : start + ROW_BYTES])


def _generation(slot: memoryview) -> int:
    return _GENERATION.unpack_from(slot, At.GENERATION)[0]


def _is_long_dead(path: Path) -> bool:
    # A killed worker's last commit may reach the database after it.
    if Clock().now().timestamp() - _modified_at(path) < COMMITTED_WITHIN_S:
        return False
    descriptor = try_exclusive(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _modified_at(path: Path) -> float:
    return path.stat().st_mtime
