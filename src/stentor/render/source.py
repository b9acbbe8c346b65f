"""A look at a template's text before the parser sees it: its size, and what would cost the parser more than linear time."""

import re

from stentor.render.errors import TemplateInvalid
from stentor.render.limits import SOURCE_CHARS_MAX, TAG_BLANKS_MAX

# The expression lexer looks ahead from every bracket to the end of its tag.
TAG_CHARS_MAX = 4_000
TAG_BRACKETS_MAX = 100

_OPENING = re.compile(r"\{[{%]")
_BLANKS = re.compile(rf"\s{{{TAG_BLANKS_MAX + 1},}}")
_VERBATIM = re.compile(r"-?\s*(raw|doc)\s*-?")
_ENDS = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc")}


def check_source(part: str, source: str) -> None:
    """Raises TemplateInvalid for a source that is too long, or that has a tag which never ends or is out of bounds."""
    if len(source) > SOURCE_CHARS_MAX:
        raise TemplateInvalid(part, f"The source has {len(source)} characters; at most {SOURCE_CHARS_MAX} are allowed.")
    if "\x00" in source:
        raise TemplateInvalid(
            part, "The source has a NUL character; remove it.", line=line_of(source, source.index("\x00"))
        )
    position = 0
    while (opening := _OPENING.search(source, position)) is not None:
        position = _check_tag(part, source, opening.start())


def line_of(source: str, position: int) -> int:
    """The number of the line, from 1, in which that position lies."""
    return source.count("\n", 0, position) + 1


def _check_tag(part: str, source: str, start: int) -> int:
    """Checks the tag that starts there and answers where to look on."""
    closing = "}}" if source[start + 1] == "{" else "%}"
    end = source.find(closing, start + 2)
    if end < 0:
        raise TemplateInvalid(
            part, f"{source[start : start + 2]} is never closed; write {closing}.", line=line_of(source, start)
        )
    inside = source[start + 2 : end]
    if complaint := _complaint(inside):
        raise TemplateInvalid(part, complaint, line=line_of(source, start))
    verbatim = _VERBATIM.fullmatch(inside) if closing == "%}" else None
    if verbatim is None:
        return end + 2
    ending = _ENDS[verbatim[1]].search(source, end)
    if ending is None:
        raise TemplateInvalid(
            part, f"{verbatim[1]} is never closed; write {{% end{verbatim[1]} %}}.", line=line_of(source, start)
        )
    return ending.end()


def _complaint(inside: str) -> str | None:
    if not inside.strip("- \t\r\n"):
        return "This tag is empty; name a value or remove it."
    if _BLANKS.search(inside):
        return f"This tag has more than {TAG_BLANKS_MAX} blanks in a row; remove them."
    # A `liquid` tag holds a statement a line, and is read line by line.
    if max(map(len, inside.splitlines())) > TAG_CHARS_MAX:
        return f"This tag is longer than {TAG_CHARS_MAX} characters; split it with assign."
    if inside.count("(") + inside.count("[") > TAG_BRACKETS_MAX:
        return f"This tag has more than {TAG_BRACKETS_MAX} brackets; split it with assign."
    return None
