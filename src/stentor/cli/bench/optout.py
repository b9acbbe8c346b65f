"""How long after an opt-out its person may still be written to: at full speed, at ten messages a second, past a frozen worker.

Whoever opts out is next in line, because for everybody else it takes no time. The acknowledgement is the answer to the DELETE,
the hand-over is the sink's own time; both go by the monotonic clock of this machine.
"""

import asyncio
import math
import random
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec

from stentor.cli.bench.club import Club, add_people, add_topics, found_club
from stentor.cli.bench.executions import Ended, call, until_ended
from stentor.cli.bench.interfering import PACE_PER_S, frozen_worker, paced
from stentor.cli.bench.stops import StopBench, Stops
from stentor.cli.client import Client
from stentor.cli.output import fail
from stentor.cli.premises import Premises
from stentor.domain.ids import customer_id
from stentor.testing.smtp_local import SinkProcess
from stentor.testing.torture.evidence import read_ledgers, send_of
from stentor.testing.torture.workload import newest

PEOPLE = 60_000

FULL_SPEED, PACED, FROZEN = "full_speed", "paced", "frozen"
"""The situations, and the topics of those who are written to in them."""

_PACED_PEOPLE = 400
_PACED_LEAVERS_PER_S = 4.0
_CLIENTS = 4
_RECENT = 8  # of the messages that were taken last: so many waves go on side by side
_FROZEN_LEAVERS_MAX = 400
_LOOK_EVERY_S = 0.01


class OptOuts(msgspec.Struct, frozen=True):
    """Seconds from acknowledgement to last hand-over, 0 for whoever got nothing after it: p99 and worst of so many."""

    p99_s: float
    worst_s: float
    opt_outs: int


class Situation(msgspec.Struct, frozen=True):
    """What was seen in one of the situations: of people who opted out, and of stopping everybody's messages."""

    opt_outs: OptOuts
    stops: Stops


async def measure_opt_outs(premises: Premises, people: int = PEOPLE) -> dict[str, Situation]:
    """The three situations, `full_speed`, `paced` and `frozen`, one after the other, on a server with two workers: 4 min.

    Ends the command when an execution does not end.
    """
    with tempfile.TemporaryDirectory(prefix="stentor-sink-") as folder, SinkProcess(Path(folder) / "mail") as sink:
        async with premises.running():
            club = await found_club(premises, name="Bench Wanderers", smtp_port=sink.port)
            await add_people(premises, club, people)
            index = Path(folder) / "mail.index"
            bench, stopping = _Bench(premises, club, index), StopBench(premises, club, index)
            return {
                FULL_SPEED: Situation(await bench.at_full_speed(people), await stopping.at_full_speed(FULL_SPEED)),
                PACED: Situation(await bench.paced(min(_PACED_PEOPLE, people)), await stopping.paced(PACED)),
                FROZEN: Situation(
                    await bench.past_a_frozen_worker(people), await stopping.past_a_frozen_worker(FROZEN)
                ),
            }


class _Line:
    """The people of one topic in the order in which they are written to, and when those who left were acknowledged."""

    def __init__(self, club: Club, topic_key: str, people: int, index: Path) -> None:
        self.topic_key = topic_key
        names = [f"p-{number:08d}" for number in range(people)]
        self._names = {customer_id(club.brand.id, name): name for name in names}
        self._order = sorted(self._names)
        self._index = index
        self._draw = random.Random(people)
        self._acknowledged_ns: dict[UUID, int] = {}
        self._asked: set[UUID] = set()

    def next_ones(self, ahead: int) -> UUID | None:
        """Somebody of the so many people behind the one who was written to last; None while nobody was."""
        stored = newest(self._index)
        if not stored:
            return None
        last = UUID(bytes=send_of(self._draw.choice(stored[-_RECENT:]).message_id).customer)
        place = bisect_left(self._order, last)
        rest = [one for one in self._order[place + 1 : place + 1 + ahead] if one not in self._asked]
        return self._draw.choice(rest) if rest else None

    def between(self, ranges: Iterable[tuple[UUID, UUID]], most: int) -> list[UUID]:
        """People of these ranges."""
        found = [one for first, last in ranges for one in self._order if first <= one <= last]
        return self._draw.sample(found, min(most, len(found)))

    async def leave(self, client: Client, person: UUID) -> None:
        """Lets them opt out, and notes when that was acknowledged."""
        self._asked.add(person)
        await client.unsubscribe(self._names[person], self.topic_key)
        self._acknowledged_ns[person] = time.monotonic_ns()

    def outcome(self, execution_id: UUID) -> OptOuts:
        """What the sink says of those who left."""
        last_ns = dict.fromkeys(self._acknowledged_ns, 0)
        for taken in read_ledgers([self._index]):
            person = UUID(bytes=taken.send.customer)
            if taken.send.execution == execution_id.bytes and person in last_ns:
                last_ns[person] = max(last_ns[person], taken.at_ns)
        late_s = sorted(max(0, last_ns[one] - at_ns) / 1e9 for one, at_ns in self._acknowledged_ns.items())
        if not late_s:
            fail("Everybody was written to before anybody could opt out; measure with more --people.")
        return OptOuts(late_s[math.ceil(0.99 * len(late_s)) - 1], late_s[-1], len(late_s))


class _Bench:
    def __init__(self, premises: Premises, club: Club, index: Path) -> None:
        self._premises = premises
        self._club = club
        self._index = index

    async def at_full_speed(self, people: int) -> OptOuts:
        """Some clients opt out as fast as they are answered."""
        line = await self._line(FULL_SPEED, people)
        async with self._clients() as clients:
            execution_id = await self._called(line)
            ended = asyncio.create_task(until_ended(self._premises, self._club, execution_id))
            await asyncio.gather(*(_leave_until(ended, line, client, ahead=2_000) for client in clients))
            await ended
        return line.outcome(execution_id)

    async def paced(self, people: int) -> OptOuts:
        """A few in each second, of the people whom the sender's pace lets wait."""
        line = await self._line(PACED, people)
        async with self._clients() as clients, paced(self._premises, self._club):
            execution_id = await self._called(line)
            ended = asyncio.create_task(until_ended(self._premises, self._club, execution_id))
            pause_s = 1 / _PACED_LEAVERS_PER_S
            await _leave_until(ended, line, clients[0], ahead=round(2 * PACE_PER_S), pause_s=pause_s)
            await ended
        return line.outcome(execution_id)

    async def past_a_frozen_worker(self, people: int) -> OptOuts:
        """A worker stands still with waves in its hands; while it does, people of these waves opt out."""
        line = await self._line(FROZEN, people)
        async with self._clients() as clients:
            execution_id = await self._called(line)
            async with frozen_worker(self._premises, self._club, execution_id) as ranges:
                leavers = line.between(ranges, _FROZEN_LEAVERS_MAX)
                for person, client in zip(leavers, _round_robin(clients, len(leavers)), strict=True):
                    await line.leave(client, person)
            await until_ended(self._premises, self._club, execution_id)
        return line.outcome(execution_id)

    async def _line(self, topic_key: str, people: int) -> _Line:
        await add_topics(self._premises, self._club, [topic_key], people)
        return _Line(self._club, topic_key, people, self._index)

    async def _called(self, line: _Line) -> UUID:
        return (await call(self._premises, self._club, line.topic_key)).execution_id

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[Sequence[Client]]:
        await self._premises.until_listening()
        clients = [Client(self._premises.url, self._club.brand, self._club.key) for _ in range(_CLIENTS)]
        try:
            yield clients
        finally:
            for client in clients:
                client.close()


async def _leave_until(
    ended: asyncio.Task[Ended], line: _Line, client: Client, *, ahead: int, pause_s: float = _LOOK_EVERY_S
) -> None:
    while not ended.done():
        if (person := line.next_ones(ahead)) is not None:
            await line.leave(client, person)
        await asyncio.sleep(pause_s)


def _round_robin(clients: Sequence[Client], times: int) -> list[Client]:
    return [clients[number % len(clients)] for number in range(times)]
