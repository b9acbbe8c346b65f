"""A worker's own journal: what it knows of the messages of its open waves, noted where a SIGKILL does not take it along."""

import errno
import fcntl
import mmap
import os
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from stentor.channels.contract import UNNOTED, Accepted, Deferred, InDoubt, Message, Notes, NotSent, Outcome, Rejected
from stentor.clock import boottime_s
from stentor.db.locks import try_exclusive
from stentor.deliver.journal_file import (
    HEAD_BYTES,
    ROW_BYTES,
    SLOT_BYTES,
    WORDS_BYTES_MAX,
    At,
    AttemptKey,
    Head,
    Mark,
    address_sum,
    boot_id,
)
from stentor.deliver.model import WAVE_SENDS_MAX, Attempt, Claim, PendingSend
from stentor.failpoints import failpoint

_COUNT = struct.Struct("=I")
_GENERATION = struct.Struct("=Q")
_NO_MARKS = bytes(WAVE_SENDS_MAX)
_ACCEPTED, _STARTED, _NONE = int(Mark.ACCEPTED), int(Mark.STARTED), int(Mark.NONE)


class WaveNotes(Protocol):
    """The notes of one wave, as whoever opens it and settles it goes about with them."""

    @property
    def channel_notes(self) -> Notes:
        """What the channel is given."""

    @property
    def revoked(self) -> bool:
        """Whether another worker has taken the wave over."""

    def open(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        """Before the attempts are committed: from now on they are found, with nobody started."""

    def list(self, sends: Sequence[PendingSend], messages: Sequence[Message]) -> None:
        """Before the messages are handed over: whose they are, in their order."""

    def close(self) -> None:
        """The wave is settled, or was never committed: its notes are of no use any more."""

    def leave(self) -> None:
        """It ends here, closed or not: what was noted of an open wave stays, for whoever settles it."""


class _Nothing:
    """Of a wave that nothing is noted of."""

    channel_notes = UNNOTED
    revoked = False

    def open(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        """Keeps nothing."""

    def list(self, sends: Sequence[PendingSend], messages: Sequence[Message]) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        """Keeps nothing."""

    def leave(self) -> None:
        """Keeps nothing."""


NOTHING_NOTED: WaveNotes = _Nothing()


class _Slot:
    """One wave's notes in the file. Every note is one store into memory that the kernel holds; the mark is the last of it."""

    __slots__ = ("_journal", "_marks", "_messages", "_number", "_view", "index")

    def __init__(self, journal: "Journal", index: int) -> None:
        self._journal = journal
        self.index = index
        self._messages: Sequence[Message] = ()
        self._attach(journal.memory(index))

    def _attach(self, view: memoryview) -> None:
        self._view = view
        self._number = view[At.NUMBERS : At.ROWS].cast("d")
        self._marks = view[At.MARKS : At.WORDS]

    @property
    def channel_notes(self) -> Notes:
        return self

    @property
    def revoked(self) -> bool:
        return bool(self._view[At.REVOKED])

    def open(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        places = {(chunk.execution_id, chunk.number): place for place, chunk in enumerate(claim.chunks)}
        rows = b"".join(
            AttemptKey(one.chunk.execution_id, one.chunk.number, one.number, one.chunk.epoch).row(
                places[one.chunk.execution_id, one.chunk.number]
            )
            for one in attempts
        )
        view = self._view
        self.forget()
        view[At.ROWS : At.ROWS + len(rows)] = rows
        _COUNT.pack_into(view, At.ATTEMPTS, len(rows) // ROW_BYTES)
        failpoint("journal.opened")

    def list(self, sends: Sequence[PendingSend], messages: Sequence[Message]) -> None:
        self._messages = messages
        customers = b"".join([send.customer_id.int.to_bytes(16, "big") for send in sends])
        view = self._view
        view[At.CUSTOMERS : At.CUSTOMERS + len(customers)] = customers
        view[At.PLACES : At.PLACES + len(sends)] = bytes([send.chunk for send in sends])
        self._marks[:] = _NO_MARKS
        _COUNT.pack_into(view, At.SENDS, len(sends))
        failpoint("journal.listed")

    def start(self, index: int) -> bool:
        self._marks[index] = _STARTED
        failpoint("journal.started")
        # After the mark, never before: whoever revokes reads the marks after that, so that a message which was not marked by
        # then finds it revoked here.
        return not self._view[At.REVOKED]

    def take_back(self, index: int) -> None:
        self._marks[index] = _NONE

    def answer(self, index: int, outcome: Outcome) -> None:
        if type(outcome) is Accepted:
            self._number[index] = boottime_s()
            self._marks[index] = _ACCEPTED
        else:
            self._answer_no(index, outcome)
        failpoint("journal.answered")

    def _answer_no(self, index: int, outcome: Outcome) -> None:
        match outcome:
            case Deferred(sender_wide=False):
                self._say(index, outcome.answer)
                self._number[index] = outcome.retry_after_s or 0.0
                self._marks[index] = Mark.DEFERRED
            case Rejected():
                self._say(index, outcome.answer)
                self._number[index] = address_sum(self._messages[index].address)
                self._marks[index] = Mark.DEAD_ADDRESS if outcome.bad_address else Mark.REJECTED
            case InDoubt():
                self._say(index, outcome.answer)
                self._marks[index] = Mark.IN_DOUBT
            case Deferred() | NotSent() | Accepted():
                self._marks[index] = _NONE

    def _say(self, index: int, words: str) -> None:
        kept = words.encode(errors="replace")[:WORDS_BYTES_MAX]
        start = At.WORDS + index * WORDS_BYTES_MAX
        self._view[start : start + WORDS_BYTES_MAX] = kept.ljust(WORDS_BYTES_MAX, b"\0")

    def close(self) -> None:
        self._journal.settled(self)

    def leave(self) -> None:
        self._journal.left(self)

    def forget(self) -> None:
        """From here on nobody finds an attempt in it."""
        view = self._view
        _COUNT.pack_into(view, At.ATTEMPTS, 0)
        _COUNT.pack_into(view, At.SENDS, 0)
        view[At.REVOKED] = 0
        (generation,) = _GENERATION.unpack_from(view, At.GENERATION)
        _GENERATION.pack_into(view, At.GENERATION, generation + 1)

    def detach(self, elsewhere: memoryview) -> None:
        """Its wave may still be answered when another one is noted in its place: those answers go elsewhere."""
        self._attach(elsewhere)


class Journal:
    """The journal of the process that made it, which holds its lock for as long as it lives."""

    def __init__(self, path: Path, descriptor: int, head: Head) -> None:
        self._path = path
        self._descriptor = descriptor
        self._memory = memoryview(mmap.mmap(descriptor, head.file_bytes))
        self._free = deque(range(head.slots))
        self._used: set[_Slot] = set()
        self._left: deque[_Slot] = deque()
        self._elsewhere = memoryview(bytearray(SLOT_BYTES))
        self._elsewhere[At.REVOKED] = 1

    @classmethod
    def made(cls, path: Path, worker: str, waves: int) -> Self:
        """A new journal with room for twice as many open waves: those that an outage left open keep theirs for a while.

        Raises OSError where it cannot be: the disk is full, or not ours to write.
        """
        head = Head(worker, 2 * waves, boot_id())
        descriptor = try_exclusive(path)
        if descriptor is None:
            raise FileExistsError(errno.EEXIST, "somebody else keeps this journal", str(path))
        try:
            # All of it now: a page that the disk has no room for when it is first written to would end the process (SIGBUS).
            os.posix_fallocate(descriptor, 0, head.file_bytes)
            os.pwrite(descriptor, head.packed(), 0)
            return cls(path, descriptor, head)
        except BaseException:
            path.unlink()
            os.close(descriptor)
            raise

    def take(self) -> WaveNotes:
        """Room for one wave's notes; at worst that of the wave that was left open first."""
        if self._free:
            slot = _Slot(self, self._free.popleft())
        elif self._left:
            left = self._left.popleft()
            left.detach(self._elsewhere)
            slot = _Slot(self, left.index)
        else:
            return NOTHING_NOTED
        self._used.add(slot)
        return slot

    def memory(self, index: int) -> memoryview:
        """One slot of the file."""
        start = HEAD_BYTES + index * SLOT_BYTES
        return self._memory[start : start + SLOT_BYTES]

    def settled(self, slot: _Slot) -> None:
        """The slot is free."""
        if slot in self._used:
            self._used.remove(slot)
            slot.forget()
            slot.detach(self._elsewhere)
            self._free.append(slot.index)

    def left(self, slot: _Slot) -> None:
        """The slot is taken again when no other is free."""
        if slot in self._used:
            self._used.remove(slot)
            self._left.append(slot)

    def close(self) -> None:
        """Lets go of it; the file goes too, unless it tells of a wave that is still open."""
        if not self._used and not self._left:
            self._path.unlink(missing_ok=True)
        # The mapping has a descriptor of its own and lives on with whoever still notes something.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
