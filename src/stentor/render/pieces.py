"""What a compiled template is made of: constant text and slots, and how they are put together again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

from stentor.render.frame import Emit, Frame, Layout, Stage


@dataclass(frozen=True, slots=True)
class Slot:
    """Something that is known only later: a value, or a block with values in it."""

    emit: Emit
    stage: Stage
    loops: int = 0
    """One bit for each enclosing loop with whose items it varies."""
    silent: bool = False
    """It prints nothing: an assignment."""
    interrupts: bool = False
    """It may break off the loop around it."""
    steps: int = 1
    """How much work it is, counted in slots."""


Piece: TypeAlias = str | Slot


class Interrupt(Exception):
    """A `break` or `continue` on its way to its loop; `text` is what was printed before it in this round."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""


class Break(Interrupt):
    pass


class Continue(Interrupt):
    pass


def block_of(pieces: Sequence[Piece], layout: Layout) -> Slot:
    """The pieces as one slot."""
    slots = [piece for piece in pieces if isinstance(piece, Slot)]
    stage = max((slot.stage for slot in slots), default=Stage.TEMPLATE)
    loops = 0
    for slot in slots:
        loops |= slot.loops
    if stage is Stage.PERSON:
        pieces = [piece if isinstance(piece, str) else fold(piece, layout) for piece in pieces]
    interrupts = any(slot.interrupts for slot in slots)
    constants, emits = alternate(pieces)
    return Slot(
        _interruptible(constants, emits) if interrupts else joined(constants, emits),
        stage,
        loops,
        silent=not any(constants) and all(slot.silent for slot in slots),
        interrupts=interrupts,
        steps=1 + sum(slot.steps for slot in slots),
    )


def fold(slot: Slot, layout: Layout) -> Slot:
    """The slot, computed once per execution where it depends on nothing else."""
    if slot.stage is Stage.PERSON or slot.loops or slot.silent or not layout.folding:
        return slot
    return Slot(itemgetter(layout.fold(slot.emit)), Stage.EXECUTION)


def alternate(pieces: Sequence[Piece]) -> tuple[list[str], list[Emit]]:
    """Constants and emits in turn, beginning and ending with a constant, perhaps an empty one.

    An assignment is done together with the slot that follows it, so that it takes no place of its own.
    """
    constants: list[str] = [""]
    emits: list[Emit] = []
    waiting: list[Emit] = []
    for piece in pieces:
        if isinstance(piece, str):
            constants[-1] += piece
        elif piece.silent and not piece.interrupts:
            waiting.append(piece.emit)
        else:
            emits.append(after(waiting, piece.emit))
            constants.append("")
            waiting.clear()
    if waiting:
        emits.append(after(waiting[:-1], waiting[-1]))
        constants.append("")
    return constants, emits


def after(first: Sequence[Emit], emit: Emit) -> Emit:
    """Does the first things, which print nothing, and then emits."""
    if not first:
        return emit
    todo = tuple(first)

    def emit_after(frame: Frame) -> str:
        for do in todo:
            do(frame)
        return emit(frame)

    return emit_after


def joined(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    """Puts the constants and what is emitted together, in turn."""
    if len(emits) in _SHORT:
        return _SHORT[len(emits)](constants, emits)
    blank = [""] * (len(constants) + len(emits))
    blank[::2] = constants
    todo = tuple(emits)

    def emit_all(frame: Frame) -> str:
        texts = blank.copy()
        texts[1::2] = [emit(frame) for emit in todo]
        return "".join(texts)

    return emit_all


def _none(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    del emits
    text = constants[0]
    return lambda _: text


def _one(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    (before, behind), (emit,) = constants, emits
    if not before and not behind:
        return emit
    return lambda frame: f"{before}{emit(frame)}{behind}"


def _two(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    (before, between, behind), (one, two) = constants, emits
    return lambda frame: f"{before}{one(frame)}{between}{two(frame)}{behind}"


def _three(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    (before, after_one, after_two, behind), (one, two, three) = constants, emits
    return lambda frame: f"{before}{one(frame)}{after_one}{two(frame)}{after_two}{three(frame)}{behind}"


# Twice as fast as the list for the blocks that loops repeat.
_SHORT: dict[int, Callable[[Sequence[str], Sequence[Emit]], Emit]] = {0: _none, 1: _one, 2: _two, 3: _three}


def _interruptible(constants: Sequence[str], emits: Sequence[Emit]) -> Emit:
    """As `joined`; what was printed before a `break` or `continue` travels with it."""
    turns = tuple(zip(constants, emits, strict=False))
    behind = constants[-1]

    def emit_until(frame: Frame) -> str:
        texts: list[str] = []
        try:
            for constant, emit in turns:
                texts.append(constant)
                texts.append(emit(frame))
        except Interrupt as interrupt:
            interrupt.text = "".join(texts) + interrupt.text
            raise
        texts.append(behind)
        return "".join(texts)

    return emit_until
