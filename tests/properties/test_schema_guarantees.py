"""What is read as promised by a schema is there in every document that the schema takes."""

from typing import Any

import jsonschema_rs
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stentor.campaigns.guarantees import Guarantees

NAMES = st.sampled_from(["a", "b"])
TYPES = st.sampled_from(["object", "array", "string", "null"])

Json = dict[str, Any]

CONSTANTS: list[Json] = [{"enum": ["x", None]}, {"enum": ["x"]}, {"const": None}, {"not": {"type": "null"}}]


def _schemas() -> st.SearchStrategy[Json]:
    leaf = st.fixed_dictionaries(
        {},
        optional={"type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True), "$ref": st.just("#/$defs/d")},
    ) | st.sampled_from(CONSTANTS)

    def grown(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        several = st.lists(inner, min_size=1, max_size=2)
        return st.fixed_dictionaries(
            {},
            optional={
                "type": TYPES,
                "properties": st.dictionaries(NAMES, inner, max_size=2),
                "required": st.lists(NAMES, max_size=2, unique=True),
                "additionalProperties": inner,
                "items": inner,
                "prefixItems": several,
                "minItems": st.integers(0, 2),
                "allOf": several,
                "anyOf": several,
                "oneOf": several,
                "$ref": st.just("#/$defs/d"),
            },
        )

    return st.recursive(leaf, grown, max_leaves=6)


def _documents() -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from(["x", None]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
        max_leaves=6,
    )


PATHS = st.lists(NAMES | st.sampled_from([0, 1, -1, None]), min_size=1, max_size=3)


def _values(document: Any, path: list[str | int | None]) -> list[Any]:
    """What stands at the path, once for each element where every element is meant; None for what is missing."""
    if not path:
        return [document]
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        return _values(document[step], rest) if isinstance(document, dict) and step in document else [None]
    if not isinstance(document, list):
        return [None]
    if step is None:
        return [value for element in document for value in _values(element, rest)]
    return _values(document[step], rest) if -len(document) <= step < len(document) else [None]


@settings(max_examples=150, deadline=None)
@given(
    schema=_schemas(),
    definition=_schemas().filter(lambda schema: "$ref" not in str(schema)),
    context=st.dictionaries(NAMES, _documents(), max_size=2),
    path=PATHS,
)
@example(schema={"oneOf": [{"required": ["a"]}]}, definition={}, context={"a": None}, path=["a"])
@example(
    schema={"required": ["a"], "properties": {"a": {"$ref": "#/$defs/d"}}},
    definition={},
    context={"a": None},
    path=["a"],
)
def test_a_promise_is_kept_by_every_valid_context(schema: Json, definition: Json, context: Json, path: list[Any]):
    whole = {**schema, "$defs": {"d": definition}}
    assume(jsonschema_rs.Draft202012Validator(whole).is_valid(context))

    gap = Guarantees(whole).gap(path)

    if gap is None:
        assert None not in _values(context, path)
