"""What clients of this family send, read as leniently as they need it.

Names of parameters and of JSON properties are taken in any casing, ids as numbers or as their digits, `$top` as `top` too.
What is read is told by structs whose fields are renamed by `pascal`.
"""

import functools
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar
from urllib.parse import unquote_plus

import msgspec
from msgspec import Meta

from stentor.api.strict_json import broken_rule, decode
from stentor.errors import Invalid, pointer_to

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

PARAMETERS_MAX = 50
NUMBER_MAX = 2**31 - 1

_WORDS = {"id": "ID", "ids": "IDs", "url": "URL"}
# As one document misspells it, as older clients wrote it, and what some escape twice.
_ALSO = {
    "customerattribtues": "customerattributes",
    "changedcustomerattributes": "changedcustomerattribute",
    "%24top": "top",
    "%24skip": "skip",
}

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)


def pascal(name: str) -> str:
    """How this family writes a name: `channel_id` is `ChannelID`."""
    return "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))


Number: TypeAlias = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
"""An id that is a number, also where it comes as its digits."""

Name: TypeAlias = Annotated[str | int, Meta(description="A text; a number is taken for its digits.")]
"""An id that is a text, also where it comes as a number. Read it by `text_of`."""


def text_of(name: str | int) -> str:
    """The text that such an id is."""
    return str(name)


class Query(msgspec.Struct, frozen=True, kw_only=True, rename=pascal):
    """The parameters of a function; each has its fields."""


class NoQuery(Query, frozen=True):
    """None of the parameters is read."""


class Input(msgspec.Struct, frozen=True, kw_only=True, rename=pascal):
    """A JSON object in a body; what is in it beside its fields is not read."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename=pascal):
    """A JSON object of an answer."""


def read_query(query: bytes, kind: type[Q]) -> Q:
    """The parameters of a query string. Raises Invalid for a broken rule, and for one that is read and comes twice."""
    pairs = query.decode("latin-1").split("&")
    if len(pairs) > PARAMETERS_MAX:
        raise Invalid(f"The query has more than {PARAMETERS_MAX} parameters.")
    known = _names_in(kind)
    said: dict[str, str] = {}
    for pair in pairs:
        escaped, _, text = pair.partition("=")
        name = known.get(_plain(unquote_plus(escaped)))
        value = unquote_plus(text).strip()
        # What is left empty is not said: clients write out parameters that they have no value for.
        if name is None or not value:
            continue
        if said.setdefault(name, value) != value:
            raise Invalid.field(f"/{name}", "repeated", f"`{name}` is there twice. Ask about one at a time.")
    return _converted(said, kind)


def read_body(body: bytes, kind: type[T]) -> T:
    """A body as JSON of that type, whatever its Content-Type is. Raises Invalid."""
    return _converted(_renamed(decode(body, _ANY), _names_in(kind), ""), kind)


def _converted(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise broken_rule(str(error), kind) from None


def _renamed(value: Any, known: Mapping[str, str], pointer: str) -> Any:
    """The same JSON with the names that are read as they are written here."""
    if isinstance(value, list):
        if not any(isinstance(item, (dict, list)) for item in value):
            return value
        return [_renamed(item, known, f"{pointer}/{index}") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {}
    for key, inner in value.items():
        name = known.get(key.lower())
        if name is None:
            continue
        if name in renamed:
            raise Invalid.field(pointer + pointer_to(name), "repeated", f"`{name}` is there twice. Send it once.")
        renamed[name] = _renamed(inner, known, pointer + pointer_to(name))
    return renamed


def _plain(name: str) -> str:
    name = name.strip().lower()
    return _ALSO.get(name, name.removeprefix("$"))


@functools.cache
def _names_in(kind: Any) -> dict[str, str]:
    """The names of all fields within a type, by themselves in lower case. No two fields of one body differ in casing alone."""
    names: dict[str, str] = {}
    seen: set[type] = set()

    def look(info: msgspec.inspect.Type) -> None:
        match info:
            case msgspec.inspect.StructType(cls=cls, fields=fields) if cls not in seen:
                seen.add(cls)
                for field in fields:
                    names[field.encode_name.lower()] = field.encode_name
                    look(field.type)
            case msgspec.inspect.ListType(item_type=inner) | msgspec.inspect.VarTupleType(item_type=inner):
                look(inner)
            case msgspec.inspect.UnionType(types=types):
                for each in types:
                    look(each)
            case _:
                pass

    look(msgspec.inspect.type_info(kind))
    return names
