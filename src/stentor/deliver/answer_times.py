"""When each message of a wave was answered: what frequency caps count it from, however long the wave's last answer takes."""

from collections.abc import Sequence

from stentor.channels.contract import Notes, Outcome
from stentor.clock import boottime_s


class AnswerTimes:
    """The notes of a wave, which keep besides when its messages were answered."""

    def __init__(self, notes: Notes) -> None:
        self.start = notes.start
        self.take_back = notes.take_back
        self._note = notes.answer
        self._at_s: dict[int, float] = {}
        self._all_by_s = 0.0

    def answer(self, index: int, outcome: Outcome) -> None:
        self._note(index, outcome)
        # After the answer, never before: a stamp that is too early would let one message too many into a window.
        self._at_s[index] = boottime_s()

    def end(self) -> None:
        """All are answered by now, also those of a channel that notes nothing."""
        self._all_by_s = boottime_s()

    def ages_s(self, messages: int) -> Sequence[float]:
        """How many seconds ago each of so many messages was answered."""
        now_s = boottime_s()
        return [now_s - self._at_s.get(index, self._all_by_s) for index in range(messages)]
