"""The channel contract: what a sender is given, and what it answers for each message.

A channel's `hand_over` gets one wave's messages and answers one `Outcome` for each, in the same order. It never raises
for something that a provider, a network or a recipient did; an exception is a bug, and its whole wave becomes in doubt.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

import msgspec

from stentor.db.connection import Connection
from stentor.domain.vocabulary import ChannelKind, Lane


class Accepted(msgspec.Struct, frozen=True):
    """The provider took it. `provider_id` is its name for the message, where it gave one."""

    provider_id: str = ""


class Deferred(msgspec.Struct, frozen=True):
    """A definite "not now" (SMTP 4xx, HTTP 429, connection refused): nothing was accepted, so it is tried again later.

    `sender_wide` says that the answer was about the sender (refused connection, bad login), not about this message.
    """

    answer: str
    retry_after_s: float | None = None
    sender_wide: bool = False


class Rejected(msgspec.Struct, frozen=True):
    """A definite and final "no" in the provider's own words. `bad_address`: the recipient's address is dead (hard bounce)."""

    answer: str
    bad_address: bool = False


class InDoubt(msgspec.Struct, frozen=True):
    """It was on the wire when the reply was lost: perhaps accepted, perhaps not. The sender's policy decides what next."""

    answer: str


class NotSent(msgspec.Struct, frozen=True):
    """Nothing of it left this process (the wave grew too old, or the worker is stopping): it goes back to pending."""

    why: str


Outcome: TypeAlias = Accepted | Deferred | Rejected | InDoubt | NotSent


class Message(Protocol):
    """One rendered message, on its way to one address."""

    @property
    def send_id(self) -> str:
        """The send's id: Message-ID, idempotency key, callback metadata; the same on every attempt."""

    @property
    def address(self) -> str:
        """Where it goes: an e-mail address in normal form, an E.164 number, a push token."""

    def wire(self) -> bytes:
        """The whole message as the channel puts it on the wire: RFC 5322 with CRLF line ends for email, text or JSON else."""


class Notes(Protocol):
    """What became of each message of a wave, noted as it happens where a process that is killed does not take it along.

    `index` is the message's place in what `hand_over` was given. A call costs well under a microsecond and never waits.
    """

    def start(self, index: int) -> bool:
        """Notes that the message may be accepted from now on; called right before what completes it is written.

        False: another worker has taken the wave over, and no byte of the message may leave any more.
        """
        ...

    def take_back(self, index: int) -> None:
        """Nothing of the message left after all: it was certainly not accepted."""
        ...

    def answer(self, index: int, outcome: Outcome) -> None:
        """Notes what is known of the message now."""
        ...


class _Unnoted:
    def start(self, index: int) -> bool:  # noqa: ARG002 - the protocol's
        return True

    def take_back(self, index: int) -> None:
        """Keeps nothing."""

    def answer(self, index: int, outcome: Outcome) -> None:
        """Keeps nothing."""


UNNOTED: Notes = _Unnoted()
"""Where there is no journal."""


class Wave(msgspec.Struct, frozen=True):
    """What a channel needs to know of the messages that it is handed together: at most 500 of one sender."""

    brand_id: UUID
    sender_id: UUID
    kind: ChannelKind
    lane: Lane
    """Whose messages go first where several waves wait: those of the smaller number."""
    may_start: Callable[[], bool]
    """Asked before each message's first byte: False once the wave's guard is too old, and the rest is `NotSent`."""
    notes: Notes = UNNOTED
    """Kept by a channel that is `Noting`."""


class Channel(Protocol):
    """A way to hand messages over. Implementations are checked by the suite in `stentor.testing.channels`."""

    async def hand_over(self, wave: Wave, messages: Sequence[Message]) -> Sequence[Outcome]:
        """Hands the messages over and answers for each, in their order."""

    async def aclose(self) -> None:
        """Closes kept connections; messages on the wire are finished first, within 30 seconds."""


@runtime_checkable
class Noting(Protocol):
    """A channel that keeps its waves' notes: a killed process leaves in doubt what it had started and not seen answered.

    Of any other channel that accepts messages elsewhere, it leaves the whole wave in doubt.
    """

    @property
    def keeps_notes(self) -> Literal[True]:
        """That it notes every start before the far side can accept the message, and every answer when it comes."""


@runtime_checkable
class Recorder(Protocol):
    """A channel that accepts messages by storing them in our own database: the sandbox.

    Its `hand_over` only decides; `record` stores what was accepted in the transaction that settles the wave, so that a
    message is in the inbox exactly when its send is handed over, and a lost wave was certainly not accepted. There is
    nothing to note.
    """

    async def record(self, conn: Connection, wave: Wave, accepted: Sequence[Message]) -> None:
        """Stores the accepted messages; a send that is stored already (same send id) is left as it is."""
