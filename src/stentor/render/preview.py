"""A template rendered for a look at it: every part as text, and which values came to nothing."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from io import StringIO
from typing import Any

import msgspec
from liquid import BoundTemplate
from liquid.exceptions import LiquidError

from stentor.domain.vocabulary import ChannelKind
from stentor.render.compiled import MailSender
from stentor.render.email import with_preheader
from stentor.render.environment import InterpreterContext, parse
from stentor.render.errors import RenderError
from stentor.render.frame import AT, BRAND, CONTEXT, CUSTOMER, UNSUBSCRIBE_URL, Layout
from stentor.render.liquid import interpreter_names
from stentor.render.messages import check_parts, compile_message

_SEND_ID = "preview"
_SENDER = MailSender("preview@example.invalid")
_ADDRESSES = {ChannelKind.EMAIL: "someone@example.invalid"}


class PreviewRequest(msgspec.Struct, frozen=True):
    """What to render, and the values to do it with. `parts` are final, as `publishing.final_parts` makes them."""

    kind: ChannelKind
    parts: dict[str, str]
    bindings: dict[str, str]
    context: dict[str, Any]
    brand: dict[str, Any]
    customer: dict[str, Any]
    at: datetime
    unsubscribe_url: str = ""


class Preview(msgspec.Struct, frozen=True):
    """What a message would say. `problem` is empty unless it could not be sent like this."""

    parts: dict[str, str]
    """Each part's text; the HTML with its preheader in place."""
    blanks: dict[str, list[str]]
    """For each part, the expressions that printed nothing, as the author wrote them."""
    problem: str = ""


def preview(request: PreviewRequest) -> Preview:
    """The parts as that person would read them, and what was blank.

    Raises TemplateInvalid for a template that cannot be published. What would fail at sending is named in `problem`,
    beside the parts that can be shown.
    """
    check_parts(request.kind, request.parts)
    compiled = compile_message(request.kind, request.parts, request.bindings)
    shown = _shown(request)
    try:
        message = compiled.bind(
            context=request.context, brand=request.brand, sender=_SENDER, one_click=bool(request.unsubscribe_url)
        ).render(
            request.customer,
            send_id=_SEND_ID,
            address=_ADDRESSES.get(request.kind, ""),
            at=request.at,
            unsubscribe_url=request.unsubscribe_url,
        )
    except RenderError as error:
        return msgspec.structs.replace(shown, problem=str(error))
    if len(shown.parts) > 1:
        return shown
    # A message of one part is what that part says, with what its channel does to values.
    return msgspec.structs.replace(shown, parts=dict.fromkeys(shown.parts, message.wire().decode()))


def _shown(request: PreviewRequest) -> Preview:
    names = _names(request)
    parts: dict[str, str] = {}
    blanks: dict[str, list[str]] = {}
    for part, source in request.parts.items():
        is_html = request.kind is ChannelKind.EMAIL and part in {"html", "preheader"}
        text = with_preheader(source, request.parts.get("preheader", "")) if part == "html" else source
        parts[part], found = _interpreted(parse(part, text, autoescape=is_html), names)
        if found:
            blanks[part] = found
    return Preview(parts, blanks)


def _names(request: PreviewRequest) -> dict[str, Any]:
    frame = Layout().frame()
    frame[CONTEXT], frame[BRAND], frame[CUSTOMER] = request.context, request.brand, request.customer
    frame[AT], frame[UNSUBSCRIBE_URL] = request.at, request.unsubscribe_url
    return interpreter_names(frame, request.bindings)


def _interpreted(template: BoundTemplate, names: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The text as far as it goes, and the expressions that printed nothing."""
    context = InterpreterContext(template, globals=names)
    buffer = StringIO()
    # What stops it is named in `problem` already: compiled, the template fails likewise.
    with suppress(LiquidError, RenderError, ValueError, TypeError, ArithmeticError, LookupError):
        template.render_with_context(context, buffer)
    return buffer.getvalue(), list(dict.fromkeys(context.blanks))
