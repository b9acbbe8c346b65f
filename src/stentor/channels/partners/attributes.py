"""What a hub client may pull of people, and change: fields that everybody has, and attributes of the brand's own."""

from collections.abc import Iterable, Sequence

from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid, pointer_to

FIELDS: tuple[str, ...] = ("Email", "Phone", "PushTokens", "Locale", "TimeZone")
"""What every person may have, under the names that services ask by, in any casing. All else is an attribute of theirs."""
ATTRIBUTES_MAX = 200
"""Names that a client may pull on one channel, and as many that it may change."""
ATTRIBUTE_CHARS_MAX = 200

_CANONICAL = {field.casefold(): field for field in FIELDS}
# Requests join names by it.
_SEPARATOR = ";"


def canonical(name: str) -> str:
    """The name as it is stored: a field's as it is spelled here, an attribute's as it is."""
    stripped = name.strip()
    return _CANONICAL.get(stripped.casefold(), stripped)


def is_field(name: str) -> bool:
    """Whether it names a field and no attribute."""
    return name in FIELDS


def checked_writes(number: int, names: Iterable[str]) -> tuple[str, ...]:
    """What may be changed by a client of a channel, as `checked_attributes`. Raises Invalid for a field, too."""
    chosen = checked_attributes(number, names)
    if fields := [name for name in chosen if is_field(name)]:
        raise Invalid.field(
            pointer_to("channels", number),
            "field",
            f"{fields[0]} is a field of every customer, which no client changes. Name attributes of the brand's own.",
        )
    return chosen


def checked_attributes(number: int, names: Iterable[str]) -> tuple[str, ...]:
    """What may be pulled on a channel, each once, in the order given.

    Raises Invalid for too many, and for a name that no request could ask for.
    """
    chosen = tuple(dict.fromkeys(canonical(name) for name in names))
    pointer = pointer_to("channels", number)
    if len(chosen) > ATTRIBUTES_MAX:
        raise Invalid.field(
            pointer,
            "length",
            f"A client pulls, and changes, at most {ATTRIBUTES_MAX} attributes on a channel; choose those that it needs.",
        )
    for name in chosen:
        if not 1 <= len(name) <= ATTRIBUTE_CHARS_MAX or _SEPARATOR in name or NOT_IN_A_LINE.search(name):
            raise Invalid.field(
                pointer,
                "attribute",
                f"An attribute's name has 1 to {ATTRIBUTE_CHARS_MAX} characters on one line and no `{_SEPARATOR}`, which stands "
                "between names where a service asks for several.",
            )
    return chosen


def pulled(granted: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The names asked for, in their order, as they are stored. Raises Invalid that names the first one not granted."""
    names = tuple(canonical(name) for name in asked)
    for name in names:
        if name not in granted:
            allowed = ", ".join(granted) or "none"
            raise Invalid.field(
                "/CustomerAttributes",
                "attribute",
                f"The attribute {name[:ATTRIBUTE_CHARS_MAX]} may not be pulled on this channel. May be pulled: {allowed}.",
            )
    return names
