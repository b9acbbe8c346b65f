"""Text of one line: names, and whatever else may come to stand in a header or a list."""

import re

from stentor.errors import Invalid

# Controls, the line and paragraph separators that some programs break lines at, and halves of surrogate pairs.
NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def checked_name(name: str, chars_max: int) -> str:
    """The name without blanks around it. Raises Invalid when it is empty, longer than that, or not one line of text."""
    stripped = name.strip()
    if not 1 <= len(stripped) <= chars_max:
        raise Invalid.field("/name", "length", f"A name has 1 to {chars_max} characters; choose another one.")
    if NOT_IN_A_LINE.search(stripped):
        raise Invalid.field("/name", "characters", "A name is one line of text; remove its control characters.")
    return stripped
