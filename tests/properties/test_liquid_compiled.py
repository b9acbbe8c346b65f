"""The compiled form against python-liquid's interpreter: the same bytes for every template and everybody's values."""

import quopri
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from liquid_strategies import objects, templates
from stentor.render.encodings import Encoding, PlainText
from stentor.render.environment import parse
from stentor.render.errors import RenderError, TemplateInvalid
from stentor.render.filters import NotYetKnown
from stentor.render.frame import AT, BRAND, CONTEXT, CUSTOMER, UNSUBSCRIBE_URL, Frame, Layout
from stentor.render.liquid import Part, compile_part, interpret, interpreter_names
from stentor.render.pieces import alternate, fold, joined
from stentor.render.quoted_printable import QuotedPrintable

MOMENT = datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
BINDINGS = {"title": "context.title", "plan": "customer.attributes.plan"} | dict.fromkeys(
    ("x", "y", "item", "nobody", "forloop", "raw"), "context.x"
)
FAILURES = (LiquidError, TemplateInvalid, RenderError, NotYetKnown, ValueError, TypeError, ArithmeticError, LookupError)

examples = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@examples
@given(source=templates, context=objects, customer=objects, autoescape=st.booleans())
def test_the_compiled_form_prints_what_the_interpreter_prints(
    source: str, context: dict[str, Any], customer: dict[str, Any], autoescape: bool
):
    expected = _outcome(_interpreted, source, context, customer, autoescape=autoescape)

    encoding = PlainText(autoescape=autoescape)
    printed = _outcome(_compiled, source, context, customer, encoding=encoding, autoescape=autoescape, folding=False)

    assert printed == expected


@examples
@given(source=templates, context=objects, customer=objects, autoescape=st.booleans())
def test_what_is_computed_once_per_execution_is_what_each_person_would_have_computed(
    source: str, context: dict[str, Any], customer: dict[str, Any], autoescape: bool
):
    encoding = PlainText(autoescape=autoescape)
    folded = _outcome(_compiled, source, context, customer, encoding=encoding, autoescape=autoescape, folding=True)

    # None where something that depends on the execution alone fails: then nothing is folded.
    if folded is not None:
        assert folded == _interpreted(source, context, customer, autoescape=autoescape)


@examples
@given(source=templates, context=objects, customer=objects, autoescape=st.booleans(), folding=st.booleans())
def test_the_quoted_printable_form_decodes_to_the_text(
    source: str, context: dict[str, Any], customer: dict[str, Any], autoescape: bool, folding: bool
):
    encoding = QuotedPrintable(autoescape=autoescape)
    encoded = _outcome(_compiled, source, context, customer, encoding=encoding, autoescape=autoescape, folding=folding)
    if encoded is None:
        return

    lines = encoded.split("\r\n")
    assert encoded.isascii()
    assert max(map(len, lines)) <= 76
    assert not any(line.startswith(".") or line.endswith((" ", "\t")) for line in lines)
    assert not {"\r", "\n"} & set("".join(lines))
    decoded = quopri.decodestring(encoded.encode()).decode()
    assert decoded.replace("\r\n", "\n") == _interpreted(source, context, customer, autoescape=autoescape)


def _interpreted(source: str, context: dict[str, Any], customer: dict[str, Any], *, autoescape: bool) -> str:
    frame = _frame(Layout(), context, customer)
    return interpret(parse("text", source, autoescape=autoescape), interpreter_names(frame, BINDINGS))


def _compiled(
    source: str,
    context: dict[str, Any],
    customer: dict[str, Any],
    *,
    encoding: Encoding,
    autoescape: bool,
    folding: bool,
) -> str:
    layout = Layout(folding=folding)
    pieces = compile_part(Part("text", source), encoding, layout, BINDINGS, autoescape=autoescape)
    emit = joined(*alternate([piece if isinstance(piece, str) else fold(piece, layout) for piece in pieces]))
    return emit(_frame(layout, context, customer))


def _frame(layout: Layout, context: dict[str, Any], customer: dict[str, Any]) -> Frame:
    frame = layout.frame()
    frame[CONTEXT], frame[BRAND] = context, {"name": "Seed & Co", "a": [1, 2]}
    layout.execute_folds(frame)
    frame[CUSTOMER], frame[AT], frame[UNSUBSCRIBE_URL] = customer, MOMENT, "https://x.test/u/1?a=1&b=2"
    return frame


def _outcome(render: Callable[..., str], *arguments: Any, **options: Any) -> str | None:
    """The text, or None for a template or values that cannot be rendered."""
    try:
        return render(*arguments, **options)
    except FAILURES:
        return None
