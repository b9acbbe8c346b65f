"""SMTP on this machine: a channel to a local port, and the sink as a process of its own with its index read back."""

import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stentor.channels.smtp.sender import SmtpChannel
from stentor.channels.smtp.settings import Security, SmtpSettings
from stentor.testing.far_side import SinkModule
from stentor.testing.smtp_sink import STORE_BYTES_MAX


def local_settings(port: int, **changes: Any) -> SmtpSettings:
    """Settings for a server on 127.0.0.1 without TLS; `changes` override any of them."""
    usual: dict[str, Any] = {"host": "127.0.0.1", "security": Security.NONE, "envelope_from": "bounce@example.com"}
    return SmtpSettings(**(usual | {"port": port} | changes))


@asynccontextmanager
async def local_channel(port: int, **changes: Any) -> AsyncIterator[SmtpChannel]:
    """A channel with `local_settings`, closed at the end."""
    channel = SmtpChannel(local_settings(port, **changes))
    try:
        yield channel
    finally:
        await channel.aclose()


class Stored(msgspec.Struct, frozen=True):
    """One message in the sink's store: when it was taken (monotonic), where its bytes lie, whose it is."""

    at_ns: int
    offset: int
    size: int
    message_id: str
    recipient: str


class SinkProcess(SinkModule):
    """`python -m stentor.testing.smtp_sink` for the length of a `with`; `port` is where it listens."""

    def __init__(
        self, store: Path | None = None, *, without: Iterable[str] = (), store_bytes_max: int = STORE_BYTES_MAX
    ) -> None:
        stored = ["--store", str(store)] if store else []
        limits = ["--without", ",".join(without), "--store-bytes-max", str(store_bytes_max)]
        super().__init__("stentor.testing.smtp_sink", ["--json", *limits, *stored])
        self._store = store

    def defer(self, *, now: bool) -> None:
        """From now on every message is answered with 451, or is taken again."""
        self.signal(signal.SIGUSR1 if now else signal.SIGUSR2)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Inside, the sink answers nobody and closes nothing, like a relay whose machine hangs; afterwards it goes on."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def stored(self) -> Iterator[Stored]:
        """The messages stored so far, in the order of their acceptance."""
        if self._store is None:
            return
        with self._store.with_name(self._store.name + ".index").open(encoding="utf-8") as index:
            for line in index:
                at_ns, offset, size, message_id, recipient = line.rstrip("\n").split(" ", 4)
                yield Stored(int(at_ns), int(offset), int(size), message_id, recipient)

    def body(self, stored: Stored) -> bytes:
        """A stored message's bytes."""
        if self._store is None:
            raise ValueError("This sink was started without a store.")
        with self._store.open("rb") as bodies:
            bodies.seek(stored.offset)
            return bodies.read(stored.size)
