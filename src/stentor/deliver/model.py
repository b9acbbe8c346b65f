"""Chunks as a worker holds them, and the waves that it cuts from them."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from stentor.domain.ids import part_of
from stentor.domain.objections import Hold, Objection
from stentor.domain.vocabulary import ChannelKind, Lane, Reason, SendState

LEASE = timedelta(seconds=20)
"""How long a chunk belongs to a worker that is not heard of; extended every 5 s."""

WAVE_SENDS_MAX = 500
CLAIM_SENDS_MAX = 2_000
CHUNKS_LOOK_AHEAD = 128
LOOKS_MAX = 16
"""How often one claim looks ahead while all that it meets is parked."""

UNPARKED_MAX = 20_000
"""Chunks, 14 million people, whose pause one look finds to be over."""

PLACE_BITS = 20
SLOTS = 127
RETRY_BITS = 27
"""A chunk's number is its place among the execution's chunks in the low 20 bits, above them, in 7, the slot of the time that
its sends were held until (0: they were not), and above these the try."""

PLACE_MASK = (1 << PLACE_BITS) - 1
KEPT_BITS_MASK = (1 << RETRY_BITS) - 1
"""Place and slot: what stays when a send is tried again."""

_SLOT_S = 900
_ROUNDS = 8
_KEYS = 1 << 128

RELEASE_SPREAD = timedelta(minutes=10)
"""Over how long what was held is released from when it may go, in the order of customer ids."""


def slot_of(until: datetime) -> int:
    """The slot of a due time: its quarter of an hour. It comes round after 31 hours, and what meets there waits for the later."""
    return 1 + int(until.timestamp()) // _SLOT_S % SLOTS


def place_in(number: int) -> int:
    """The place of the chunk of that number among its execution's chunks, counting neither slot nor try."""
    return number & PLACE_MASK


def slot_in(number: int) -> int:
    """The slot in a chunk's number; 0 where its sends were never held."""
    return number >> PLACE_BITS & SLOTS


def resend_round(remedy: int) -> int:
    """What to add to place and slot for the chunk of sends that the remedy of that number makes pending.

    A chunk of theirs alone: where others of the same keys are on the wire, a whole range is settled at once. Counted
    from 8 to 15, in which a ninth remedy meets the first one's.
    """
    return (_ROUNDS + remedy % _ROUNDS) << RETRY_BITS


def released_at(until: datetime, key_from: UUID) -> datetime:
    """When a chunk falls due whose sends are held until then.

    Ids are evenly distributed, so the place of its first key among all ids is its share of the ten minutes; a chunk that
    is alone is released at once.
    """
    return until + RELEASE_SPREAD * (key_from.int / _KEYS)


class Chunk(msgspec.Struct):
    """A claimed chunk. `cursor` is the first key that this pass over it has not looked at."""

    execution_id: UUID
    number: int
    brand_id: UUID
    sender_id: UUID
    channel: int
    lane: int
    key_from: UUID
    key_to: UUID
    epoch: int
    next_wave: int
    has_open_waves: bool
    """Whether an earlier owner left attempts that nobody settled."""
    cursor: UUID
    suspects: int = 0
    """How many sends its last owner was lost with, unanswered and pending still: perhaps one of them is what it died of."""
    suspect_to: UUID | None = None
    """The last key of the wave that they were in."""
    times_lost: int = 0
    """How many owners in a row were lost before anything of what they had open was answered."""
    sends: int = 0
    """How many sends were put into it, whatever has become of them."""

    @property
    def wave_max(self) -> int:
        """The most sends for its next wave: half of those that its last owner was lost with, until these are answered."""
        return max(1, self.suspects // 2) if self.suspects else WAVE_SENDS_MAX

    def trust(self) -> None:
        """Nothing in it is suspected of what its owners died of."""
        self.suspects, self.suspect_to, self.times_lost = 0, None, 0

    @property
    def whole(self) -> "KeyRange":
        """All its keys."""
        return KeyRange(self.execution_id, self.number, self.key_from, self.key_to)

    @property
    def rest(self) -> "KeyRange":
        """The keys that this pass has yet to look at."""
        return KeyRange(self.execution_id, self.number, self.cursor, self.key_to)

    @property
    def is_retry(self) -> bool:
        """Whether it holds sends that were refused for now, moved here from a chunk of the same range."""
        return self.number >> RETRY_BITS > 0

    @property
    def was_held(self) -> bool:
        """Whether it holds sends that were held until it fell due."""
        return slot_in(self.number) > 0

    def retry_number(self, tries: int) -> int:
        """The number of the chunk in which this one's sends are tried for the (tries + 1)-th time.

        Eight tries later somebody has ordered eight more, and they are counted from the first again.
        """
        return (tries % _ROUNDS << RETRY_BITS) | (self.number & KEPT_BITS_MASK)

    def held_number(self, until: datetime) -> int:
        """The number of the chunk in which this one's sends are held until then."""
        return self.number & ~(SLOTS << PLACE_BITS) | slot_of(until) << PLACE_BITS


class Claim(msgspec.Struct, frozen=True):
    """Chunks of one sender and lane, claimed together: one large one, or those of dozens of small executions."""

    brand_id: UUID
    sender_id: UUID
    channel: ChannelKind
    lane: Lane
    chunks: list[Chunk]
    """What is still to do; chunks leave it when they are finished, released or lost to another worker."""
    finished: list[UUID] = msgspec.field(default_factory=list)
    """Executions of chunks that are done, which may have ended."""

    @property
    def execution_ids(self) -> list[UUID]:
        """The executions in the claim, each once."""
        return list(dict.fromkeys(chunk.execution_id for chunk in self.chunks))

    @property
    def has_suspects(self) -> bool:
        """Whether a worker was lost with sends of it."""
        return any(chunk.suspects for chunk in self.chunks)


class Busy(msgspec.Struct, frozen=True):
    """Senders that are not claimed for now, in any lane or in bulk: so many claims are at hand for them."""

    everywhere: Collection[UUID] = ()
    in_bulk: Collection[UUID] = ()

    def as_arrays(self) -> dict[str, list[UUID]]:
        """As statements take them."""
        return {"busy": list(self.everywhere), "busy_in_bulk": [*self.everywhere, *self.in_bulk]}


NOBODY_BUSY = Busy()


class PendingSend(msgspec.Struct, frozen=True):
    """A send about to be guarded; `chunk` is its place in the claim. `execution_id` is its chunk's, the same object."""

    chunk: int
    execution_id: UUID
    number: int
    customer_id: UUID
    variant: int
    tries: int
    doubts: int = 0
    """How many of its tries were perhaps accepted."""


class ChunkStanding(msgspec.Struct, frozen=True):
    """What is true of a chunk's execution and sender at the moment of a wave."""

    execution_id: UUID
    number: int
    state: str
    paused: bool
    sender_paused: bool
    left_s: float | None
    """Seconds to its execution's deadline, if that has one."""
    has_revoked: bool
    """Whether somebody of the execution must not be written to any more because their hub said so."""

    @property
    def over(self) -> Reason:
        """Why nothing is sent of it any more, or `Reason.NONE`."""
        if self.state == "cancelled":
            return Reason.EXECUTION_CANCELLED
        if self.left_s is not None and self.left_s <= 0:
            return Reason.DEADLINE
        return Reason.EXECUTION_CANCELLED if self.state == "failed" else Reason.NONE


class Attempt(msgspec.Struct, frozen=True):
    """What of a wave lies in one chunk: the sends between two keys inclusive. It is a row before the first byte leaves."""

    chunk: Chunk
    number: int
    key_from: UUID
    key_to: UUID
    sends: int

    @property
    def range(self) -> "KeyRange":
        """The keys between which its sends lie."""
        return KeyRange(self.chunk.execution_id, self.chunk.number, self.key_from, self.key_to)


class LostWave(msgspec.Struct, frozen=True):
    """An attempt that its worker opened and never settled; `place` is its chunk's among the chunks that were asked about."""

    place: int
    execution_id: UUID
    chunk: int
    number: int
    epoch: int
    worker: str
    key_from: UUID
    key_to: UUID

    @property
    def range(self) -> "KeyRange":
        """The keys between which its sends lie."""
        return KeyRange(self.execution_id, self.chunk, self.key_from, self.key_to)


class Change(msgspec.Struct, frozen=True):
    """What one send becomes. `retry_after_s` moves it to the chunk of its next try, `held_until` to that of its due time."""

    send: PendingSend
    state: SendState
    reason: Reason = Reason.NONE
    rule: int = 0
    evidence: int = 0
    tried: bool = True
    doubted: bool = False
    retry_after_s: float | None = None
    held_until: datetime | None = None

    @classmethod
    def final(cls, send: PendingSend, state: SendState, reason: Reason, *, doubted: bool = False) -> "Change":
        """A no that is final. What was perhaps accepted before stays unknown, and the no is its reason."""
        return cls(send, SendState.UNKNOWN if doubted or send.doubts else state, reason, doubted=doubted)

    @classmethod
    def objected(cls, send: PendingSend, objection: Objection) -> "Change":
        """What a send becomes that the guard objects to before it is tried. What was perhaps accepted before stays unknown."""
        if isinstance(objection, Hold):
            return cls(send, SendState.HELD, objection.reason, objection.rule, tried=False, held_until=objection.until)
        state = SendState.UNKNOWN if send.doubts else SendState.SKIPPED
        return cls(send, state, objection.reason, objection.rule, objection.evidence, tried=False)


class Answer(msgspec.Struct, frozen=True):
    """What a provider, or our own renderer, said about one send; at most `ANSWER_CHARS_MAX` characters are kept."""

    send: PendingSend
    kind: str
    text: str


ANSWER_CHARS_MAX = 1_000


class KeyRange(msgspec.Struct, frozen=True):
    """A range of customer ids within one chunk, inclusive."""

    execution_id: UUID
    number: int
    key_from: UUID
    key_to: UUID

    @property
    def part_from(self) -> int:
        return part_of(self.key_from)

    @property
    def part_to(self) -> int:
        return part_of(self.key_to)
