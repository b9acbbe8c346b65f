"""Names and ids that people give: what they may look like."""

import re

from stentor.domain.ids import new_id
from stentor.errors import Invalid

NAME_CHARS_MAX = 200
ID_CHARS_MAX = 200
# How many users of a thing are named where it cannot be deleted for their sake.
USERS_NAMED_MAX = 5

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def checked_name(name: str) -> str:
    """The name without blanks around it. Raises Invalid when it is empty, longer than 200 characters or not printable."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= NAME_CHARS_MAX:
        raise Invalid.field("/name", "length", f"A name has 1 to {NAME_CHARS_MAX} characters; choose another one.")
    if _CONTROL.search(stripped):
        raise Invalid.field("/name", "characters", "A name is one line of text; remove its control characters.")
    return stripped


def checked_id(given: str | None) -> str:
    """The id that was given, exactly, or a new UUID. Raises Invalid for one that cannot stand in the path of a URL."""
    if given is None:
        return str(new_id())
    if not 1 <= len(given) <= ID_CHARS_MAX:
        raise Invalid.field("/id", "length", f"An id has 1 to {ID_CHARS_MAX} characters; leave it out to get a UUID.")
    if _CONTROL.search(given) or "/" in given or given in {".", ".."}:
        raise Invalid.field("/id", "characters", "An id stands in a URL: no slash, no control characters, not . or ..")
    return given
