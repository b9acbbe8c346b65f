"""How the reference says what may be sent."""

import pytest

from stentor.api.docs.pages import type_of


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100}, "integer, 1 to 100"),
        ({"type": "integer", "minimum": 0}, "integer, at least 0"),
        ({"type": "string", "minLength": 1, "maxLength": 255}, "string, 1 to 255 characters"),
        (
            {"type": "string", "maxLength": 9, "pattern": "<+"},
            "string, at most 9 characters, pattern <code>&lt;+</code>",
        ),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 9}, "array of string, at most 9 items"),
        ({"type": "string", "format": "uuid"}, "uuid"),
        ({}, "any JSON"),
    ],
)
def test_a_type_is_told_with_its_limits(schema: dict[str, object], words: str):
    assert type_of(schema) == words
