"""What servers have in common that take messages for a test, whatever they speak: how they misbehave, and how they are run."""

import asyncio
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum, unique
from types import TracebackType
from typing import Self

STOP_S = 10.0

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@unique
class Then(StrEnum):
    """What follows an answer: the next request, an orderly close, a cut, or silence for ever."""

    GO_ON = "go_on"
    CLOSE = "close"
    CUT = "cut"
    HANG = "hang"


class Gate:
    """Where answers are held until all are let through; `holding` counts those that wait."""

    def __init__(self) -> None:
        self.holding = 0
        self._released = asyncio.Event()

    async def hold(self) -> None:
        """Comes back after `release`."""
        self.holding += 1
        await self._released.wait()
        self.holding -= 1

    def release(self) -> None:
        """Every answer that is held, or would be, is given."""
        self._released.set()


def cut(transport: asyncio.Transport | asyncio.WriteTransport) -> None:
    """Resets the connection, whatever of it has not been sent or read."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
    transport.abort()


def port_of(server: asyncio.Server | None) -> int:
    """Where it listens. Raises RuntimeError before it was entered."""
    if server is None:
        raise RuntimeError("Enter the server with `async with` first.")
    return server.sockets[0].getsockname()[1]


class SinkModule:
    """A module of ours as a process for the length of a `with`; `port` is where it listens, as it says in its first line."""

    def __init__(self, module: str, arguments: Sequence[str], *, stop_s: float = STOP_S) -> None:
        """It is given `stop_s` to end when it is told to."""
        self.port = 0
        self._stop_s = stop_s
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
        if self._process.stdout is not None:
            self.port = json.loads(self._process.stdout.readline())["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> dict[str, int]:
        """Ends the sink; what it counted: `messages` and `bytes`. Empty when it had ended before."""
        if self._process is None:
            return {}
        process, self._process = self._process, None
        process.terminate()
        said, _ = process.communicate(timeout=self._stop_s)
        return json.loads(said)

    def signal(self, number: int) -> None:
        """Sends it a signal. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("The sink is not running.")
        self._process.send_signal(number)
