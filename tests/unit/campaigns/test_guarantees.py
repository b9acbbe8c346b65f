"""What a schema promises about a path: the half of the publishing rule that reads the schema."""

from collections.abc import Sequence
from typing import Any

import pytest

from stentor.campaigns.guarantees import Guarantees

STRING = {"type": "string"}
NULLABLE = {"type": ["string", "null"]}


def _object(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _gap(schema: dict[str, Any], *path: str | int | None) -> str | None:
    return Guarantees(schema).gap(path)


def test_a_required_string_is_always_there():
    assert _gap(_object(["a"], a=STRING), "a") is None


def test_a_field_that_is_not_required_may_be_missing():
    assert _gap(_object(a=STRING), "a") == "context.a is not required"


def test_a_field_that_the_schema_does_not_know_may_be_missing():
    assert _gap(_object(a=STRING), "b") == "the schema has no context.b"


@pytest.mark.parametrize("schema", [NULLABLE, {"type": "null"}, {}, True, {"enum": ["a", None]}, {"const": None}])
def test_a_required_field_may_still_be_null(schema: Any):
    assert _gap(_object(["a"], a=schema), "a") == "context.a may be null"


@pytest.mark.parametrize(
    "schema", [{"type": ["string", "integer"]}, {"enum": ["a", 1]}, {"const": "a"}, {"not": {"type": "null"}}]
)
def test_a_required_field_that_cannot_be_null_is_always_there(schema: Any):
    assert _gap(_object(["a"], a=schema), "a") is None


def test_required_without_a_declaration_may_be_null():
    assert _gap({"required": ["a"]}, "a") == "context.a may be null"


def test_every_level_of_a_path_must_be_required():
    optional_match = _object(match=_object(["name"], name=STRING))
    optional_name = _object(["match"], match=_object(name=STRING))

    assert _gap(optional_match, "match", "name") == "context.match is not required"
    assert _gap(optional_name, "match", "name") == "context.match.name is not required"


def test_a_required_object_with_a_required_field_is_always_there():
    assert _gap(_object(["match"], match=_object(["name"], name=STRING)), "match", "name") is None


def test_what_need_not_be_an_object_may_lack_its_fields():
    untyped = {"properties": {"name": STRING}, "required": ["name"]}

    assert (
        _gap(_object(["match"], match=untyped), "match", "name") == "context.match may be something else than an object"
    )


def test_the_context_itself_is_an_object_also_when_the_schema_does_not_say_so():
    assert _gap({"properties": {"a": STRING}, "required": ["a"]}, "a") is None


def test_a_definition_is_followed():
    schema = {**_object(["a"], a={"$ref": "#/$defs/name"}), "$defs": {"name": STRING}}

    assert _gap(schema, "a") is None


def test_what_all_of_adds_counts():
    assert _gap({"allOf": [{"properties": {"a": STRING}}, {"required": ["a"]}]}, "a") is None


def test_a_choice_promises_what_all_its_branches_promise():
    both = {"oneOf": [_object(["a"], a=STRING), _object(["a"], a={"type": "integer"})]}
    one = {"anyOf": [_object(["a"], a=STRING), _object(["b"], b=STRING)]}

    assert _gap(both, "a") is None
    assert _gap(one, "a") == "the schema has no context.a"


def test_a_branch_is_read_together_with_what_stands_around_it():
    schema = {"properties": {"a": STRING}, "oneOf": [{"required": ["a"]}, {"required": ["a", "b"]}]}

    assert _gap(schema, "a") is None


def test_a_definition_that_is_a_choice_promises_likewise():
    name = {"anyOf": [STRING, {"type": "integer"}]}
    schema = {
        **_object(["a", "b"], a={"$ref": "#/$defs/name"}, b={"$ref": "#/$defs/any"}),
        "$defs": {"name": name, "any": {"anyOf": [STRING, NULLABLE]}},
    }

    assert _gap(schema, "a") is None
    assert _gap(schema, "b") == "context.b may be null"


def test_additional_properties_declare_the_other_fields():
    assert _gap({"required": ["a"], "additionalProperties": STRING}, "a") is None


def test_elements_of_a_required_list_are_always_there():
    schema = _object(["items"], items={"type": "array", "items": _object(["name"], name=STRING)})

    assert _gap(schema, "items", None, "name") is None
    assert _gap(schema, "items", None, "price") == "the schema has no context.items[].price"


def test_an_untyped_element_may_be_null():
    assert _gap(_object(["items"], items={"type": "array"}), "items", None) == "context.items[] may be null"


def test_an_element_by_number_needs_a_list_that_is_long_enough():
    short = _object(["items"], items={"type": "array", "items": STRING})
    long = _object(["items"], items={"type": "array", "items": STRING, "minItems": 2})

    assert "context.items[0] is missing from a shorter list" in str(_gap(short, "items", 0))
    assert _gap(long, "items", 1) is None
    assert _gap(long, "items", -2) is None
    assert _gap(long, "items", 2) is not None


def test_elements_of_a_tuple_have_their_own_schemas():
    pair = {"type": "array", "prefixItems": [STRING, NULLABLE], "minItems": 2}
    schema = _object(["pair"], pair=pair)

    assert _gap(schema, "pair", 0) is None
    assert _gap(schema, "pair", 1) == "context.pair[1] may be null"
    assert _gap(schema, "pair", None) == "context.pair[] may be null"


def test_what_is_no_list_has_no_elements():
    assert _gap(_object(["a"], a=STRING), "a", 0) == "context.a may be something else than a list"


def test_choices_that_multiply_are_given_up_instead_of_computed():
    leaf: dict[str, Any] = STRING
    for _ in range(12):
        leaf = {"type": "object", "anyOf": [_object(["a"], a=leaf)] * 10}

    gap = _gap(_object(["a"], a=leaf), *["a"] * 12, "missing")

    assert gap is not None


def test_the_fields_of_a_schema_are_those_of_all_its_branches():
    schema = {"properties": {"a": STRING}, "allOf": [{"properties": {"b": STRING}}], "anyOf": [{"required": ["c"]}]}

    assert Guarantees(schema).fields() == {"a", "b", "c"}
