"""Messages as they are put together into requests."""

from collections import deque
from collections.abc import Iterator, Sequence

from stentor.channels.contract import Message, Outcome
from stentor.channels.open_waves import TOO_OLD, GivenOut, OpenWave, WavesInLine

REQUEST_BYTES_MAX = 1_000_000  # many servers take no body of more than a mebibyte unless told to
_ENTRY_BYTES = 100  # what stands around a message in an array


class Letter(GivenOut):
    """One message, and the bytes of it."""

    __slots__ = ("content", "send_id")

    def __init__(self, wave: OpenWave[GivenOut], index: int, message: Message) -> None:
        super().__init__(wave, index, message)
        self.send_id = message.send_id
        self.content = message.wire()


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
        self._waves: WavesInLine[Letter] = WavesInLine()

    def __len__(self) -> int:
        return len(self._returned) + self._waves.waiting

    def add(self, wave: OpenWave[Letter]) -> None:
        self._waves.add(wave)

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
        self._waves.settle(outcome)

    def _each(self) -> Iterator[Letter]:
        while self._returned:
            letter = self._returned.popleft()
            if letter.wave.done.done():
                continue
            if letter.wave.may_start():
                yield letter
            else:
                letter.settle(TOO_OLD)
        while taken := self._waves.take():
            yield taken
