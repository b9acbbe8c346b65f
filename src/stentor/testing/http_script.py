"""What a fake HTTP provider is to do wrong, and its record of what it was sent and what it took."""

import json
import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from enum import StrEnum, unique
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from stentor.testing.far_side import Gate, Then
from stentor.testing.smtp_sink import Store

REQUESTS_KEPT_MAX = 10_000


@unique
class Moment(StrEnum):
    """When a fault can strike: when somebody connects, in the midst of a request's body, or instead of the usual answer."""

    CONNECT = "connect"
    BODY = "body"
    ANSWER = "answer"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Strikes at `at`, only requests in whose body the pattern `to` is found, `times` times (0: always).

    `status`, `headers` and `body` make the answer; `raw` replaces all of it (Latin-1, so that any byte can be said), and
    nothing is said where `then` is not to go on. `body_bytes`: a body of so many bytes instead, -1 is one without an end.
    `takes`: whether the request's messages are taken; what is answered with 2xx is, unless said. `after_s` delays the
    answer, `held` does so until `Record.release`, `byte_s` is the pause between its bytes. `alone`: of a batch it means the
    messages in which `to` is found, and the answer is 207 with their results.
    """

    at: Moment = Moment.ANSWER
    to: str = ""
    status: int = 200
    headers: Mapping[str, str] = {}
    body: str = ""
    body_bytes: int = 0
    raw: str = ""
    then: Then = Then.GO_ON
    takes: bool | None = None
    held: bool = False
    after_s: float = 0.0
    byte_s: float = 0.0
    times: int = 0
    alone: bool = False

    @property
    def is_taking(self) -> bool:
        return 200 <= self.status < 300 and not self.raw if self.takes is None else self.takes

    def answer(self) -> bytes:
        """The bytes of the answer, apart from a long body."""
        if self.raw:
            return self.raw.encode("latin-1")
        if self.then is not Then.GO_ON:
            return b""
        length = self.body_bytes or len(self.body)
        told = {"Content-Length": str(length)} if length >= 0 else {"Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in {**told, **self.headers}.items()]
        return "\r\n".join([*lines, "", self.body]).encode("latin-1")


USUAL = Fault()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unheard Of"


class Request(msgspec.Struct, frozen=True):
    """A request as it came, with the monotonic time; the names of headers are in lower case."""

    at_ns: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def entries(self) -> "list[Entry]":
        """Its messages: one, or those of a batch."""
        if self.body.startswith(b"["):
            return [Entry(one.id, bytes(one.data)) for one in _BATCH.decode(self.body)]
        return [Entry(self.headers.get("webhook-id", ""), self.body)]


class Entry(NamedTuple):
    """One message of a request: its send's id, and the JSON as it was rendered."""

    send_id: str
    raw: bytes

    @property
    def recipient(self) -> str:
        """Whom it is for: the `to` of its JSON."""
        return _ADDRESSED.decode(self.raw).to


class _InBatch(msgspec.Struct):
    id: str
    data: msgspec.Raw


class _Addressed(msgspec.Struct):
    to: str = ""


# The sink shares the machine with what it measures: what is not looked at is not made into objects.
_BATCH = msgspec.json.Decoder(list[_InBatch])
_ADDRESSED = msgspec.json.Decoder(_Addressed)


class Record(Gate):
    """Shared by all connections of a provider: which faults have struck, and what came of every request.

    `octets` counts what was received, of requests that never became whole too.
    """

    def __init__(self, faults: Iterable[Fault] = (), store: Store | None = None) -> None:
        super().__init__()
        self.faults = list(faults)
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT_MAX)
        self.taken: deque[Entry] = deque(maxlen=REQUESTS_KEPT_MAX)
        self.connections = 0
        self.octets = 0
        self._store = store or Store(None)
        self._struck: Counter[int] = Counter()
        self._taken_amiss = 0

    @property
    def recipients(self) -> list[str]:
        """Who got a message, in the order of the ledger."""
        return [taken.recipient for taken in self.taken]

    def set_faults(self, faults: Iterable[Fault]) -> int:
        """From now on these and no others; how many messages were taken of requests that those before struck."""
        taken, self._taken_amiss = self._taken_amiss, 0
        self.faults = list(faults)
        self._struck.clear()
        return taken

    def answer_to(self, request: Request) -> Fault:
        """How the request is answered; what is taken of it is in the ledger by then."""
        entries = request.entries
        refused: dict[str, Fault] = {}
        if len(entries) > 1 and any(fault.alone for fault in self.faults):
            apart = ((entry, self.strike(Moment.ANSWER, entry.raw, alone=True)) for entry in entries)
            refused = {entry.send_id: fault for entry, fault in apart if fault}
        fault = self.strike(Moment.ANSWER, request.body, alone=None if len(entries) == 1 else False) or USUAL
        if fault.is_taking:
            taken = [entry for entry in entries if entry.send_id not in refused]
            self._take(taken)
            self._taken_amiss += 0 if fault is USUAL else len(taken)
        if not refused or fault is not USUAL:
            return fault
        results = [{"id": name, "status": fault.status, "error": fault.body} for name, fault in refused.items()]
        return Fault(status=207, headers={"Content-Type": "application/json"}, body=json.dumps({"results": results}))

    def strike(self, at: Moment, body: bytes, *, alone: bool | None = None) -> Fault | None:
        """The first fault that is meant here, and counts it; `alone`: of these only, or of the others."""
        for number, fault in enumerate(self.faults):
            meant = fault.at is at and alone in {None, fault.alone} and re.search(fault.to.encode(), body)
            if meant and (not fault.times or self._struck[number] < fault.times):
                self._struck[number] += 1
                return fault
        return None

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.taken.append(entry)
            self._store.add(entry.recipient.encode() or b"-", entry.raw, time.monotonic_ns(), entry.send_id.encode())
        self._store.flush()

    @property
    def counts(self) -> dict[str, int]:
        """How much was taken."""
        return {"messages": self._store.messages, "bytes": self._store.bytes}
