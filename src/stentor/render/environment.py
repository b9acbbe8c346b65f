"""Liquid as we speak it: python-liquid's grammar and interpreter with our names, filters and limits.

Templates stand alone (no include, no render), see nothing of the machine (no clock but the moment of rendering), and
are interpreted by the same rules by which `stentor.render.liquid` compiles them.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TextIO

from liquid import BoundTemplate, Environment, Expression, Node, RenderContext, Tag, TokenStream
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import BlockNestingError, LiquidError, LiquidSyntaxError
from liquid.stringify import to_liquid_string

from stentor.render import filters
from stentor.render.errors import TemplateInvalid
from stentor.render.limits import (
    BLOCK_DEPTH_MAX,
    EMAIL_CHARS_MAX,
    EXPRESSION_DEPTH_MAX,
    LOOP_ITERATIONS_MAX,
    NAMESPACE_BYTES_MAX,
)
from stentor.render.source import check_source, line_of

_TOO_DEEP = f"An expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels; split it with assign."


class InterpreterContext(RenderContext):
    """The interpreter's names, and a note of each output that came to nothing (for previews)."""

    __slots__ = ("blanks",)

    def __init__(self, template: BoundTemplate, **options: Any) -> None:
        super().__init__(template, **options)
        self.blanks: list[str] = []


class LoneTemplate(BoundTemplate):
    """A template that no other one includes, so that it has no name `partial` either."""

    context_class = InterpreterContext

    def make_partial_namespace(self, partial: bool, render_args: Mapping[str, object]) -> Mapping[str, object]:
        del partial
        return render_args


class LiquidEnvironment(Environment):
    """python-liquid set up for us; `autoescape` is on for HTML."""

    block_nesting_limit: ClassVar[int] = BLOCK_DEPTH_MAX
    loop_iteration_limit: ClassVar[int | None] = LOOP_ITERATIONS_MAX
    local_namespace_limit: ClassVar[int | None] = NAMESPACE_BYTES_MAX
    output_stream_limit: ClassVar[int | None] = EMAIL_CHARS_MAX
    template_class: type[BoundTemplate] = LoneTemplate

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for tag in (_NotedOutputTag, _NotedEchoTag, _IncludeTag, _RenderTag):
            self.add_tag(tag)
        filters.register(self)


@functools.cache
def environment(*, autoescape: bool) -> LiquidEnvironment:
    """The environment of HTML (`autoescape`) or of everything else."""
    return LiquidEnvironment(autoescape=autoescape)


def parse(part: str, source: str, *, autoescape: bool) -> BoundTemplate:
    """The parsed source. Raises TemplateInvalid, naming part and line, for what is no template or passes a limit."""
    check_source(part, source)
    try:
        template = environment(autoescape=autoescape).from_string(source)
    except LiquidError as error:
        raise refused(part, error) from error
    for node in walk(template):
        for expression in node.expressions():
            _check_expression(part, expression)
    return template


def walk(template: BoundTemplate) -> Iterator[Node]:
    """Every node of the template, each before those inside it."""
    context = RenderContext(template)
    waiting = list(reversed(template.nodes))
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(node.children(context)))


def _check_expression(part: str, expression: Expression) -> None:
    """Raises TemplateInvalid for an expression that is nested deeper than whoever reads it can follow."""
    waiting = [(expression, 1)]
    while waiting:
        inner, depth = waiting.pop()
        if depth > EXPRESSION_DEPTH_MAX:
            raise TemplateInvalid(part, _TOO_DEEP, line=line_of(inner.token.source, max(inner.token.start_index, 0)))
        waiting += ((child, depth + 1) for child in inner.children())


def refused(part: str, error: LiquidError) -> TemplateInvalid:
    """The parser's complaint as ours, with the number of its line."""
    token = error.token
    line = line_of(token.source, token.start_index) if token is not None and token.start_index >= 0 else None
    if isinstance(error.__cause__, RecursionError):
        return TemplateInvalid(part, _TOO_DEEP, line=line)
    if isinstance(error, BlockNestingError):
        return TemplateInvalid(
            part, f"Its blocks are nested deeper than {BLOCK_DEPTH_MAX} levels; make it flatter.", line=line
        )
    message = str(error.message or "it cannot be parsed")
    return TemplateInvalid(part, f"{message[:1].upper()}{message[1:]}.", line=line)


def _write_noted(node: OutputNode, context: RenderContext, buffer: TextIO) -> int:
    text = to_liquid_string(node.expression.evaluate(context), context.autoescape)
    if not text and isinstance(context, InterpreterContext):
        context.blanks.append(str(node.expression))
    return buffer.write(text)


class _NotedOutput(OutputNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return _write_noted(self, context, buffer)


class _NotedEcho(EchoNode):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return _write_noted(self, context, buffer)


class _NotedOutputTag(Output):
    node_class = _NotedOutput


class _NotedEchoTag(EchoTag):
    node_class = _NotedEcho


class _PartialTag(Tag):
    block = False

    def parse(self, stream: TokenStream) -> Node:
        raise LiquidSyntaxError(
            f"{self.name} is not available: a template stands alone; put the text here", token=stream.current
        )


class _IncludeTag(_PartialTag):
    name = "include"


class _RenderTag(_PartialTag):
    name = "render"
