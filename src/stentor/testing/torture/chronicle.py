"""What the workload's clients and the nemesis saw and did, one JSON object a line, written before anybody relies on it."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Chronicle:
    """Appends to a file that outlives every process of a run.

    Each note has `at_ns`, the monotonic clock that ledgers use too, and `at_s`, seconds since the epoch as the database has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, what: str, **facts: Any) -> None:
        """What happened just now. One write, so that a killed writer leaves a whole line or none."""
        line = {"what": what, "at_ns": time.monotonic_ns(), "at_s": time.time(), **facts}
        self._file.write(json.dumps(line) + "\n")

    def people(self, topic: str, people: list[str]) -> None:
        """These people, by external id, opted in to the topic; their addresses are `external_id@example.com`.

        Of messages to named recipients, the event generator stands for the topic, and a bare address goes by its local part.
        """
        self.note("people", topic=topic, people=people)

    def called(self, key: str, topic: str) -> None:
        """An execution for the topic is about to be asked for, under that idempotency key."""
        self.note("called", key=key, topic=topic)

    def accepted(self, key: str, topic: str, execution: str) -> None:
        """The call was acknowledged."""
        self.note("accepted", key=key, topic=topic, execution=execution)

    def leaving(self, person: str, topic: str) -> None:
        """Somebody is about to opt out of the topic."""
        self.note("leaving", person=person, topic=topic)

    def left(self, person: str, topic: str) -> None:
        """The opt-out was acknowledged."""
        self.note("left", person=person, topic=topic)

    def fault(self, kind: str, *, kills: int = 0, on_wire: int = 0, allows: int = 0, repeats: int = 0) -> None:
        """The nemesis struck.

        `kills` processes died, `on_wire` of them with bytes on the wire. At most `allows` mails may be in doubt for it, and
        `repeats` webhooks, which are sent again.
        """
        self.note("fault", kind=kind, kills=kills, on_wire=on_wire, allows=allows, repeats=repeats)
