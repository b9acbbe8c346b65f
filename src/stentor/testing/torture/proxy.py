"""A TCP proxy on this machine that passes everything on, and spoils connections when it is told to."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeAlias

from stentor.testing.far_side import cut
from stentor.testing.torture.mail_meter import MailMeter

_COMMIT = b"COMMIT\x00"
_COMMIT_QUERY = b"Q\x00\x00\x00\x0b" + _COMMIT
_NO_ROOM = b"""DO $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$\x00"""
_FULL_QUERY = b"Q" + struct.pack("!i", 4 + len(_NO_ROOM)) + _NO_ROOM
_SLOW_S = 0.1  # between two reads of a slowed connection, which takes at most 256 KB each time

Dial: TypeAlias = Callable[[Callable[[], asyncio.Protocol]], Coroutine[Any, Any, Any]]
"""Connects a protocol to the target: `loop.create_connection` or `create_unix_connection` with the address filled in."""


_READ_BYTES = 256 * 1024


class Link:
    """One connection through the proxy. `is_busy`: its client said something and nothing came back since.

    `mails` counts the messages on it, where the proxy carries mail.
    """

    def __init__(self, proxy: "ChaosProxy") -> None:
        self.is_busy = False
        self.mails = MailMeter() if proxy.carries_mail else None
        self.is_doomed = False
        self.client = _Side(self)
        self.target = _Side(self)
        self._proxy = proxy
        self._early: list[bytes] = []

    @property
    def client_port(self) -> int:
        """The port of whoever connected: what tells one worker's connections from another's."""
        transport = self.client.transport
        return 0 if transport is None else transport.get_extra_info("peername")[1]

    def opened(self, side: "_Side") -> None:
        if side is self.client:
            self._proxy.begin(self)
        elif self.target.transport is not None:
            self.target.transport.writelines(self._early)
            self._early.clear()

    def take(self, side: "_Side", data: bytes) -> None:
        if side is self.client:
            self._pass_on(data)
        elif self.is_doomed:
            self.reset()
        elif not self._proxy.loses_replies:
            self._pass_back(data)
        if self._proxy.is_slow:
            side.rest(_SLOW_S)

    def _pass_on(self, data: bytes) -> None:
        self.is_busy = True
        if self.mails:
            self.mails.said(data)
        if _COMMIT in data and self._proxy.commits_to_lose:
            self._proxy.commits_to_lose -= 1
            self.is_doomed = True
        if self._proxy.is_full:
            data = data.replace(_COMMIT_QUERY, _FULL_QUERY)
        if self.target.transport is None:
            self._early.append(data)
        else:
            self.target.transport.write(data)

    def _pass_back(self, data: bytes) -> None:
        self.is_busy = False
        if self.mails:
            self.mails.replied(data)
        if self.client.transport is not None:
            self.client.transport.write(data)

    def unanswered(self) -> int:
        """Of a connection that is about to be cut and whose client stands still: the messages whose reply has not come.

        What the client wrote and nobody has read yet is counted, and goes no further.
        """
        if self.mails is None or self.client.transport is None or self.client.transport.is_closing():
            return 0
        descriptor = self.client.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as same, suppress(BlockingIOError, ConnectionError):
            while data := same.recv(_READ_BYTES, socket.MSG_DONTWAIT):
                self.mails.said(data)
        return self.mails.unanswered

    def pause(self, side: "_Side", *, paused: bool) -> None:
        """The other side is read from only as fast as this one takes it."""
        other = self.target if side is self.client else self.client
        if other.transport is not None and not other.transport.is_closing():
            (other.transport.pause_reading if paused else other.transport.resume_reading)()

    def ended(self, side: "_Side") -> None:
        self._proxy.links.discard(self)
        other = self.target if side is self.client else self.client
        if other.transport is not None:
            other.transport.close()

    def reset(self) -> None:
        """Both ends are told that the connection is gone, with whatever was on its way."""
        self._proxy.links.discard(self)
        for side in (self.client, self.target):
            if side.transport is not None:
                cut(side.transport)


class _Side(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            self._link.opened(self)

    def data_received(self, data: bytes) -> None:
        self._link.take(self, data)

    def pause_writing(self) -> None:
        self._link.pause(self, paused=True)

    def resume_writing(self) -> None:
        self._link.pause(self, paused=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._link.ended(self)

    def rest(self, seconds: float) -> None:
        """Reads nothing for so long."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


class ChaosProxy:
    """Listens on a free port of 127.0.0.1 inside its `async with`. Nothing is spoiled unless told.

    `is_slow`: at most a read each 0.1 s. `loses_replies`: what the target says reaches nobody. `commits_to_lose`: of so
    many transactions to come the COMMIT is passed on, and its reply dropped with the connection. `is_full`: a COMMIT is
    not passed on, and the server says instead what it says when its disk is full; the transaction is over.
    """

    def __init__(self, dial: Dial, *, carries_mail: bool = False) -> None:
        """`carries_mail`: by SMTP with CHUNKING, and its messages are counted."""
        self.links: set[Link] = set()
        self.carries_mail = carries_mail
        self.is_slow = False
        self.loses_replies = False
        self.commits_to_lose = 0
        self.is_full = False
        self._dial = dial
        self._dialling: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    def to_port(cls, port: int, *, carries_mail: bool = False) -> Self:
        """In front of a server on this machine."""
        return cls(
            lambda made: asyncio.get_running_loop().create_connection(made, "127.0.0.1", port),
            carries_mail=carries_mail,
        )

    @classmethod
    def to_socket(cls, path: str) -> Self:
        """In front of a server that listens on a UNIX socket."""
        return cls(lambda made: asyncio.get_running_loop().create_unix_connection(made, path))

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("Enter the proxy with `async with` first.")
        return self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Link(self).client, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    def begin(self, link: Link) -> None:
        """A client has connected."""
        self.links.add(link)
        dialling = asyncio.ensure_future(self._connect(link))
        self._dialling.add(dialling)
        dialling.add_done_callback(self._dialling.discard)

    def cut(self) -> int:
        """Resets every connection at once; returns how many there were."""
        links = list(self.links)
        for link in links:
            link.reset()
        return len(links)

    async def _connect(self, link: Link) -> None:
        try:
            await self._dial(lambda: link.target)
        except OSError:
            link.reset()
