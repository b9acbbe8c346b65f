"""JSON from strangers: what decoding it may cost, and where its limits lie."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from stentor.api.strict_json import DEPTH_MAX, decode
from stentor.audience.intake import ATTRIBUTES_DEPTH_MAX
from stentor.campaigns.context_schema import SCHEMA_DEPTH_MAX
from stentor.errors import Invalid
from stentor.triggers.context import CONTEXT_DEPTH_MAX

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


@pytest.mark.fault("S10")
@pytest.mark.parametrize("piece", [b'\\"', b"\\\\", b'"', b'"\\', b"a", b'"[', b"[]"])
def test_a_megabyte_of_anything_is_looked_through_once(piece: bytes):
    body = b"[" + BRACKETS + b'"' + piece * (1_000_000 // len(piece))

    with at_most_cpu_s(2), pytest.raises(Invalid):
        decode(body, ANYTHING)


@pytest.mark.parametrize("levels", [CONTEXT_DEPTH_MAX, ATTRIBUTES_DEPTH_MAX, SCHEMA_DEPTH_MAX + 1])
def test_whatever_may_be_deep_may_stand_in_a_body_as_deep_as_that(levels: int):
    inner = b'{"in":' * levels + b"1" + b"}" * levels

    assert decode(b'{"one":[{"value":' + inner + b"}]}", ANYTHING)


@pytest.mark.fault("S10")
def test_one_level_more_is_refused():
    assert decode(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, ANYTHING)
    with pytest.raises(Invalid, match="deeper than 72 levels"):
        decode(b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), ANYTHING)


@pytest.mark.parametrize("text", [b'"plain"', b'"]"', b'"\\"]"', b'""'])
def test_levels_are_counted_whatever_stands_between_them(text: bytes):
    def nested(levels: int) -> bytes:
        return (b'{"a":' + text + b',"b":') * levels + b"1" + b"}" * levels

    assert decode(nested(DEPTH_MAX), ANYTHING)
    with pytest.raises(Invalid, match="deeper than 72 levels"):
        decode(nested(DEPTH_MAX + 1), ANYTHING)


def test_brackets_in_texts_are_no_levels():
    text = b'"[{\\"[\\\\"'

    assert decode(b"[" + b",".join([text] * DEPTH_MAX) + b"]", ANYTHING) == ['[{"[\\'] * DEPTH_MAX


@pytest.mark.fault("S10", "S12")
@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" * 5000])
def test_a_number_that_nothing_could_hold_is_refused(number: bytes):
    with pytest.raises(Invalid, match="out of range"):
        decode(b'{"n":' + number + b"}", ANYTHING)


def test_a_whole_number_keeps_its_digits():
    assert decode(b"123456789012345678901234567890", ANYTHING) == 123456789012345678901234567890


def test_brackets_in_strings_are_not_nesting():
    text = '[{"' * DEPTH_MAX + "\\"

    assert decode(msgspec.json.encode([text]), ANYTHING) == [text]
