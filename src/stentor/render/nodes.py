"""Compiles Liquid's tags into pieces, in one encoding, following the state of the output through the text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from liquid import BoundTemplate, Node, TokenStream
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import Nil, StringLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.doc_tag import DocNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.liquid_tag import LiquidNode
from liquid.builtin.tags.unless_tag import UnlessNode

from stentor.render.encodings import Encoding, PlainText, State
from stentor.render.expressions import ExpressionCompiler, NotCompiled
from stentor.render.frame import Emit, Expr, Frame, Layout, Stage
from stentor.render.limits import Limits
from stentor.render.loops import Meters, items_of, loop_of
from stentor.render.pieces import Break, Continue, Piece, Slot, block_of, fold
from stentor.render.scope import Scope
from stentor.render.statements import captured, cases, cycled, first_true, negated, stored

_NO_OPTION = Nil(TokenStream.eof)


class Sink:
    """Takes a block's pieces in the order of its text; neighbouring constants are encoded together."""

    def __init__(self, encoding: Encoding, state: State, *, top: bool = False) -> None:
        self.encoding = encoding
        self.top = top
        self._state = state
        self._pieces: list[Piece] = []
        self._text = ""

    def constant(self, text: str) -> None:
        self._text += text

    def settle(self) -> State:
        """The state at this place, with all text before it encoded."""
        if self._text:
            encoded, self._state = self.encoding.constant(self._text, self._state)
            self._pieces.append(encoded)
            self._text = ""
        return self._state

    def value(self, value: Expr) -> None:
        prefix, emit, after = self.encoding.value(value, self.settle())
        self._pieces.append(prefix)
        self.slot(Slot(emit, value.stage, value.loops), after)

    def slot(self, slot: Slot, after: State | None = None) -> None:
        """Takes a slot; one that prints leaves the state `after`."""
        if after is not None:
            self.settle()
            self._state = after
        self._pieces.append(slot)

    def pieces(self) -> tuple[list[Piece], State]:
        state = self.settle()
        return self._pieces, state


class NodeCompiler:
    """Compiles one part of a template. Raises NotCompiled for what is left to the interpreter."""

    def __init__(
        self, part: str, template: BoundTemplate, layout: Layout, bindings: Mapping[str, str], limits: Limits
    ) -> None:
        self._template = template
        self._layout = layout
        self._limits = limits
        self._meters = Meters(layout.meter(), layout.meter(), layout.meter(), layout.meter())
        self._scope = Scope(part, template, bindings, layout)
        self._expressions = ExpressionCompiler(self._scope, template.env, limits, self._meters.work)
        self._cycles = layout.place()
        self._plain = PlainText(autoescape=template.env.autoescape)

    def pieces(self, encoding: Encoding) -> list[Piece]:
        """The part in that encoding."""
        sink = Sink(encoding, encoding.start, top=True)
        for node in self._template.nodes:
            self._node(node, sink)
        pieces, state = sink.pieces()
        return [*pieces, encoding.end(state)]

    def _node(self, node: Node, sink: Sink) -> None:
        self._scope.token = node.token
        match node:
            case ContentNode():
                sink.constant(node.text)
            case OutputNode():
                sink.value(self._expressions.value(node.expression))
            case CommentNode() | DocNode():
                pass
            case LiquidNode():
                self._inline(node.block, sink)
            case AssignNode():
                self._assign(node, sink)
            case CaptureNode():
                self._capture(node, sink)
            case _:
                self._control(node, sink)

    def _control(self, node: Node, sink: Sink) -> None:
        match node:
            case IfNode() | UnlessNode():
                self._if(node, sink)
            case CaseNode():
                self._case(node, sink)
            case ForNode():
                self._for(node, sink)
            case BreakNode() | ContinueNode():
                self._interrupt(node, sink)
            case CycleNode():
                self._cycle(node, sink)
            case _:
                raise NotCompiled(f"{{% {node.token.value} %}}")

    # --- blocks ----------------------------------------------------------------------------------------------------------

    def _block(self, block: BlockNode | None, encoding: Encoding, state: State) -> tuple[Slot, State]:
        """The block as one slot, and the state after it. A blank block is done, but prints nothing."""
        if block is None:
            return block_of((), self._layout), state
        sink = Sink(self._plain if block.blank else encoding, self._plain.start if block.blank else state)
        for node in block.nodes:
            self._node(node, sink)
        pieces, after = sink.pieces()
        if block.blank:
            return block_of([piece for piece in pieces if isinstance(piece, Slot)], self._layout), state
        return block_of(pieces, self._layout), after

    def _inline(self, block: BlockNode, sink: Sink) -> None:
        slot, after = self._block(block, sink.encoding, sink.settle())
        sink.slot(slot, after)

    def _node_slot(self, emit: Emit, conditions: Sequence[Expr], blocks: Sequence[Slot]) -> Slot:
        parts: list[Expr | Slot] = [*conditions, *blocks]
        loops = 0
        for part in parts:
            loops |= part.loops
        return Slot(
            emit,
            max(part.stage for part in parts),
            loops,
            silent=all(block.silent for block in blocks),
            interrupts=any(block.interrupts for block in blocks),
            steps=1 + sum(block.steps for block in blocks),
        )

    def _folded(self, conditions: Sequence[Expr], blocks: Sequence[Slot]) -> list[Emit]:
        """The blocks' emits; those of one person's node are computed per execution where they can be."""
        personal = any(part.stage is Stage.PERSON for part in (*conditions, *blocks))
        return [(fold(block, self._layout) if personal else block).emit for block in blocks]

    # --- if, unless, case ------------------------------------------------------------------------------------------------

    def _if(self, node: IfNode | UnlessNode, sink: Sink) -> None:
        state = sink.settle()
        first = self._expressions.condition(node.condition)
        if isinstance(node, UnlessNode):
            first = Expr(negated(first.get), first.stage, first.loops)
        conditions = [first]
        compiled = [self._block(node.consequence, sink.encoding, state)]
        for alternative in node.alternatives:
            conditions.append(self._expressions.condition(alternative.expression))
            compiled.append(self._block(alternative.block, sink.encoding, state))
        compiled.append(self._block(node.default, sink.encoding, state))
        blocks = [slot for slot, _ in compiled]
        *emits, otherwise = self._folded(conditions, blocks)
        emit = first_true([condition.get for condition in conditions], emits, otherwise)
        sink.slot(self._node_slot(emit, conditions, blocks), sink.encoding.meet([after for _, after in compiled]))

    def _case(self, node: CaseNode, sink: Sink) -> None:
        state = sink.settle()
        # Every branch that applies is printed, so each begins where any other may have ended.
        entry = sink.encoding.loop(state)
        left = self._expressions.value(node.expression)
        branches = [self._branch(block, sink.encoding, entry) for block in node.blocks]
        compared = [left, *(value for values, _, _ in branches for value in values or ())]
        blocks = [block for _, block, _ in branches]
        whens = [None if values is None else [value.get for value in values] for values, _, _ in branches]
        emit = cases(left.get, list(zip(whens, self._folded(compared, blocks), strict=True)))
        after = sink.encoding.meet([state, *(after for _, _, after in branches)])
        sink.slot(self._node_slot(emit, compared, blocks), after)

    def _branch(
        self, block: BlockNode | MultiExpressionBlockNode, encoding: Encoding, entry: State
    ) -> tuple[list[Expr] | None, Slot, State]:
        """The values of a `when` (None for `else`), its block, and the state after it."""
        if isinstance(block, BlockNode):
            return None, *self._block(block, encoding, entry)
        values = [self._expressions.value(expression) for expression in block.expression.expressions]
        return values, *self._block(block.block, encoding, entry)

    # --- for, break, continue, cycle ---------------------------------------------------------------------------------------

    def _for(self, node: ForNode, sink: Sink) -> None:
        state = sink.settle()
        entry = sink.encoding.loop(state)
        expression = node.expression
        if isinstance(expression.offset, StringLiteral) and expression.offset.value == "continue":
            raise NotCompiled("offset: continue")
        iterable = self._expressions.value(expression.iterable)
        limit, offset = (
            self._expressions.value(option or _NO_OPTION) for option in (expression.limit, expression.offset)
        )
        drivers = [iterable, limit, offset]
        otherwise, after_otherwise = self._block(node.default, sink.encoding, state)
        with self._scope.loop(expression.identifier, max(driver.stage for driver in drivers)) as names:
            body, after_body = self._block(node.block, sink.encoding, entry)
        items = items_of(
            iterable.get,
            limit.get if expression.limit else None,
            offset.get if expression.offset else None,
            backwards=expression.reversed,
        )
        inside = replace(body, loops=body.loops & ~names.bit, interrupts=False)
        (otherwise_emit,) = self._folded([*drivers, Expr(body.emit, body.stage)], [otherwise])
        title = f"{expression.identifier}-{expression.iterable}"
        emit = loop_of(names, items, body, otherwise_emit, title=title, meters=self._meters, limits=self._limits)
        # A loop that is broken off ends anywhere in its body.
        after = sink.encoding.meet([entry, after_body, after_otherwise])
        sink.slot(self._node_slot(emit, drivers, [inside, otherwise]), after)

    def _interrupt(self, node: BreakNode | ContinueNode, sink: Sink) -> None:
        bit = self._scope.loop_bit
        if not bit:
            raise self._scope.refused(f"{node} stands outside a loop; remove it.")
        interrupt = Break if isinstance(node, BreakNode) else Continue

        def emit(_: Frame) -> str:
            raise interrupt

        sink.slot(Slot(emit, Stage.TEMPLATE, bit, silent=True, interrupts=True), sink.settle())

    def _cycle(self, node: CycleNode, sink: Sink) -> None:
        group = self._expressions.value(node.group or _NO_OPTION)
        values = [self._expressions.value(value) for value in node.args]
        loops = group.loops
        for value in values:
            loops |= value.loops
        get = cycled(self._cycles, group.get if node.group else None, [value.get for value in values])
        sink.value(Expr(get, Stage.PERSON, loops))

    # --- assign, capture ---------------------------------------------------------------------------------------------------

    def _assign(self, node: AssignNode, sink: Sink) -> None:
        value = self._expressions.value(node.expression)
        self._store(str(node.name), value, sink)

    def _capture(self, node: CaptureNode, sink: Sink) -> None:
        block, _ = self._block(node.block, self._plain, self._plain.start)
        get = captured(block.emit, autoescape=self._template.env.autoescape)
        self._store(str(node.name), Expr(get, block.stage, block.loops), sink, interrupts=block.interrupts)

    def _store(self, name: str, value: Expr, sink: Sink, *, interrupts: bool = False) -> None:
        local = self._scope.assign(name, value.stage if sink.top else Stage.PERSON)
        store = stored(local.place, value.get, self._meters.namespace, self._limits.namespace_bytes)
        if local.stage is Stage.PERSON:
            sink.slot(Slot(store, Stage.PERSON, value.loops, silent=True, interrupts=interrupts))
        else:
            self._layout.fold(store)
