"""JSON from strangers: decoded into the type that is asked for, or refused with the place where it went wrong."""

import functools
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from stentor.domain.type_rules import choices_at, in_words
from stentor.errors import Invalid, pointer_to, steps_of

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

# A schema of 64 levels is the deepest thing that is taken, and stands in a body; what is shallower has its own limit.
DEPTH_MAX = 72

_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[{]}")
_NO_BRACKETS_NOR_QUOTES = _NO_BRACKETS.replace(b'"', b"")
# An escaped NUL; an even number of backslashes before it would make it text about one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*?)`\Z", re.DOTALL)
_YEAR = re.compile(r"\d{4}-")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_BYTE = re.compile(r" \(byte (\d+)\)\Z")
# Between a comma that is too many and what stands behind it are blanks; so many are looked through.
_NEAR_BYTES = 4096
_FIELD = re.compile(r"(missing required field|contains unknown field) `(.*)`", re.DOTALL)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as the decoder's type.

    Raises Invalid, with a pointer to the value or the line and column of the text, for what is not JSON (RFC 8259, UTF-8),
    breaks the type, is nested deeper than 72 levels, holds a NUL character, a lone surrogate or a number past a double's
    range. Whole numbers keep all their digits; what has to fit into fewer says so where it is used.
    """
    if not body.strip():
        raise Invalid.field("", "missing", "A JSON body is needed. Send one, with `Content-Type: application/json`.")
    _check_depth(body)
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise broken_rule(str(error), decoder.type) from None
    except msgspec.DecodeError as error:
        raise _broken_syntax(body, str(error)) from None
    except UnicodeDecodeError as error:
        raise Invalid.field(
            "", "not-utf-8", f"The body is not UTF-8: {error.reason} in one of its strings. Send it in UTF-8."
        ) from None
    # The plain search is forty times faster, and nearly no body has it.
    if b"\\u0000" in body and _NUL.search(body):
        pointer = _pointer_to_nul(msgspec.json.decode(body), "") or ""
        place = f"The text at `{pointer}`" if pointer else "The body"
        raise Invalid.field(pointer, "nul-character", f"{place} has a NUL character. Remove it.")
    return value


def decode_query(parameters: Mapping[str, str], kind: type[Q], *, known_alone: bool) -> Q:
    """The parameters of a query as `kind`, numbers and booleans read from their text.

    Raises Invalid with a pointer, with `known_alone` also for a parameter that `kind` does not have.
    """
    fields = _fields_of(kind)
    known = {encoded for _, encoded in fields}
    if known_alone and (surplus := parameters.keys() - known):
        name = min(surplus)
        raise Invalid.field(
            f"/{name}",
            "unknown-parameter",
            f"There is no parameter `{name}` here. There are {', '.join(sorted(known))}.",
        )
    try:
        query = msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise broken_rule(str(error), kind) from None
    for name, encoded in fields:
        if encoded not in parameters:
            continue
        # The decoder takes the text `null` for None; in a query, what is not said is left out.
        if getattr(query, name) is None:
            raise Invalid.field(f"/{encoded}", "invalid", f"The value at `/{encoded}` breaks a rule: it is no value.")
        # And a number for the seconds since 1970, which nobody who writes times out would mean.
        if isinstance(getattr(query, name), datetime) and not _YEAR.match(parameters[encoded]):
            text = f"The value at `/{encoded}` is no time. Write it as `2026-12-24T17:00:00Z`."
            raise Invalid.field(f"/{encoded}", "invalid", text)
    return query


# Read anew each time, they cost a look-up two fifths of its time.
@functools.cache
def _fields_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """The names of a struct's fields, and what they are called in a request."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


def below(pointer: str, error: Invalid) -> Invalid:
    """The same error about a value that stands at `pointer` in the request."""
    moved = [msgspec.structs.replace(one, pointer=pointer + one.pointer) for one in error.violations]
    return Invalid(error.detail, violations=moved, **error.facts)


def pointer_of(path: str) -> str:
    """A path as the decoder writes it (`.profiles[3].name`) as a JSON pointer (`/profiles/3/name`)."""
    steps: list[str] = []
    for name, index, unknown in _STEP.findall(path):
        if unknown:
            break
        steps.append(name or index)
    return pointer_to(*steps)


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return
    # Strings stand between every other pair of quotes once no quote is escaped; what is no JSON the decoder refuses. Where none
    # holds a bracket, each is a pair of quotes side by side as soon as all else is gone: half the time of cutting them out.
    plain = _ESCAPE.sub(b"", body) if b"\\" in body else body
    brackets = plain.translate(_ONE_KIND, _NO_BRACKETS_NOR_QUOTES).replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(plain.split(b'"')[::2]).translate(_ONE_KIND, _NO_BRACKETS)
    # Each time the innermost level goes: fifty people with ten attributes, a thousand brackets, are four levels.
    left = brackets
    for _ in range(DEPTH_MAX):
        outer = left.replace(b"[]", b"")
        if not outer:
            return
        if len(outer) == len(left):
            break
        left = outer
    # It is too deep, or no JSON, of which the decoder says more.
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket == 0x5B else -1
        if depth > DEPTH_MAX:
            raise Invalid.field("", "too-deep", f"The JSON is nested deeper than {DEPTH_MAX} levels. Flatten it.")


def broken_rule(message: str, kind: Any) -> Invalid:
    """What msgspec says of a value that is not of that type, as an error of the request's."""
    place = _PLACE.search(message)
    pointer = pointer_of(place[1]) if place else ""
    rule = message[: place.start()] if place else message
    if field := _FIELD.search(rule):
        pointer += pointer_to(field[2])
        missing = field[1].startswith("missing")
        sentence = f"`{pointer}` is needed." if missing else f"`{pointer}` is not a field here. Check its spelling."
        return Invalid.field(pointer, "missing" if missing else "unknown-field", sentence)
    subject = f"The value at `{pointer}`" if pointer else "The body"
    choices = choices_at(kind, steps_of(pointer))
    return Invalid.field(pointer, "invalid", f"{subject} breaks a rule: {in_words(rule, choices)}.")


def _broken_syntax(body: bytes, message: str) -> Invalid:
    if body.startswith(_BOM):
        return Invalid.field("", "byte-order-mark", "The body begins with a byte order mark. Send plain UTF-8.")
    at = _BYTE.search(message)
    offset = int(at[1]) if at else len(body)
    before = body[:offset]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    what = _BYTE.sub("", message).removeprefix("JSON is malformed: ")
    hint = _hint(body, offset)
    if "truncated" in what:
        what = "it ends too early, or a \\u escape is not a whole character"
    sentence = f"The body is not JSON: {what}, at line {line}, column {column}.{hint}"
    return Invalid.field("", "malformed-json", sentence)


def _hint(body: bytes, offset: int) -> str:
    """What people write that JSON does not have, where that is what stands there."""
    before, at = body[max(0, offset - _NEAR_BYTES) : offset].rstrip(), body[offset : offset + 2]
    if at[:1] in {b"]", b"}"} and before.endswith(b","):
        return " JSON has no comma behind the last item: remove the one before this bracket."
    if at[:1] == b"," and before.endswith((b"[", b"{", b",")):
        return " There is one comma too many: remove it."
    if at in {b"//", b"/*"} or at[:1] == b"#":
        return " JSON has no comments: remove this one."
    if at[:1] == b"'":
        return " JSON has its texts in double quotes: write \" for '."
    return ""


def _pointer_to_nul(value: Any, pointer: str) -> str | None:
    if isinstance(value, str):
        return pointer if "\x00" in value else None
    if isinstance(value, dict):
        for key, inner in value.items():
            if "\x00" in key:
                return pointer
            if (found := _pointer_to_nul(inner, pointer + pointer_to(key))) is not None:
                return found
    if isinstance(value, list):
        for index, inner in enumerate(value):
            if (found := _pointer_to_nul(inner, f"{pointer}/{index}")) is not None:
                return found
    return None
