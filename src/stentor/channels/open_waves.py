"""Waves in the course of their hand-over, for channels that have many messages of many waves on the way at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from stentor.channels.contract import InDoubt, Message, NotSent, Outcome, Wave

TOO_OLD = NotSent("the wave's guard is too old; the rest is guarded again")
CLOSED = NotSent("the sender is closing")

# Stands until a message is settled. If a bug ever lets it stand, it errs to the safe side.
_UNSETTLED = InDoubt("nothing is known of what became of this message")


class GivenOut:
    """One message of a wave that is on its way."""

    __slots__ = ("index", "message", "wave")

    def __init__(self, wave: "OpenWave[GivenOut]", index: int, message: Message) -> None:
        self.wave = wave
        self.index = index
        self.message = message

    def may_complete(self) -> bool:
        """Asked right before what completes it is written: it may be accepted from then on. False: it must not leave."""
        return self.wave.notes.start(self.index)

    def did_not_leave(self) -> None:
        """What would have completed it was certainly not written."""
        self.wave.notes.take_back(self.index)

    def settle(self, outcome: Outcome) -> None:
        """That is what became of it."""
        self.wave.settle(self.index, outcome)


G = TypeVar("G", bound=GivenOut)
G_co = TypeVar("G_co", bound=GivenOut, covariant=True)


class OpenWave(Generic[G_co]):
    """Gives out its messages one by one as `kind`, collects one outcome for each, and is done with the last."""

    def __init__(self, kind: type[G_co], wave: Wave, messages: Sequence[Message]) -> None:
        self.lane = wave.lane
        self.may_start = wave.may_start
        self.notes = wave.notes
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._kind = kind
        self._messages = messages
        self._outcomes: list[Outcome] = [_UNSETTLED] * len(messages)
        self._next = 0
        self._unsettled = len(messages)

    @property
    def waiting(self) -> int:
        """How many messages have not been given out."""
        return len(self._messages) - self._next

    def take(self) -> G_co | None:
        """The next message, or None when there is none, or when the wave may start no more of them."""
        if self._next == len(self._messages):
            return None
        if not self.may_start():
            self.settle_waiting(TOO_OLD)
            return None
        self._next += 1
        return self._kind(self, self._next - 1, self._messages[self._next - 1])

    def settle(self, index: int, outcome: Outcome) -> None:
        """That is what became of the message at that place."""
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


class OpenWaves(Generic[G]):
    """All waves that a channel hands over now, each until its last message is settled or nobody waits for it any more."""

    def __init__(self, kind: type[G]) -> None:
        self._kind = kind
        self._open: set[OpenWave[G]] = set()

    async def outcomes(
        self, wave: Wave, messages: Sequence[Message], begin: Callable[[OpenWave[G]], None]
    ) -> Sequence[Outcome]:
        """One outcome for each message, in their order, after `begin` has put the wave in line.

        When cancelled, no further message starts; those on the wire are finished without anybody to tell.
        """
        if not messages:
            return []
        opened = OpenWave(self._kind, wave, messages)
        self._open.add(opened)
        begin(opened)
        try:
            return await opened.done
        finally:
            opened.abandon()
            self._open.discard(opened)

    def abandon(self, bug: BaseException) -> None:
        """Whoever waits for one of them is told of the bug."""
        for opened in self._open:
            opened.abandon(bug)

    async def until_done(self, timeout_s: float) -> None:
        """Comes back when all are done, or the time is over."""
        if self._open:
            await asyncio.wait([opened.done for opened in self._open], timeout=timeout_s)


class WavesInLine(Generic[G]):
    """Waves that have messages to give out: by lane, then in the order of their arrival."""

    def __init__(self) -> None:
        self._waves: deque[OpenWave[G]] = deque()

    @property
    def waiting(self) -> int:
        """How many messages have not been given out."""
        return sum(wave.waiting for wave in self._waves)

    def add(self, wave: OpenWave[G]) -> None:
        """It comes before all waves of later lanes."""
        self._waves.insert(sum(ahead.lane <= wave.lane for ahead in self._waves), wave)

    def take(self) -> G | None:
        """The next message of the first wave; None when there is none that may start."""
        while self._waves:
            taken = self._waves[0].take()
            if taken:
                return taken
            self._waves.popleft()
        return None

    def settle(self, outcome: Outcome) -> None:
        """Every message that was not given out has this outcome."""
        while self._waves:
            self._waves.popleft().settle_waiting(outcome)
