"""Waves in the course of their hand-over, and their messages as they are put together into requests."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from stentor.channels.contract import InDoubt, Message, NotSent, Outcome, Wave

REQUEST_BYTES_MAX = 1_000_000  # many servers take no body of more than a mebibyte unless told to
_ENTRY_BYTES = 100  # what stands around a message in an array

TOO_OLD = NotSent("the wave's guard is too old; the rest is guarded again")

# Stands until a message is settled. If a bug ever lets it stand, it errs to the safe side.
_UNSETTLED = InDoubt("nothing is known of what became of this message")


class OpenWave:
    """Gives out its messages one by one, collects one outcome for each, and is done with the last."""

    def __init__(self, wave: Wave, messages: Sequence[Message]) -> None:
        self.lane = wave.lane
        self.may_start = wave.may_start
        self.notes = wave.notes
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._messages = messages
        self._outcomes: list[Outcome] = [_UNSETTLED] * len(messages)
        self._next = 0
        self._unsettled = len(messages)

    @property
    def waiting(self) -> int:
        """How many messages have not been given out."""
        return len(self._messages) - self._next

    def take(self) -> "Letter | None":
        """The next message, or None when there is none, or when the wave may start no more of them."""
        if self._next == len(self._messages):
            return None
        if not self.may_start():
            self.settle_waiting(TOO_OLD)
            return None
        self._next += 1
        return Letter(self, self._next - 1, self._messages[self._next - 1])

    def settle(self, index: int, outcome: Outcome) -> None:
        self.notes.answer(index, outcome)
        self._outcomes[index] = outcome
        self._unsettled -= 1
        if not self._unsettled and not self.done.done():
            self.done.set_result(self._outcomes)

    def settle_waiting(self, outcome: Outcome) -> None:
        """Every message that was not given out has this outcome."""
        start, self._next = self._next, len(self._messages)
        for index in range(start, self._next):
            self.settle(index, outcome)

    def abandon(self, bug: BaseException | None = None) -> None:
        """Gives out no more; what is on the wire is finished there, and nobody waits for it. A bug goes to the caller."""
        self._next = len(self._messages)
        if bug is not None and not self.done.done():
            self.done.set_exception(bug)


class Letter:
    """One message of a wave that was given out."""

    __slots__ = ("_index", "content", "send_id", "wave")

    def __init__(self, wave: OpenWave, index: int, message: Message) -> None:
        self.wave = wave
        self.send_id = message.send_id
        self.content = message.wire()
        self._index = index

    def may_complete(self) -> bool:
        """Asked right before it is written: it may be accepted from then on. False: it must not leave."""
        return self.wave.notes.start(self._index)

    def did_not_leave(self) -> None:
        """It was certainly not written after all."""
        self.wave.notes.take_back(self._index)

    def settle(self, outcome: Outcome) -> None:
        self.wave.settle(self._index, outcome)


def may_leave(letters: Sequence[Letter]) -> bool:
    """Asked right before the first byte of their request: whether all their waves are young enough, and still this worker's.

    They may be accepted from then on, and are noted so; or none of them is.
    """
    if not all(wave.may_start() for wave in {letter.wave for letter in letters}):
        return False
    for place, letter in enumerate(letters):
        if not letter.may_complete():
            for started in letters[:place]:
                started.did_not_leave()
            return False
    return True


class WaitingLetters:
    """All that waits: letters that came back, then the waves by lane, and in the order of their arrival."""

    def __init__(self) -> None:
        self._returned: deque[Letter] = deque()
        self._waves: deque[OpenWave] = deque()

    def __len__(self) -> int:
        return len(self._returned) + sum(wave.waiting for wave in self._waves)

    def add(self, wave: OpenWave) -> None:
        self._waves.insert(sum(ahead.lane <= wave.lane for ahead in self._waves), wave)

    def give_back(self, letters: Sequence[Letter]) -> None:
        """They are the next to be taken, in their order."""
        self._returned.extendleft(reversed(letters))

    def take(self, letters_max: int) -> list[Letter]:
        """The letters of the next request, which may be of several waves; none when nothing may start."""
        taken: list[Letter] = []
        bytes_left = REQUEST_BYTES_MAX
        for letter in self._each():
            bytes_left -= len(letter.content) + _ENTRY_BYTES
            if taken and bytes_left < 0:
                self.give_back([letter])
                break
            taken.append(letter)
            if len(taken) == letters_max:
                break
        return taken

    def settle(self, outcome: Outcome) -> None:
        """All that waits has this outcome."""
        while self._returned:
            self._returned.popleft().settle(outcome)
        while self._waves:
            self._waves.popleft().settle_waiting(outcome)

    def _each(self) -> Iterator[Letter]:
        while self._returned:
            letter = self._returned.popleft()
            if letter.wave.done.done():
                continue
            if letter.wave.may_start():
                yield letter
            else:
                letter.settle(TOO_OLD)
        while self._waves:
            taken = self._waves[0].take()
            if taken:
                yield taken
            else:
                self._waves.popleft()
