"""Names and ids that people give: what they may look like."""

from stentor.domain.ids import new_id
from stentor.domain.text import NOT_IN_A_LINE
from stentor.errors import Invalid

NAME_CHARS_MAX = 200
ID_CHARS_MAX = 200
# How many users of a thing are named where it cannot be deleted for their sake.
USERS_NAMED_MAX = 5


def checked_id(given: str | None) -> str:
    """The id that was given, exactly, or a new UUID. Raises Invalid for one that cannot stand in the path of a URL."""
    if given is None:
        return str(new_id())
    if not 1 <= len(given) <= ID_CHARS_MAX:
        raise Invalid.field("/id", "length", f"An id has 1 to {ID_CHARS_MAX} characters; leave it out to get a UUID.")
    if NOT_IN_A_LINE.search(given) or "/" in given or given in {".", ".."}:
        raise Invalid.field("/id", "characters", "An id stands in a URL: no slash, no control characters, not . or ..")
    return given
