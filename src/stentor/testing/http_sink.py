"""A fake HTTP provider: it writes each message to its ledger, answers 200, and misbehaves on demand.

In a test: `async with HttpProvider([Fault(status=503, times=2)]) as provider: …`, then `provider.record.taken`. As a process
of its own: `python -m stentor.testing.http_sink --store FILE` prints `{"port": …}` and serves until SIGTERM, then prints its
counts. The ledger has the form of `smtp_sink`'s. A list of faults that is PUT to `/-/faults` replaces those before it, and
is answered with the number of messages that were taken of requests which those struck; only those at CONNECT strike
whoever comes to change them, too.
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from signal import SIGINT, SIGTERM
from types import TracebackType
from typing import Self

import msgspec

from stentor.testing.far_side import Then, cut, port_of
from stentor.testing.http_script import Fault, Moment, Record, Request
from stentor.testing.smtp_sink import Store

REQUEST_BYTES_MAX = 64 * 1024 * 1024
FAULTS_PATH = "/-/faults"

_PIECE = b"x" * 64 * 1024


class HttpProvider:
    """Serves on a free port of 127.0.0.1 inside its `async with`; what came of it is in `record`."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        store: Store | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.record = Record(faults, store)
        self._tls = tls
        self._port = port
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return port_of(self._server)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, "127.0.0.1", self._port, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        self.record.release()
        answering = [task for connection in self._connections if (task := connection.answering)]
        for connection in list(self._connections):
            connection.end(Then.CUT)
        await asyncio.gather(*answering, return_exceptions=True)

    def _connected(self) -> "_Connection":
        connection = _Connection(self.record, self._connections)
        self._connections.add(connection)
        return connection


class _Connection(asyncio.Protocol):
    """One client: requests one after the other, each answered before the next is looked at."""

    def __init__(self, record: Record, connections: "set[_Connection]") -> None:
        self.answering: asyncio.Task[None] | None = None
        self._record = record
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._inbox = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._record.connections += 1
        fault = self._record.strike(Moment.CONNECT, b"")
        if fault:
            self._answer(fault)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._connections.discard(self)
        self._writable.set()
        if self.answering:
            self.answering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        self._record.octets += len(data)
        if len(self._inbox) > REQUEST_BYTES_MAX:
            self.end(Then.CUT)
        while self.answering is None and (request := self._whole_request()):
            self._serve(request)

    def end(self, then: Then) -> None:
        """Closes the connection, or cuts it; HANG and GO_ON leave it open."""
        if self._transport is None or then in {Then.GO_ON, Then.HANG}:
            return
        if then is Then.CUT:
            cut(self._transport)
        else:
            self._transport.close()

    def _whole_request(self) -> Request | None:
        head, mark, begun = bytes(self._inbox).partition(b"\r\n\r\n")
        if not mark:
            return None
        line, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = line.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        fault = None if path == FAULTS_PATH else self._record.strike(Moment.BODY, begun)
        if fault:
            self._inbox.clear()
            self._answer(fault)
            return None
        if len(begun) < size:
            return None
        del self._inbox[: len(head) + len(mark) + size]
        return Request(time.monotonic_ns(), method, path, headers, begun[:size])

    def _serve(self, request: Request) -> None:
        if request.path == FAULTS_PATH:
            taken = self._record.set_faults(msgspec.json.decode(request.body, type=list[Fault]))
            self._answer(Fault(body=str(taken)))
            return
        self._record.requests.append(request)
        self._answer(self._record.answer_to(request))

    def _answer(self, fault: Fault) -> None:
        if self._transport is None:
            return
        if fault.held or fault.after_s or fault.byte_s or fault.body_bytes or fault.then is Then.HANG:
            self.answering = asyncio.ensure_future(self._answer_slowly(fault))
            return
        self._transport.write(fault.answer())
        self.end(fault.then)

    async def _answer_slowly(self, fault: Fault) -> None:
        if fault.held:
            await self._record.hold()
        await asyncio.sleep(fault.after_s)
        pieces = [bytes([byte]) for byte in fault.answer()] if fault.byte_s else [fault.answer()]
        for piece in pieces:
            await self._write(piece)
            await asyncio.sleep(fault.byte_s)
        left = fault.body_bytes
        while left and await self._write(_PIECE if left < 0 else _PIECE[:left]):
            left = left if left < 0 else max(0, left - len(_PIECE))
        self.end(fault.then)
        if fault.then is not Then.HANG:
            self.answering = None
            self.data_received(b"")

    async def _write(self, piece: bytes) -> bool:
        """False when nobody is there to read it any more."""
        # An event that is set lets nobody else run, and without that nobody hears of the client's end.
        await asyncio.sleep(0)
        await self._writable.wait()
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(piece)
        return True


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.http_sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path, required=True, help="the ledger; with .index behind its name, the lines")
    asked = parser.parse_args()
    asyncio.run(_serve_until_told(asked.port, Store(asked.store)))


async def _serve_until_told(port: int, store: Store) -> None:
    stopped = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with HttpProvider(store=store, port=port) as provider:
        _tell({"port": provider.port})
        await stopped.wait()
        _tell(provider.record.counts)


def _tell(facts: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
