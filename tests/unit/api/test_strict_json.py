"""JSON from strangers: what decoding it may cost, and where its limits lie."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from stentor.api.strict_json import DEPTH_MAX, decode
from stentor.errors import Invalid

ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

# Enough of them that the nesting is looked at with care.
BRACKETS = b"[]," * (DEPTH_MAX + 1)


@contextmanager
def at_most_cpu_s(seconds: float) -> Iterator[None]:
    """Fails when the block has used more of the processor, however busy the machine is."""

    def fail(*_: object) -> None:
        pytest.fail(f"more than {seconds} s of the processor's time were used")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("piece", [b'\\"', b"\\\\", b'"', b'"\\', b"a", b'"[', b"[]"])
def test_a_megabyte_of_anything_is_looked_through_once(piece: bytes):
    body = b"[" + BRACKETS + b'"' + piece * (1_000_000 // len(piece))

    with at_most_cpu_s(2), pytest.raises(Invalid):
        decode(body, ANYTHING)


def test_brackets_in_strings_are_not_nesting():
    text = '[{"' * DEPTH_MAX + "\\"

    assert decode(msgspec.json.encode([text]), ANYTHING) == [text]
