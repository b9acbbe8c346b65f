"""A fast SMTP server that takes everything: it parses each message, stores it, and only then says 250.

`python -m stentor.testing.smtp_sink --port 0 --store FILE --json` prints its port as one line of JSON, serves until
SIGTERM or SIGINT, and prints its counts. From SIGUSR1 until SIGUSR2 every message is answered with 451. FILE has the
messages one after the other, dots unstuffed; FILE.index has one
line for each: monotonic nanoseconds, offset, bytes, Message-ID, recipient.

One thread, one `select`, no asyncio: it shares the machine with what it measures, and takes about 15 µs of processor
time for a message of 6 KB, a third of it for storing.
"""

import argparse
import json
import os
import re
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO

EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE")
MESSAGE_BYTES_MAX = 10 * 1024 * 1024
STORE_BYTES_MAX = 16 * 1024**3
SEND_OFF_BYTES = 8 * 1024 * 1024
CONNECTIONS_MAX = 200
RECEIVE_BYTES = 256 * 1024
COMMAND_BYTES_MAX = 4096
HEADER_BYTES_MAX = 16 * 1024  # where the Message-ID is looked for

_OK = b"250 OK\r\n"
_GO_AHEAD = b"354 go ahead\r\n"
_NOT_NOW = b"451 4.3.2 not now\r\n"
_END_OF_DATA = b"\r\n.\r\n"
# The commands of one message as a pipelining client writes them; everything else is read line by line.
_GROUP = re.compile(
    rb"(RSET\r\n)?MAIL FROM:<[^>\r\n]*>[^\r\n]*\r\nRCPT TO:<([^>\r\n]+)>[^\r\n]*\r\n(?:DATA|BDAT (\d{1,8}) LAST)\r\n"
)
_RCPT = re.compile(rb"RCPT TO: ?<([^>]+)>", re.IGNORECASE)
_BDAT = re.compile(rb"BDAT (\d{1,8})( LAST)?\s*$", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<?([^>\s]*)", re.IGNORECASE | re.MULTILINE)


class Store:
    """The two files; what was added is written by `flush`, and nothing is acknowledged before."""

    def __init__(self, path: Path | None, bytes_max: int = STORE_BYTES_MAX) -> None:
        self.messages = 0
        self.bytes = 0
        self._bytes_max = bytes_max
        self._sent_off = 0
        self._files = _opened(path) if path else None
        self._bodies: list[bytes | bytearray] = []
        self._lines: list[bytes] = []

    def add(self, recipient: bytes, body: bytes | bytearray, at_ns: int, message_id: bytes | None = None) -> bool:
        """False when the store is full. Without a `message_id` it is looked for in the body."""
        if self.bytes + len(body) > self._bytes_max:
            return False
        name = _message_id(body) if message_id is None else message_id
        self._lines.append(b"%d %d %d %b %b\n" % (at_ns, self.bytes, len(body), name, recipient))
        self._bodies.append(body)
        self.messages += 1
        self.bytes += len(body)
        return True

    def flush(self) -> None:
        if self._files and self._lines:
            bodies, index = self._files
            bodies.write(b"".join(self._bodies))
            bodies.flush()
            index.write(b"".join(self._lines))
            index.flush()
            self._send_off(bodies)
        self._bodies.clear()
        self._lines.clear()

    def _send_off(self, bodies: BinaryIO) -> None:
        # Left to itself the system writes a gigabyte at once, and whoever shares the disk waits a second for each commit.
        if self.bytes - self._sent_off > SEND_OFF_BYTES:
            os.posix_fadvise(bodies.fileno(), self._sent_off, self.bytes - self._sent_off, os.POSIX_FADV_DONTNEED)
            self._sent_off = self.bytes


def _opened(path: Path) -> tuple[BinaryIO, BinaryIO]:
    return path.open("wb"), path.with_name(path.name + ".index").open("wb")


def _message_id(body: bytes | bytearray) -> bytes:
    start = body.find(b"Message-ID: <", 0, HEADER_BYTES_MAX)
    if start >= 0:
        return bytes(body[start + 13 : body.find(b">", start)]) or b"-"
    found = _MESSAGE_ID.search(body, 0, HEADER_BYTES_MAX)
    return found[1] if found and found[1] else b"-"


class Session:
    """One client: the transaction that it is in, and what it sent that is not yet whole."""

    def __init__(self, connection: socket.socket, sink: "Sink") -> None:
        self.connection = connection
        self.rest = b""
        self.replies = bytearray()
        self.leaving = False
        self.stalled = False
        self._sink = sink
        self._recipient = b""
        self._chunks = b""
        self._in_data = False
        self._scanned = 0

    def serve(self, inbox: bytearray, end: int) -> None:
        """Answers what is whole among the first `end` bytes of `inbox`, and keeps the rest."""
        at_ns = time.monotonic_ns()
        at, moved = 0, True
        while moved and not self.leaving:
            next_at = (
                self._take_data(inbox, at, end, at_ns) if self._in_data else self._take_group(inbox, at, end, at_ns)
            )
            moved, at = next_at > at, next_at
        self.rest = bytes(memoryview(inbox)[at:end])

    def _take_group(self, inbox: bytearray, at: int, end: int, at_ns: int) -> int:
        group = _GROUP.match(inbox, at, end)
        if group is None or self._recipient:
            return self._take_line(inbox, at, end, at_ns)
        body_at = group.end()
        before = _OK * 3 if group[1] else _OK * 2
        if group[3] is None:
            self._recipient, self._in_data, self._scanned = group[2], True, 0
            self.replies += before + _GO_AHEAD
            return body_at
        body_end = body_at + int(group[3])
        if body_end - body_at > MESSAGE_BYTES_MAX:
            return self._refuse(b"552 5.3.4 too big\r\n", end)
        if body_end > end:
            return at
        self._recipient = group[2]
        self.replies += before
        self._finish(inbox[body_at:body_end], at_ns)
        return body_end

    def _take_data(self, inbox: bytearray, at: int, end: int, at_ns: int) -> int:
        if inbox.startswith(b".\r\n", at, end):
            self._finish(b"", at_ns)
            return at + 3
        mark = inbox.find(_END_OF_DATA, at + self._scanned, end)
        if mark < 0:
            self._scanned = max(0, end - at - len(_END_OF_DATA))
            return at if end - at <= MESSAGE_BYTES_MAX else self._refuse(b"552 5.3.4 too big\r\n", end)
        body = inbox[at : mark + 2]
        if body.startswith(b"."):
            del body[0]
        if b"\r\n." in body:
            body = body.replace(b"\r\n.", b"\r\n")
        self._finish(body, at_ns)
        return mark + len(_END_OF_DATA)

    def _take_line(self, inbox: bytearray, at: int, end: int, at_ns: int) -> int:
        line_end = inbox.find(b"\r\n", at, end)
        if line_end < 0:
            return at if end - at <= COMMAND_BYTES_MAX else self._refuse(b"500 5.5.2 line too long\r\n", end)
        line = bytes(inbox[at:line_end])
        verb = line[:4].upper()
        if verb == b"BDAT":
            return self._take_chunk(inbox, at, line_end + 2, end, at_ns)
        if verb == b"RCPT":
            self._rcpt(line)
        elif verb == b"DATA":
            self._in_data, self._scanned = bool(self._recipient), 0
            self.replies += _GO_AHEAD if self._in_data else b"503 5.5.1 RCPT first\r\n"
        else:
            self._plain(verb)
        return line_end + 2

    def _take_chunk(self, inbox: bytearray, at: int, chunk_at: int, end: int, at_ns: int) -> int:
        found = _BDAT.match(inbox, at, chunk_at - 2)
        size = int(found[1]) if found else MESSAGE_BYTES_MAX + 1
        if found is None or size + len(self._chunks) > MESSAGE_BYTES_MAX:
            return self._refuse(b"552 5.3.4 too big\r\n", end)
        if chunk_at + size > end:
            return at
        self._chunks += inbox[chunk_at : chunk_at + size]
        if found[2] is None:
            self.replies += _OK
        elif self._recipient:
            self._finish(self._chunks, at_ns)
        else:
            self._reset()
            self.replies += b"503 5.5.1 RCPT first\r\n"
        return chunk_at + size

    def _rcpt(self, line: bytes) -> None:
        found = _RCPT.match(line)
        self._recipient = found[1] if found else self._recipient
        self.replies += _OK if found else b"501 5.1.3 bad recipient address syntax\r\n"

    def _plain(self, verb: bytes) -> None:
        if verb == b"QUIT":
            self.leaving = True
            self.replies += b"221 bye\r\n"
        elif verb == b"EHLO":
            self.replies += self._sink.offers
        elif verb in {b"HELO", b"MAIL", b"RSET", b"NOOP"}:
            self._reset()
            self.replies += _OK
        else:
            self.replies += b"500 5.5.2 unknown command\r\n"

    def _finish(self, body: bytes | bytearray, at_ns: int) -> None:
        if self._sink.is_deferring:
            self.replies += _NOT_NOW
            self._reset()
            return
        stored = self._sink.store.add(self._recipient, body, at_ns)
        self.replies += _OK if stored else b"452 4.3.1 the store is full\r\n"
        self._reset()

    def _reset(self) -> None:
        self._recipient, self._chunks, self._in_data = b"", b"", False

    def _refuse(self, reply: bytes, end: int) -> int:
        self.replies += reply
        self.leaving = True
        return end


class Sink:
    """The server: one thread, bounded sessions, one shared receive buffer."""

    def __init__(self, port: int, store: Store, *, without: frozenset[str] = frozenset()) -> None:
        self.store = store
        self.is_deferring = False
        self.offers = _offers([name for name in EXTENSIONS if name not in without])
        self._inbox = bytearray(MESSAGE_BYTES_MAX + 2 * RECEIVE_BYTES)
        self._view = memoryview(self._inbox)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=CONNECTIONS_MAX)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop_reader, self._stop_writer = socket.socketpair()
        self._selector.register(self._stop_reader, selectors.EVENT_READ)
        self._sessions = 0
        self._stopping = False

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def stop(self) -> None:
        """Ends `run`; may be called from a signal handler."""
        self._stop_writer.send(b"!")

    def run(self) -> None:
        """Serves until `stop`. What one round received is stored by one write, and then answered."""
        while not self._stopping:
            attended = [session for key, events in self._selector.select() if (session := self._attend(key, events))]
            self.store.flush()
            for session in attended:
                self._reply(session)

    def _attend(self, key: selectors.SelectorKey, events: int) -> "Session | None":
        if key.fileobj is self._stop_reader:
            self._stopping = True
        elif key.fileobj is self._listener:
            return self._accept()
        elif not events & selectors.EVENT_READ or self._receive(key.data):
            return key.data
        else:
            self._drop(key.data)
        return None

    def _accept(self) -> "Session | None":
        connection, _ = self._listener.accept()
        if self._sessions == CONNECTIONS_MAX:
            connection.close()
            return None
        self._sessions += 1
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(connection, self)
        session.replies += b"220 sink ESMTP\r\n"
        self._selector.register(connection, selectors.EVENT_READ, session)
        return session

    def _receive(self, session: Session) -> bool:
        held = len(session.rest)
        self._view[:held] = session.rest
        try:
            received = session.connection.recv_into(self._view[held : held + RECEIVE_BYTES])
        except ConnectionError:
            return False
        if received:
            session.serve(self._inbox, held + received)
        return received > 0

    def _reply(self, session: Session) -> None:
        """Sends what the socket takes. A client that does not read its replies is not read from, either."""
        try:
            if session.replies:
                del session.replies[: session.connection.send(session.replies)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._drop(session)
            return
        if session.leaving and not session.replies:
            self._drop(session)
        elif bool(session.replies) != session.stalled:
            session.stalled = not session.stalled
            wanted = selectors.EVENT_WRITE if session.stalled else selectors.EVENT_READ
            self._selector.modify(session.connection, wanted, session)

    def _drop(self, session: Session) -> None:
        self._selector.unregister(session.connection)
        session.connection.close()
        self._sessions -= 1


def _offers(names: list[str]) -> bytes:
    lines = ["sink", *(f"SIZE {MESSAGE_BYTES_MAX}" if name == "SIZE" else name for name in names)]
    marked = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
    return "".join(f"{line}\r\n" for line in marked).encode()


def main(arguments: list[str] | None = None) -> None:
    """Serves until SIGTERM; prints where, and at the end how much."""
    parser = argparse.ArgumentParser(prog="python -m stentor.testing.smtp_sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--store", type=Path, help="where the messages go; without it they are parsed and counted")
    parser.add_argument("--store-bytes-max", type=int, default=STORE_BYTES_MAX, help="452 is the answer from there on")
    parser.add_argument("--without", default="", help=f"comma-separated, of {', '.join(EXTENSIONS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    asked = parser.parse_args(arguments)
    store = Store(asked.store, asked.store_bytes_max)
    sink = Sink(asked.port, store, without=frozenset(asked.without.upper().split(",")))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sink.stop())
    signal.signal(signal.SIGUSR1, lambda *_: setattr(sink, "is_deferring", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(sink, "is_deferring", False))
    _tell({"port": sink.port}, as_json=asked.json)
    sink.run()
    _tell({"messages": store.messages, "bytes": store.bytes}, as_json=asked.json)


def _tell(facts: dict[str, int], *, as_json: bool) -> None:
    text = json.dumps(facts) if as_json else ", ".join(f"{name} {value}" for name, value in facts.items())
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
