"""Carries Liquid through tools that understand HTML only: each tag travels as a mark and is put back afterwards.

Between elements a mark is a comment, because HTML moves text out of tables; inside a tag, a comment or an element that
holds text alone (style, title) it is a word, which is also a valid attribute and a valid CSS identifier.
"""

import re
from collections import Counter
from itertools import pairwise

from stentor.render.errors import TemplateInvalid
from stentor.render.source import check_source, line_of

ELEMENT_DEPTH_MAX = 256

_LIQUID = re.compile(
    r"\{%-?\s*(raw|comment)\b.*?\{%-?\s*end\1\s*-?%\}" r"|\{\{.*?\}\}" r"|\{%.*?%\}",
    re.DOTALL,
)
_LIQUID_OR_NOT_ASCII = re.compile(f"{_LIQUID.pattern}|[^\\x00-\\x7f]+", re.DOTALL)
_TEXT_ELEMENTS = ("style", "script", "title", "textarea", "mj-style", "mj-title", "mj-preview")
_OPENING = re.compile(r"<!--|<(?P<name>[a-zA-Z][a-zA-Z0-9-]*)|</[a-zA-Z]|<!|<\?")
_TAG_END = re.compile(r"\"[^\"]*\"|'[^']*'|(?P<quote>[\"'])|>")

_ELEMENT = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_EMPTY_END = re.compile(r"(?>\"[^\"]*\"|'[^']*'|[^'\">])*/>")
_FOREIGN = re.compile(r"<(?:svg|math)\b", re.IGNORECASE)
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
# In HTML, these end where the next one begins, so that their number says nothing about depth.
_SELF_ENDING = frozenset(
    {"body", "dd", "dt", "head", "html", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr"}
)


class Protected:
    """A source whose Liquid has become marks: `text` goes through a tool, `restore` puts the Liquid back.

    With `words_only` every mark is a word; with `ascii_only` what is not ASCII becomes words, too.
    """

    def __init__(self, part: str, source: str, *, words_only: bool = False, ascii_only: bool = False) -> None:
        check_source(part, source)
        self._part = part
        self._source = source
        prefix = _unused_word(source)
        self._mark = re.compile(rf'<!--{prefix}(\d+)x-->|{prefix}(\d+)x(?:="")?')
        self._tags: list[re.Match[str]] = []
        place = _Place()
        pieces: list[str] = []
        position = 0
        for tag in (_LIQUID_OR_NOT_ASCII if ascii_only else _LIQUID).finditer(source):
            before = source[position : tag.start()]
            place.follow(before)
            word = f"{prefix}{len(self._tags)}x"
            is_word = words_only or not tag[0].startswith("{") or not place.is_between_elements
            pieces += before, word if is_word else f"<!--{word}-->"
            self._tags.append(tag)
            position = tag.end()
        self.text = "".join(pieces) + source[position:]

    def restore(self, text: str, *, all_of_them: bool = True) -> str:
        """The tool's result with Liquid in it.

        With `all_of_them`, raises TemplateInvalid for a tag that the tool dropped, or put before one that stood before it.
        """
        found: list[int] = []

        def tag(mark: re.Match[str]) -> str:
            found.append(int(mark[1] or mark[2]))
            return self._tags[found[-1]][0]

        restored = self._mark.sub(tag, text)
        if all_of_them:
            self._check_order(list(dict.fromkeys(found)))
        return restored

    def _check_order(self, found: list[int]) -> None:
        """Values may move; what opens and closes may not."""
        kept = [number for number in found if self._tags[number][0].startswith("{%")]
        lost = {number for number, tag in enumerate(self._tags) if tag[0].startswith("{")}.difference(found)
        misplaced = lost or {number for number, after in pairwise(kept) if number > after}
        if misplaced:
            first = self._tags[min(misplaced)]
            raise TemplateInvalid(
                self._part,
                f"{first[0]} stands where it would be lost; move it into an element's text or an attribute's value.",
                line=line_of(self._source, first.start()),
            )

    def tags_in(self, text: str) -> str:
        """The `{% … %}` tags alone that are marked in this piece of `text`, such as assignments in a head."""
        tags = (self._tags[int(mark[1] or mark[2])] for mark in self._mark.finditer(text))
        return "".join(tag[0] for tag in tags if tag[0].startswith("{%"))

    def excerpt(self, start: int, end: int) -> str:
        """What stands at these positions of `text`, its marks made Liquid again, for a message to the author."""
        return self.restore(self.text[start : max(end, start + 40)], all_of_them=False)


def check_depth(part: str, source: str, *, is_mjml: bool = False) -> None:
    """Raises TemplateInvalid for elements nested deeper than 256 levels: the HTML tools crash at a few thousand.

    What is counted may be more than a browser would see, never less than a sixth of it.
    """
    # Inside SVG and MathML nothing ends by itself.
    voids = frozenset() if not is_mjml and _FOREIGN.search(source) else _VOID
    uncounted = voids if is_mjml or not voids else voids | _SELF_ENDING
    open_elements: Counter[str] = Counter()
    for element in _ELEMENT.finditer(source):
        closing, name = element[1], element[2].lower()
        if name in uncounted:
            continue
        if not closing:
            open_elements[name] += 0 if is_mjml and _EMPTY_END.match(source, element.end()) else 1
        elif open_elements[name]:
            open_elements[name] -= 1
        if open_elements.total() > ELEMENT_DEPTH_MAX:
            raise TemplateInvalid(
                part,
                f"Its elements are nested deeper than {ELEMENT_DEPTH_MAX} levels; make it flatter, or close them.",
                line=line_of(source, element.start()),
            )


class _Place:
    """Where in HTML we are, followed piece by piece."""

    def __init__(self) -> None:
        self._until: re.Pattern[str] | None = None
        self._next: re.Pattern[str] | None = None

    @property
    def is_between_elements(self) -> bool:
        return self._until is None

    def follow(self, text: str) -> None:
        position = 0
        while True:
            position = self._inside(text, position) if self._until else self._between(text, position)
            if position < 0:
                return

    def _between(self, text: str, position: int) -> int:
        opening = _OPENING.search(text, position)
        if opening is None:
            return -1
        if opening[0] == "<!--":
            self._until = _COMMENT_END
        else:
            name = (opening["name"] or "").lower()
            self._until, self._next = _TAG_END, _ELEMENT_ENDS.get(name)
        return opening.end()

    def _inside(self, text: str, position: int) -> int:
        ending = self._until.search(text, position) if self._until else None
        if ending is None:
            return -1
        if self._until is _TAG_END:
            if ending["quote"]:
                self._until = _QUOTE_ENDS[ending["quote"]]
            elif ending[0] == ">":
                self._until, self._next = self._next, None
        elif self._until in _QUOTE_ENDS.values():
            self._until = _TAG_END
        else:
            self._until = None
        return ending.end()


_COMMENT_END = re.compile("-->")
_QUOTE_ENDS = {'"': re.compile('"'), "'": re.compile("'")}
_ELEMENT_ENDS = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _TEXT_ELEMENTS}


def _unused_word(source: str) -> str:
    word, lower = "liquid", source.lower()
    while re.search(rf"{word}\d+x", lower):
        word += "z"
    return word
