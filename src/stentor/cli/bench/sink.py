"""The mail server of the benches, which afterwards must hold exactly what was said to be handed over."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stentor.cli.output import fail
from stentor.testing.smtp_local import SinkProcess

# Two blasts of a million people and the alerts beside them; a full store refuses, and everything waits.
_STORE_BYTES_MAX = 32 * 1024**3


class CheckedSink:
    """A sink that parses and stores every message, in a process of its own."""

    def __init__(self, sink: SinkProcess) -> None:
        self._sink = sink

    @property
    def port(self) -> int:
        """Where it listens, on this machine alone."""
        return self._sink.port

    def check(self, messages: int) -> None:
        """Ends the command unless it stored that many messages, each with an id of its own."""
        ids = [stored.message_id for stored in self._sink.stored()]
        if len(ids) != messages or len(set(ids)) != messages:
            fail(f"{messages} messages were handed over; the sink has {len(ids)}, {len(set(ids))} of them different.")


@contextmanager
def checked_sink() -> Iterator[CheckedSink]:
    """A sink for the length of the block; what it stored is gone after it."""
    with (
        tempfile.TemporaryDirectory(prefix="stentor-sink-") as folder,
        SinkProcess(Path(folder) / "mail", store_bytes_max=_STORE_BYTES_MAX) as sink,
    ):
        yield CheckedSink(sink)
