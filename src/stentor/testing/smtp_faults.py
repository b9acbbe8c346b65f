"""A real SMTP server that misbehaves on demand, and remembers exactly what it took.

In a test: `async with FaultyServer([Fault(at=At.RCPT, to="bad@", say="550 5.1.1 no such user")]) as server: …`, then
`server.record.ledger`. As a process of its own: `python -m stentor.testing.smtp_faults --script FILE --ledger FILE`,
where the script is a JSON list of faults; it prints `{"port": …}` and serves until SIGTERM.
"""

import argparse
import asyncio
import base64
import json
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from signal import SIGINT, SIGTERM
from types import TracebackType
from typing import Self, SupportsIndex, TypeAlias

import msgspec

from stentor.testing.far_side import Then, cut, port_of
from stentor.testing.smtp_script import EXTENSIONS, At, Fault, Record

LINE_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024
MIDST_BYTES = 10  # how much of a body is read before a fault at BODY

Command: TypeAlias = Callable[[str], Awaitable[object]]


class FaultyServer:
    """Serves on a free port of 127.0.0.1 inside its `async with`; what came of it is in `record`."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        offers: frozenset[str] = EXTENSIONS,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        tls_at_once: bool = False,
        ledger_file: Path | None = None,
    ) -> None:
        self.record = Record(faults, ledger_file)
        self.offers = offers
        self.login = login
        self.tls = tls
        self.tls_at_once = tls_at_once
        self._sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return port_of(self._server)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: asyncio.StreamReaderProtocol(CountingReader(limit=BODY_BYTES_MAX), self._serve),
            "127.0.0.1",
            0,
            ssl=self.tls if self.tls_at_once else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        self.record.release()
        self.drop_connections()
        if self._sessions:
            await asyncio.wait(self._sessions)
        self.record.close()

    def drop_connections(self) -> None:
        """Resets every open connection at once."""
        for writer in self._sessions.values():
            if not writer.is_closing():
                cut(writer.transport)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not isinstance(reader, CountingReader):
            raise RuntimeError("A session runs as a task of the server.")
        self._sessions[task] = writer
        task.add_done_callback(self._sessions.pop)
        self.record.connections += 1
        await Session(self, reader, writer).run()


class CountingReader(asyncio.StreamReader):
    """Knows how much has come that nobody has read: commands that a client wrote ahead."""

    unread = 0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        octets = bytes(data)
        self.unread += len(octets)
        super().feed_data(octets)

    async def line(self) -> bytes:
        line = await self.readuntil(b"\r\n")
        self.unread -= len(line)
        return line[:-2]

    async def octets(self, count: int) -> bytes:
        octets = await self.readexactly(count)
        self.unread -= count
        return octets


class _Over(Exception):
    """This dialogue has ended."""


class Session:
    """One client's dialogue, as strict about the order of commands as Postfix."""

    def __init__(self, server: FaultyServer, reader: CountingReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._record = server.record
        self._reader = reader
        self._writer = writer
        self._encrypted = server.tls_at_once
        self._known = server.login is None
        self._asked = ""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._chunks = b""
        self._commands: dict[str, Command] = {
            "EHLO": self._ehlo,
            "HELO": lambda _: self._reply(At.EHLO, "250 faulty"),
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "RSET": self._rset,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Until the client leaves or a fault ends it."""
        try:
            await self._reply(At.CONNECT, "220 faulty ESMTP")
            while True:
                await self._command((await self._reader.line()).decode("utf-8", "surrogateescape"))
        except (_Over, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self._writer.close()

    async def _command(self, line: str) -> None:
        self._record.heard.append(line)
        verb, _, rest = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            await self._write("500 5.5.2 unknown command")
        else:
            await command(rest)

    async def _ehlo(self, _: str) -> None:
        lines = ["faulty", *sorted(self._server.offers)]
        if self._server.tls and not self._encrypted:
            lines.append("STARTTLS")
        if self._server.login:
            lines.append("AUTH PLAIN")
        await self._reply(At.EHLO, "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]))

    async def _starttls(self, _: str) -> None:
        if not self._server.tls:
            await self._write("502 5.5.1 not offered")
        elif await self._reply(At.STARTTLS, "220 go ahead"):
            await self._writer.start_tls(self._server.tls)
            self._encrypted = True

    async def _auth(self, rest: str) -> None:
        said = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        self._known = tuple(said[1:]) == self._server.login
        await self._reply(At.AUTH, "235 2.7.0 welcome" if self._known else "535 5.7.8 wrong credentials")

    async def _rset(self, _: str) -> None:
        self._reset()
        await self._reply(At.RSET, "250 2.0.0 flushed")

    async def _mail(self, rest: str) -> None:
        if not self._known:
            await self._write("530 5.7.0 authentication required")
        elif self._sender is not None:
            await self._write("503 5.5.1 nested MAIL command")
        else:
            self._record.messages += 1
            if await self._reply(At.MAIL, "250 2.1.0 sender ok"):
                self._sender = rest.partition("<")[2].partition(">")[0]

    async def _rcpt(self, rest: str) -> None:
        self._asked = rest.partition("<")[2].partition(">")[0]
        usual = "503 5.5.1 MAIL first" if self._sender is None else "250 2.1.5 recipient ok"
        if await self._reply(At.RCPT, usual):
            self._recipients.append(self._asked)

    async def _data(self, _: str) -> None:
        if await self._reply(At.DATA, "354 go ahead" if self._recipients else "554 5.5.1 no valid recipients"):
            await self._midst()
            lines: list[bytes] = []
            while (line := await self._reader.line()) != b".":
                lines.append(line.removeprefix(b"."))
            await self._final(b"".join(line + b"\r\n" for line in lines))

    async def _bdat(self, rest: str) -> None:
        size, _, last = rest.partition(" ")
        read = await self._midst()
        self._chunks += read + await self._reader.octets(int(size) - len(read))
        if last:
            await self._final(self._chunks)
        else:
            await self._write("250 2.0.0 chunk ok" if self._recipients else "503 5.5.1 no valid recipients")

    async def _midst(self) -> bytes:
        fault = self._record.strike(At.BODY, self._asked)
        if fault is None:
            return b""
        read = await self._reader.octets(MIDST_BYTES)
        await self._act(fault, "")
        return read

    async def _final(self, body: bytes) -> None:
        if self._recipients:
            await self._reply(At.FINAL, f"250 2.0.0 Ok: queued as F{self._record.messages}", body)
            self._reset()
            return
        self._record.strays += [body] if body and not self._chunks else []
        await self._reply(At.FINAL, "554 5.5.1 no valid recipients")
        if self._chunks:
            self._chunks = b""  # RFC 3030: only RSET ends a transaction whose BDAT was refused
        else:
            self._reset()

    async def _quit(self, _: str) -> None:
        await self._write("221 2.0.0 bye")
        raise _Over

    def _reset(self) -> None:
        self._sender = None
        self._recipients.clear()
        self._chunks = b""

    async def _reply(self, at: At, usual: str, body: bytes = b"") -> bool:
        """Gives the usual reply, or that of a fault; tells whether it said yes."""
        fault = self._record.strike(at, self._asked)
        said = fault.say if fault and fault.say else usual
        yes = said[:1] in {"2", "3"} and (fault is None or fault.then is Then.GO_ON)
        if at is At.FINAL and (yes or (fault and fault.takes)):
            self._record.take(self._sender or "", self._recipients, body)
        if fault is None:
            await self._write(said)
        else:
            await self._act(fault, usual)
        return yes

    async def _act(self, fault: Fault, usual: str) -> None:
        if fault.held:
            await self._record.hold()
        await asyncio.sleep(fault.after_s)
        said = fault.say or (usual if fault.then is Then.GO_ON else "")
        if said:
            await self._write(said, fault.byte_s)
        if fault.then is Then.HANG:
            while await self._reader.read(LINE_BYTES_MAX):
                pass
        if fault.then is Then.CUT:
            self._writer.transport.abort()
        if fault.then is not Then.GO_ON:
            raise _Over

    async def _write(self, said: str, byte_s: float = 0.0) -> None:
        if self._reader.unread and "PIPELINING" not in self._server.offers:
            self._record.improper += 1
        octets = said.encode("latin-1") + b"\r\n"
        for piece in [octets] if not byte_s else [bytes([octet]) for octet in octets]:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(byte_s)


def main(arguments: list[str] | None = None) -> None:
    """Serves the script until SIGTERM; prints its port as JSON."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.smtp_faults", description=__doc__)
    parser.add_argument("--script", type=Path, help="a JSON list of faults; without it everything is taken")
    parser.add_argument("--ledger", type=Path, help="gets one JSON line for each message taken")
    asked = parser.parse_args(arguments)
    faults = msgspec.json.decode(asked.script.read_bytes(), type=list[Fault]) if asked.script else []
    asyncio.run(_serve_until_stopped(FaultyServer(faults, ledger_file=asked.ledger)))


async def _serve_until_stopped(server: FaultyServer) -> None:
    stopped = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        sys.stdout.write(json.dumps({"port": server.port}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    main()
