"""What a scripted SMTP server is to do wrong, and its record of what it heard and took."""

import json
import re
import time
from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum, unique
from pathlib import Path

import msgspec

from stentor.testing.far_side import Gate, Then

HEARD_MAX = 10_000

EXTENSIONS = frozenset({"PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE 67108864"})


@unique
class At(StrEnum):
    """The moments at which a fault can strike; BODY is in the midst of it, FINAL is the reply after it."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    FINAL = "final"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Strikes at `at`; only for recipients that the pattern `to` finds (known from RCPT on), only in the `nth` message.

    `say` replaces the usual reply: Latin-1, so that any byte can be said, CRLF between its lines and none at the end.
    Left empty, the usual reply is given when the dialogue goes on, and none when it does not. `takes`: at FINAL, the
    message is taken all the same. `after_s` delays the reply, `held` does so until `Record.release`, `byte_s` is the pause
    between its bytes; `times` 0 is always.
    """

    at: At
    say: str = ""
    then: Then = Then.GO_ON
    to: str = ""
    nth: int = 0
    times: int = 0
    takes: bool = False
    held: bool = False
    after_s: float = 0.0
    byte_s: float = 0.0


class Taken(msgspec.Struct, frozen=True):
    """A message that the server accepted, with the monotonic time."""

    at_ns: int
    sender: str
    recipient: str
    body: bytes


class Record(Gate):
    """Shared by all connections of a server: which faults have struck, and what came of every message.

    `strays` are bodies that were written although no recipient stood; a
    client must never write one. `improper` counts commands that came before the reply to the one before, from a client that
    was not offered PIPELINING.
    """

    def __init__(self, faults: Iterable[Fault], ledger_file: Path | None = None) -> None:
        super().__init__()
        self.ledger: list[Taken] = []
        self.heard: deque[str] = deque(maxlen=HEARD_MAX)
        self.strays: list[bytes] = []
        self.connections = 0
        self.messages = 0
        self.improper = 0
        self.faults = list(faults)
        self._struck: Counter[int] = Counter()
        self._file = ledger_file.open("a", encoding="utf-8") if ledger_file else None

    @property
    def recipients(self) -> list[str]:
        """Who got a message, in the order of the ledger."""
        return [taken.recipient for taken in self.ledger]

    def strike(self, at: At, recipient: str) -> Fault | None:
        """The first fault that is meant here, and counts it."""
        for number, fault in enumerate(self.faults):
            meant = fault.at is at and fault.nth in {0, self.messages} and re.search(fault.to, recipient)
            if meant and (not fault.times or self._struck[number] < fault.times):
                self._struck[number] += 1
                return fault
        return None

    def take(self, sender: str, recipients: Iterable[str], body: bytes) -> None:
        """Into the ledger, and its file, before the reply is given."""
        for recipient in recipients:
            taken = Taken(time.monotonic_ns(), sender, recipient, body)
            self.ledger.append(taken)
            if self._file:
                facts = {"at_ns": taken.at_ns, "sender": sender, "recipient": recipient, "body": body.decode("latin-1")}
                self._file.write(json.dumps(facts) + "\n")
                self._file.flush()

    def close(self) -> None:
        if self._file:
            self._file.close()
