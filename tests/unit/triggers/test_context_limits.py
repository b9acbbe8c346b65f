from typing import Any

import msgspec
import pytest

from stentor.errors import Invalid
from stentor.triggers.context import CONTEXT_BYTES_MAX, CONTEXT_DEPTH_MAX, CONTEXT_KEYS_MAX, checked_context


def nested(levels: int) -> dict[str, Any]:
    """A context that is that many objects deep."""
    return {"in": nested(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"match_id": "m-1", "score": [1, 0], "odds": 1.5, "live": True, "venue": None},
        nested(CONTEXT_DEPTH_MAX),
        {str(number): number for number in range(CONTEXT_KEYS_MAX)},
        {"text": "x" * (CONTEXT_BYTES_MAX - len('{"text":""}'))},
        {"least": -(2**63), "most": 2**63 - 1},
        {"text": "a backslash and u0000: \\u0000, and many brackets " + "[{" * 100, "colons": ":" * 2000},
        {"telephone": "0049301234567890123456789"},
    ],
)
def test_what_is_within_the_limits_is_stored_as_it_came(context: dict[str, Any]):
    assert msgspec.json.decode(checked_context(context)) == context


@pytest.mark.parametrize(
    ("context", "pointer", "code"),
    [
        (nested(CONTEXT_DEPTH_MAX + 1), "/context" + "/in" * (CONTEXT_DEPTH_MAX - 1), "too-deep"),
        ({"deep": [[[[]]]] * 9 + [nested(40)]}, "/context/deep/9" + "/in" * 29, "too-deep"),
        ({"a": {str(number): number for number in range(CONTEXT_KEYS_MAX)}}, "/context", "too-many-keys"),
        ({"text": "x" * CONTEXT_BYTES_MAX}, "/context", "too-large"),
        ({"a": [{"b/c": 2**63}]}, "/context/a/0/b~1c", "number-too-large"),
        ({"a": -(2**63) - 1}, "/context/a", "number-too-large"),
        ({"a": ["b", "c\x00d"]}, "/context/a/1", "nul-character"),
        ({"a": {"b\x00c": 1}}, "/context/a", "nul-character"),
        ({"a": "\ud800"}, "/context", "not-json"),
    ],
)
def test_what_passes_a_limit_is_refused_by_its_place(context: dict[str, Any], pointer: str, code: str):
    with pytest.raises(Invalid) as caught:
        checked_context(context)

    assert [(violation.pointer, violation.code) for violation in caught.value.violations] == [(pointer, code)]
