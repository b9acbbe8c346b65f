"""Which fields a template may name, and where each of them comes from."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

from stentor.audience.segments.service import SegmentService
from stentor.campaigns.content import BRAND_FIELDS
from stentor.campaigns.context_schema import ContextSchema
from stentor.campaigns.generators import find_schema
from stentor.campaigns.guarantees import Guarantees, resolve
from stentor.db.pool import Database
from stentor.errors import Unavailable
from stentor.render.publishing_rule import SYSTEM_FIELDS
from stentor.render.scope import RESERVED_NAMES

FIELDS_MAX = 300
"""Fields of a schema that are told of; deeper or further ones can be used all the same."""

FIELD_DEPTH_MAX = 4

# What is named otherwise can be written in brackets alone, and is not offered.
_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)

FieldSource = Literal["context", "customer", "brand", "message"]


class TemplateField(msgspec.Struct, frozen=True, kw_only=True):
    """A name as templates write it, where its value comes from, and what kind of value that is.

    `always`: every message has a value there. `about` says more, in a few words.
    """

    name: str
    source: FieldSource
    type: str
    always: bool
    about: str = ""


class TemplateFieldService:
    """Tells of the fields that templates of a brand may use."""

    def __init__(self, db: Database, segments: SegmentService) -> None:
        self._db = db
        self._segments = segments

    async def fields(self, brand_id: UUID, *, generator_id: str | None = None) -> list[TemplateField]:
        """The fields of the generator's context, if one is named, then of people, brand and message.

        People's attributes are those of a random sample, with the share of it that has each. Raises NotFound for the generator.
        """
        schema = None
        if generator_id is not None:
            async with self._db.read() as conn:
                schema = await find_schema(conn, brand_id, generator_id)
        context = [] if schema is None else list(_of_schema(schema))
        return [*context, *_OF_PEOPLE, *await self._attributes(brand_id), *_OF_BRAND, *_OF_MESSAGE]

    async def _attributes(self, brand_id: UUID) -> list[TemplateField]:
        try:
            seen = await self._segments.seen(brand_id)
        except Unavailable:
            return []
        return [
            TemplateField(
                name=f"customer.{one.name}",
                source="customer",
                type=_type_of_values(one.types),
                always=False,
                about=f"{sum(one.types.values()):.0%} of a sample have it",
            )
            for one in seen.attributes
            if _NAME.fullmatch(one.name) and one.name not in SYSTEM_FIELDS
        ]


_OF_PEOPLE = [
    TemplateField(name=f"customer.{name}", source="customer", type="text", always=name == "external_id")
    for name in SYSTEM_FIELDS
]
_OF_BRAND = [
    TemplateField(
        name=f"brand.{name}", source="brand", type="text", always=name == "name", about="the brand's settings"
    )
    for name in BRAND_FIELDS
]
_OF_RECIPIENT = "the person's own; none under the consent basis none"
_OF_MESSAGE = [
    TemplateField(
        name=name,
        source="message",
        type="URL" if name.endswith("_url") else "date" if name == "today" else "date-time",
        always=not name.endswith("_url"),
        about=_OF_RECIPIENT if name.endswith("_url") else "when the message is made",
    )
    for name in sorted(RESERVED_NAMES - {"context", "customer", "brand"}, reverse=True)
]


def _of_schema(schema: ContextSchema) -> Iterator[TemplateField]:
    return _Fields(schema.schema).told()


class _Fields:
    """Walks through a schema, whose references lead to no circle."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._promises = Guarantees(root)
        self._left = FIELDS_MAX

    def told(self) -> Iterator[TemplateField]:
        yield from self._inside(self._root, (), 0)

    def _inside(self, node: Any, path: tuple[str, ...], depth: int) -> Iterator[TemplateField]:
        for name, inner in self._properties(node).items():
            if not _NAME.fullmatch(name):
                continue
            self._left -= 1
            if self._left < 0:
                return
            where = (*path, name)
            said = self._whole(inner)
            gap = self._promises.gap(where)
            yield TemplateField(
                name=".".join(("context", *where)),
                source="context",
                type=_type_of(said),
                always=gap is None,
                about=_about(said),
            )
            if depth + 1 < FIELD_DEPTH_MAX:
                yield from self._inside(inner, where, depth + 1)

    def _properties(self, node: Any) -> dict[str, Any]:
        """The fields that an object has in whichever branch of the schema."""
        found: dict[str, Any] = {}
        waiting, steps = [node], 0
        while waiting and steps < FIELDS_MAX:
            steps += 1
            said = self._whole(waiting.pop(0))
            found = {**said.get("properties", {}), **found}
            for word in ("allOf", "anyOf", "oneOf"):
                waiting += said.get(word, [])
        return found

    def _whole(self, node: Any) -> Mapping[str, Any]:
        said: Mapping[str, Any] = node if isinstance(node, Mapping) else {}
        reference = said.get("$ref")
        if isinstance(reference, str) and isinstance(there := resolve(self._root, reference), Mapping):
            return {**there, **{name: value for name, value in said.items() if name != "$ref"}}
        return said


_KINDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list"}


def _type_of(said: Mapping[str, Any]) -> str:
    declared = said.get("type", "")
    kinds: list[str] = [declared] if isinstance(declared, str) else [each for each in declared if each != "null"]
    if list(kinds) == ["string"] and isinstance(said.get("format"), str):
        return "URL" if said["format"] == "uri" else said["format"]
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds if kind) or "any"


def _type_of_values(types: Mapping[str, float]) -> str:
    most = max(types, key=lambda kind: types[kind], default="any")
    return _KINDS.get(most, most)


def _about(said: Mapping[str, Any]) -> str:
    title = said.get("title") or said.get("description")
    return title[:200] if isinstance(title, str) else ""
