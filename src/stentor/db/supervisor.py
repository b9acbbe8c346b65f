"""The process that keeps the embedded PostgreSQL running while any process of ours uses it.

The first user starts it; it goes into the background and outlives that one. Its lifetime is its users', so it leaves
alone the signals by which a terminal, a service manager or a shutdown end whole groups of processes: those processes
still have work to hand back to the database.
"""

import argparse
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from stentor.db.home import ENVIRONMENT, Account, Home
from stentor.db.kernel import adopt_orphans, end_with_parent
from stentor.db.locks import try_exclusive
from stentor.db.postmaster import discard_strangers_pid_file, read_postmaster

# What may not be changed by ALTER SYSTEM: an acknowledged commit is on disk, and nobody reaches the server but by socket.
_FIXED_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # After a failed fsync nobody knows what is on disk: the server has to stop and replay.
    "data_sync_retry": "off",
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
}

_LEFT_ALONE = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}

# How often the users' lock is tried: how long PostgreSQL runs after its last user at most.
_LOOK_EVERY_S = 0.1
_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.1, 5.0
# A server that ran this long did not fail at starting, so its next start is immediate again.
_STEADY_AFTER_S = 10.0
# Starts in a row that end before the server was ready once, after which there is no sense in going on.
_HOPELESS_AFTER = 3


class Supervisor:
    """Starts PostgreSQL again whenever it ends, until nobody uses it."""

    def __init__(self, home: Home, *, postgres: str, sockets: Path, account: Account) -> None:
        self._home = home
        self._account = account
        self._sockets = sockets
        settings = _FIXED_SETTINGS | {"config_file": str(home.config), "unix_socket_directories": str(sockets)}
        self._command = [postgres, "-D", str(home.cluster), *(f"--{name}={value}" for name, value in settings.items())]
        self._users_lock: int | None = None
        self._was_ready = False

    def run(self) -> int:
        """Returns 0 when nobody uses the server any more, and 1 when it cannot be started."""
        self._outlast_predecessor()
        failures = 0
        while self._is_used() and (self._was_ready or failures < _HOPELESS_AFTER):
            if failures > 1:
                self._pause(min(_PAUSE_FIRST_S * 2**failures, _PAUSE_MAX_S))
            discard_strangers_pid_file(self._home)
            started = time.monotonic()
            self._attend(self._start())
            failures = 0 if time.monotonic() - started > _STEADY_AFTER_S else failures + 1
        with suppress(OSError):
            # Left behind when something else lies in it, or when a postmaster that did not stop cleanly left its socket.
            self._sockets.rmdir()
        return 1 if self._is_used() else 0

    def _is_used(self) -> bool:
        # Once taken the lock stays ours, so that no new user comes while the server stops.
        if self._users_lock is None:
            self._users_lock = try_exclusive(self._home.users_lock)
        return self._users_lock is None

    def _outlast_predecessor(self) -> None:
        """Adopts a server whose supervisor was killed: it serves, or is stopping, until it ends or is not needed."""
        postmaster = read_postmaster(self._home)
        if postmaster is None:
            return
        try:
            descriptor = os.pidfd_open(postmaster.pid)
        except ProcessLookupError:
            return
        told = False
        while not select.select([descriptor], [], [], _LOOK_EVERY_S)[0]:
            if not told and not self._is_used():
                signal.pidfd_send_signal(descriptor, signal.SIGINT)
                told = True
        os.close(descriptor)

    def _start(self) -> int:
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                self._become_postgres(supervisor)
            finally:
                os._exit(127)
        return child

    def _become_postgres(self, supervisor: int) -> None:
        os.setsid()
        if not self._account.is_ours:
            os.setgroups([])
            os.setgid(self._account.gid)
            os.setuid(self._account.uid)
        # After the change of the account, which would clear it.
        if not end_with_parent(supervisor, signal.SIGINT):
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.chdir("/")
        try:
            os.execve(self._command[0], self._command, ENVIRONMENT)  # noqa: S606 - our own program
        except OSError as error:
            os.write(sys.stderr.fileno(), f"{self._command[0]}: {error.strerror}\n".encode())

    def _attend(self, postgres: int) -> None:
        """Returns when the server has ended, which it is told to when nobody uses it any more."""
        told = False
        while not _has_ended(postgres):
            if not self._was_ready and (postmaster := read_postmaster(self._home)):
                self._was_ready = postmaster.ready
            if not told and not self._is_used():
                os.kill(postgres, signal.SIGINT)
                told = True
            signal.sigtimedwait([signal.SIGCHLD], _LOOK_EVERY_S)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._is_used() and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)


def _has_ended(child: int) -> bool:
    # We are also the parent of backends that outlive a killed server; whoever is waited for here is gone for good.
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if ended == 0:
            return False
        if ended == child:
            _say(f"PostgreSQL {child} ended: {os.waitstatus_to_exitcode(status)}")
            return True


def _say(sentence: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sentence}\n")
    sys.stderr.flush()


def main() -> None:
    """Goes into the background with the supervisor's lock, which it inherits as an open descriptor from its starter."""
    parser = argparse.ArgumentParser(prog="python -m stentor.db.supervisor", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    given = parser.parse_args()
    if os.fork():
        # The starter waits for this process alone and is not the parent of the one that stays.
        os._exit(0)
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_ALONE | {signal.SIGCHLD})
    supervisor = Supervisor(
        Home(given.data), postgres=given.postgres, sockets=given.sockets, account=Account(given.uid, given.gid)
    )
    sys.exit(supervisor.run())


if __name__ == "__main__":
    main()
