"""A connection cut after any byte, in either direction, leaves each message with one outcome, and a true one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from dialogues import CHUNKED, IN_STEP, PIPELINED
from stentor.channels.contract import Accepted, InDoubt
from stentor.testing.channels import mail, wave_of
from stentor.testing.smtp_faults import FaultyServer
from stentor.testing.smtp_local import local_channel

pytestmark = pytest.mark.anyio

MESSAGES = [mail(number, f"person{number}@example.com") for number in range(12)]
STEP_BYTES = 29  # a prime, so that cuts fall into every part of commands, bodies and line ends


class Cutter:
    """A TCP relay whose first connection is cut after so many bytes from the client, or from the server."""

    def __init__(self, port: int, *, from_client: int | None = None, from_server: int | None = None) -> None:
        self._target = port
        self._limits = from_client, from_server
        self._cut = False

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        limits = (None, None) if self._cut else self._limits
        self._cut = True
        ways = [(reader, back, limits[0]), (there, writer, limits[1])]
        await asyncio.wait(
            [asyncio.create_task(self._pass_on(*way)) for way in ways], return_when=asyncio.FIRST_COMPLETED
        )
        for end in (writer, back):
            end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while limit is None or passed < limit:
                octets = await reader.read(65536 if limit is None else limit - passed)
                if not octets:
                    return
                passed += len(octets)
                writer.write(octets)
                await writer.drain()


@pytest.mark.fault("F8")
@pytest.mark.parametrize("side", ["from_client", "from_server"])
@pytest.mark.parametrize(
    ("offers", "in_doubt_max"),
    [(CHUNKED, 8), (PIPELINED, 1), (IN_STEP, 1)],
    ids=["chunked", "pipelined", "in step"],
)
async def test_every_message_is_accounted_for(offers: frozenset[str], in_doubt_max: int, side: str) -> None:
    span = 3600 if side == "from_client" else 1600
    for cut_after in range(200, span, STEP_BYTES):
        async with (
            FaultyServer(offers=offers) as server,
            Cutter(server.port, **{side: cut_after}).listening() as port,
            local_channel(port, connections_max=1) as channel,
        ):
            outcomes = await channel.hand_over(wave_of(), MESSAGES)

            recipients = server.record.recipients
            assert len(outcomes) == len(MESSAGES)
            assert len(set(recipients)) == len(recipients), f"somebody got two messages, cut after {cut_after}"
            assert sum(isinstance(outcome, InDoubt) for outcome in outcomes) <= in_doubt_max
            for message, outcome in zip(MESSAGES, outcomes, strict=True):
                known = isinstance(outcome, InDoubt) or isinstance(outcome, Accepted) == (message.address in recipients)
                assert known, f"{message.address}: {outcome}, cut after {cut_after}"
            assert all(f"To: {taken.recipient}\r\n".encode() in taken.body for taken in server.record.ledger)
