"""Liquid, compiled: a template becomes closures once, and a person's text is what they return.

python-liquid parses; what it knows and we do not compile (`tablerow`, `ifchanged`, `increment`, `decrement`, and loops
that continue another's) its interpreter renders, with the same result.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from liquid import BoundTemplate
from markupsafe import Markup

from stentor.render.encodings import Encoding, Incompatible
from stentor.render.environment import parse
from stentor.render.errors import TemplateInvalid
from stentor.render.expressions import NotCompiled
from stentor.render.frame import AT, CONTEXT, CUSTOMER, Expr, Frame, Layout, Stage
from stentor.render.limits import EMAIL_LIMITS, Limits
from stentor.render.nodes import NodeCompiler
from stentor.render.pieces import Piece, Slot
from stentor.render.scope import OTHER_PAGES, ROOTS, other_page

_PLACES = {"context": CONTEXT, "customer": CUSTOMER}


class Part(NamedTuple):
    """One part of a template: its name in messages to people, and its Liquid source."""

    name: str
    source: str


def compile_part(
    part: Part,
    encoding: Encoding,
    layout: Layout,
    bindings: Mapping[str, str],
    *,
    autoescape: bool = False,
    limits: Limits = EMAIL_LIMITS,
) -> list[Piece]:
    """The part as pieces in that encoding. Raises TemplateInvalid, naming the part, for what cannot be rendered."""
    template = parse(part.name, part.source, autoescape=autoescape)
    try:
        return NodeCompiler(part.name, template, layout, bindings, limits).pieces(encoding)
    except NotCompiled as error:
        if not encoding.whole_text:
            raise TemplateInvalid(part.name, f"{error} cannot be used here.") from error
        return _interpreted(template, encoding, bindings)
    except Incompatible as error:
        raise TemplateInvalid(part.name, str(error)) from error


def interpret(template: BoundTemplate, names: Mapping[str, Any]) -> str:
    """What python-liquid makes of the template; `names` are what `interpreter_names` answers."""
    return template.render(names)


def interpreter_names(frame: Frame, bindings: Mapping[str, str]) -> dict[str, Any]:
    """The names that the interpreter sees: the shared ones, and bare ones that have a value."""
    names: dict[str, Any] = {}
    for name, target in bindings.items():
        fields = frame[_PLACES[target.partition(".")[0]]]
        if name in fields:
            names[name] = fields[name]
    at = frame[AT]
    shared = {name: frame[place] for name, (place, _) in ROOTS.items()}
    shared |= {name: other_page(shared["unsubscribe_url"], page) for name, page in OTHER_PAGES.items()}
    return {**names, **shared, "today": None if at is None else at.date()}


def _interpreted(template: BoundTemplate, encoding: Encoding, bindings: Mapping[str, str]) -> list[Piece]:
    def get(frame: Frame) -> str:
        text = interpret(template, interpreter_names(frame, bindings))
        return Markup(text) if template.env.autoescape else text  # noqa: S704  the interpreter escaped it

    prefix, emit, state = encoding.value(Expr(get, Stage.PERSON), encoding.start)
    return [prefix, Slot(emit, Stage.PERSON), encoding.end(state)]
