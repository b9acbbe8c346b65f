"""The processes that are tortured: started, watched, started again when they die, and known by role."""

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeAlias

from stentor.cli.processes import role_child
from stentor.clock import boottime_s
from stentor.db.kernel import end_with_parent
from stentor.settings import Settings
from stentor.testing.torture.wrong_clock import WrongClock

Role: TypeAlias = Literal["api", "worker"]

_RESTART_S = 0.2
_STANDING_WITHIN_S = 1.0
_STOP_S = 40.0  # a worker's thirty seconds and a little


class Cast:
    """One API and some workers, as a service manager keeps them: whoever dies is replaced at once.

    Each goes by a clock of its own, a file beside the log, and so does whoever replaces it.
    """

    def __init__(self, settings: Settings, *, workers: int, log: Path) -> None:
        self._settings = settings
        self._roles: list[Role] = ["api", *(["worker"] * workers)]
        self._log = log
        self.clocks = [WrongClock(log.with_name(f"clock-{number}")) for number in range(1 + workers)]
        self._playing: dict[int, Role] = {}
        self._actors: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._actors = [
            asyncio.create_task(self._play(role, clock)) for role, clock in zip(self._roles, self.clocks, strict=True)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self.signal(signal.SIGCONT, self._playing)
        self.signal(signal.SIGTERM, self._playing)
        _, late = await asyncio.wait(self._actors, timeout=_STOP_S)
        self.signal(signal.SIGKILL, self._playing)
        if late:
            await asyncio.wait(late)

    def pids(self, *roles: Role) -> list[int]:
        """The processes that run now in those roles."""
        return [pid for pid, role in self._playing.items() if role in roles]

    def signal(self, number: signal.Signals, pids: Iterable[int]) -> None:
        """Sends it to those of them that still run."""
        for pid in pids:
            # It may have ended a moment ago, and nobody else can have its number before it was waited for.
            with suppress(ProcessLookupError):
                if pid in self._playing:
                    os.kill(pid, number)

    def stop(self, pids: Iterable[int]) -> None:
        """They stand still where they are, when this comes back."""
        stopped = list(pids)
        self.signal(signal.SIGSTOP, stopped)
        give_up_at_s = boottime_s() + _STANDING_WITHIN_S
        while boottime_s() < give_up_at_s and any(state_of(pid) not in {"T", "Z", ""} for pid in stopped):
            continue

    async def _play(self, role: Role, clock: WrongClock) -> None:
        child = role_child(role, self._settings)
        while not self._is_over:
            process = await self._started(child.command, {**child.environment, **clock.environment})
            self._playing[process.pid] = role
            await process.wait()
            del self._playing[process.pid]
            if not self._is_over:
                await asyncio.sleep(_RESTART_S)

    async def _started(self, command: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                stderr=log,
                process_group=0,
                preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGKILL),
            )


class _Connection(NamedTuple):
    local_port: int
    remote_port: int
    has_unread: bool


def local_ports(pid: int) -> set[int]:
    """The local ports of a process's TCP connections; none when it is gone."""
    return {connection.local_port for connection in _connections(pid)}


def unread_ports(pid: int) -> set[int]:
    """Those of them on which there is something that the process has not read yet."""
    return {connection.local_port for connection in _connections(pid) if connection.has_unread}


def connections_to(pid: int, port: int) -> int:
    """How many TCP connections a process has to that port of this machine; none when it is gone."""
    return sum(connection.remote_port == port for connection in _connections(pid))


def state_of(pid: int | None) -> str:
    """A process's state as the system has it: `T` where it stands still, `Z` at its end, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _connections(pid: int) -> list[_Connection]:
    sockets: set[str] = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[len("socket:[") : -1])
        lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return []
    fields = [line.split() for line in lines]
    return [
        _Connection(_last(field[1]), _last(field[2]), _last(field[4]) > 0) for field in fields if field[9] in sockets
    ]


def _last(numbers: str) -> int:
    """Of an address its port, of a pair of queues the one of what was received."""
    return int(numbers.rpartition(":")[2], 16)
