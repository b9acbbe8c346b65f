"""A condition in a line, as pages tell of one that is edited elsewhere: in the words of its form."""

from stentor.audience.segments.expressions import Expression
from stentor.console.fields import FieldView
from stentor.console.segment_form.kinds import GROUPS
from stentor.console.segment_form.rows import rows_of
from stentor.console.segment_form.view import Choices, RowView, nouns_in, view

WORDS_CHARS_MAX = 500
"""Of a condition in a line; the rest is in its form."""

_JOINED = {"all_of": " and ", "any_of": " or ", "none_of": ", nor "}


def nouns_of(expression: Expression) -> set[str]:
    """The nouns whose things `words_of` names, as `Chooser.choices` takes them."""
    return nouns_in(rows_of(expression))


def words_of(expression: Expression, choices: Choices) -> str:
    """`Attribute: city, is, text, Berlin and Tag: has the tag, fans`."""
    words = _words(view(rows_of(expression), choices)[0])
    return words if len(words) <= WORDS_CHARS_MAX else f"{words[:WORDS_CHARS_MAX]}…"


def _words(row: RowView, *, inside: bool = False) -> str:
    said = [text for text in map(_shown, row.fields) if text]
    kind = "" if row.kind is None else row.kind.value
    inner = [_words(one, inside=True) for one in row.rows]
    if kind in GROUPS:
        joined = _JOINED[kind].join(inner)
        joined = f"not {joined}" if kind == "none_of" else joined
        return f"({joined})" if inside and len(inner) > 1 else joined
    about = "" if row.kind is None else f"{_shown(row.kind)}: "
    return f"{about}{', '.join([*said, *inner])}"


def _shown(field: FieldView) -> str:
    text = dict(field.options).get(field.value, field.value) if field.widget == "select" else field.value
    return " ".join(text.split())
