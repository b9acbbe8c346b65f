"""Which schemas of a context are accepted, and what a call that breaks one is told."""

from typing import Any

import pytest

from stentor.campaigns.context_schema import ContextSchema
from stentor.errors import Invalid

MATCH = {
    "type": "object",
    "properties": {
        "match_name": {"type": "string"},
        "kickoff": {"type": "string", "format": "date-time"},
        "odds": {"type": "array", "items": {"type": "number"}},
    },
    "required": ["match_name"],
    "additionalProperties": False,
}


def _pointers(schema: dict[str, Any], context: dict[str, Any]) -> list[str]:
    return [violation.pointer for violation in ContextSchema(schema).violations(context)]


def _refusal(schema: dict[str, Any]) -> Invalid:
    with pytest.raises(Invalid) as caught:
        ContextSchema(schema)
    return caught.value


def test_a_context_that_fits_has_no_violations():
    assert ContextSchema(MATCH).violations({"match_name": "A vs B", "odds": [1.5, 2]}) == []


def test_a_missing_field_is_named_itself():
    assert _pointers(MATCH, {}) == ["/context/match_name"]


def test_a_surplus_field_is_named_itself():
    assert _pointers(MATCH, {"match_name": "A vs B", "a/b": 1}) == ["/context/a~1b"]


def test_a_wrong_element_is_named_with_its_index():
    [violation] = ContextSchema(MATCH).violations({"match_name": "A vs B", "odds": [1, "two"]})

    assert violation.pointer == "/context/odds/1"
    assert violation.message == 'odds.1: "two" is not of type "number"'


def test_formats_are_checked():
    assert _pointers(MATCH, {"match_name": "A vs B", "kickoff": "tonight"}) == ["/context/kickoff"]


def test_a_hundred_wrong_fields_are_told_as_twenty():
    schema = {"type": "object", "required": [f"field_{number}" for number in range(100)]}

    assert len(_pointers(schema, {})) == 20


def test_a_long_value_does_not_make_a_long_message():
    [violation] = ContextSchema(MATCH).violations({"match_name": ["x" * 100_000]})

    assert len(violation.message) <= 300


def test_what_is_no_schema_is_refused_at_its_place():
    problem = _refusal({"properties": {"a": {"type": "strin"}}})

    assert problem.violations[0].pointer == "/context_schema/properties/a/type"


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "("])
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str):
    problem = _refusal({"properties": {"a": {"pattern": pattern}}})

    assert problem.violations[0].pointer == "/context_schema/properties/a/pattern"


def test_a_schema_of_another_draft_is_refused():
    assert (
        _refusal({"$schema": "http://json-schema.org/draft-07/schema#"}).violations[0].pointer
        == "/context_schema/$schema"
    )


def test_the_dialect_may_be_said():
    ContextSchema({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://shop.example/match"})


@pytest.mark.parametrize(
    "reference",
    ["https://example.org/schema", "http://169.254.169.254/latest", "#/$defs/none", "#anchor", "file:///etc/passwd"],
)
def test_a_reference_out_of_the_schema_is_refused(reference: str):
    problem = _refusal({"properties": {"a": {"$ref": reference}}})

    assert problem.violations[0].pointer == "/context_schema/properties/a/$ref"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$dynamicRef": "#node"},
        {"properties": {"a": {"$id": "https://other.example/a", "$ref": "#"}}},
    ],
)
def test_a_schema_that_refers_to_itself_is_refused(schema: dict[str, Any]):
    assert _refusal(schema).violations[0].code == "invalid-schema"


def test_references_that_double_at_every_level_are_refused():
    levels = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(20)}

    problem = _refusal({"$ref": "#/$defs/d0", "$defs": levels | {"d20": {"type": "object"}}})

    assert "more than 10000 parts" in problem.detail


def test_a_deep_schema_is_refused():
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"not": schema}

    assert _refusal(schema).violations[0].code == "invalid-schema"


def test_a_large_schema_is_refused():
    assert "at most 65536" in _refusal({"description": "x" * 70_000}).detail


def test_a_nul_in_a_schema_is_refused_because_it_cannot_be_stored():
    assert "NUL" in _refusal({"properties": {"a\x00": {"type": "string"}}}).detail
