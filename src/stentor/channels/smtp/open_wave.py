"""A wave in the course of its hand-over, and each of its messages as one SMTP transaction."""

import asyncio
from collections.abc import Sequence

from stentor.channels.contract import InDoubt, Message, NotSent, Outcome, Wave
from stentor.channels.smtp.envelope import Letter
from stentor.channels.smtp.replies import Reply
from stentor.channels.smtp.verdicts import Said

TOO_OLD = NotSent("the wave's guard is too old; the rest is guarded again")

# Stands until a message is settled. If a bug ever lets it stand, it errs to the safe side.
_UNSETTLED = InDoubt("nothing is known of what became of this message")


class Transaction:
    """One message on one connection: what was refused of it so far, and how much of it has left this process."""

    __slots__ = ("ahead", "body_segment", "index", "letter", "message", "rcpt_refused", "refusal", "tries", "wave")

    letter: Letter

    def __init__(self, wave: "OpenWave", index: int, message: Message) -> None:
        self.wave = wave
        self.index = index
        self.message = message
        self.tries = 0
        self.begin()

    def begin(self) -> None:
        """Nothing of it is on the connection that takes it now."""
        self.tries += 1
        self.refusal: tuple[Said, Reply] | None = None
        self.rcpt_refused = False
        self.ahead = False
        self.body_segment = 0

    def refuse(self, said: Said, reply: Reply) -> None:
        """Keeps the first refusal: the later ones only follow from it (503, "need RCPT first")."""
        self.rcpt_refused = self.rcpt_refused or said is Said.TO_RCPT
        if self.refusal is None:
            self.refusal = said, reply

    def may_complete(self) -> bool:
        """Asked right before what completes it is written: it may be accepted from then on. False: it must not leave."""
        return self.wave.notes.start(self.index)

    def did_not_leave(self) -> None:
        """What would have completed it was certainly not written."""
        self.wave.notes.take_back(self.index)

    def settle(self, outcome: Outcome) -> None:
        self.wave.settle(self.index, outcome)


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

    def take(self) -> Transaction | None:
        """The next message, or None when there is none, or when the wave may start no more of them."""
        if self._next == len(self._messages):
            return None
        if not self.may_start():
            self.settle_waiting(TOO_OLD)
            return None
        self._next += 1
        return Transaction(self, self._next - 1, self._messages[self._next - 1])

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
