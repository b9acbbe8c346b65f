"""A look at a template's text before the parser sees it: its size, and what would cost the parser more than linear time."""

import re

from stentor.render.errors import TemplateInvalid
from stentor.render.limits import SOURCE_CHARS_MAX, TAG_BLANKS_MAX

# The expression lexer looks ahead from every bracket to the end of its tag.
TAG_CHARS_MAX = 4_000
TAG_BRACKETS_MAX = 100

_OPENING = re.compile(r"\{[{%]")
# PostgreSQL stores no NUL, and a lone surrogate is no character.
_MISFITS = re.compile("[\x00\ud800-\udfff]")
_BLANKS = re.compile(rf"\s{{{TAG_BLANKS_MAX + 1},}}")
_UNREAD = re.compile(r"-?\s*(raw|doc|comment)\b.*", re.DOTALL)
_ENDS = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc", "comment")}


def check_source(part: str, source: str) -> None:
    """Raises TemplateInvalid for a source that is too long, or that has a tag which never ends or is out of bounds."""
    if len(source) > SOURCE_CHARS_MAX:
        raise TemplateInvalid(part, f"The source has {len(source)} characters; at most {SOURCE_CHARS_MAX} are allowed.")
    if misfit := _MISFITS.search(source):
        text = f"The source has the character U+{ord(misfit[0]):04X}, which no message can carry; remove it."
        raise TemplateInvalid(part, text, line=line_of(source, misfit.start()))
    _Tags(part, source).check()


def line_of(source: str, position: int) -> int:
    """The number of the line, from 1, in which that position lies."""
    return source.count("\n", 0, position) + 1


class _Tags:
    """Walks over a source from tag to tag, as the parser's lexer will."""

    def __init__(self, part: str, source: str) -> None:
        self._part = part
        self._source = source
        self._ends: dict[str, int] = {}

    def check(self) -> None:
        position = 0
        while (opening := _OPENING.search(self._source, position)) is not None:
            position = self._check_tag(opening.start())

    def _check_tag(self, start: int) -> int:
        """Checks the tag that starts there and answers where to look on."""
        closing = "}}" if self._source[start + 1] == "{" else "%}"
        end = self._source.find(closing, start + 2)
        if end < 0:
            raise self._refused(start, f"{self._source[start : start + 2]} is never closed; write {closing}.")
        inside = self._source[start + 2 : end]
        if complaint := _complaint(inside):
            raise self._refused(start, complaint)
        unread = _UNREAD.fullmatch(inside) if closing == "%}" else None
        if unread is None:
            return end + 2
        ending = self._end_of(unread[1], end)
        if ending < 0:
            raise self._refused(start, f"{unread[1]} is never closed; write {{% end{unread[1]} %}}.")
        # The lexer reads on inside a comment, tag by tag.
        return end + 2 if unread[1] == "comment" else ending

    def _end_of(self, name: str, position: int) -> int:
        """Where the block that is open at `position` ends, or -1; looked for once however many blocks have that end."""
        known = self._ends.get(name, 0)
        if 0 <= known <= position:
            found = _ENDS[name].search(self._source, position)
            self._ends[name] = known = found.start() if found else -1
        return known

    def _refused(self, start: int, message: str) -> TemplateInvalid:
        return TemplateInvalid(self._part, message, line=line_of(self._source, start))


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
