"""The `for` loop as a closure: its items, their slice, its counts, and `break` and `continue`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from liquid import Undefined
from liquid.builtin.tags.for_tag import ForLoop

from stentor.render.errors import RenderError
from stentor.render.frame import Emit, Frame, Getter
from stentor.render.limits import LOOP_ITERATIONS_MAX, LOOP_STEPS_MAX, Limits
from stentor.render.pieces import Break, Continue, Slot
from stentor.render.scope import LoopNames

Items: TypeAlias = Callable[[Frame], Sequence[Any]]
Rounds: TypeAlias = Callable[[Frame, Sequence[Any]], str]


class Meters(NamedTuple):
    """The places of a part's counts."""

    iterations: int
    steps: int
    namespace: int
    work: int


def items_of(iterable: Getter, limit: Getter | None, offset: Getter | None, *, backwards: bool) -> Items:
    """What a loop goes through: the items of a list, the pairs of an object, a text as one item; of all else nothing."""

    def everything(frame: Frame) -> Sequence[Any]:
        value = iterable(frame)
        return value if value.__class__ is list else _sequence(value)

    def slice_of(frame: Frame) -> Sequence[Any]:
        items = everything(frame)
        length = len(items)
        count = None if limit is None else _whole(limit(frame))
        start = 0 if offset is None else _whole(offset(frame))
        stop = min((None if count is None else count + start) or length, length)
        if stop < 0:
            raise RenderError("a loop's limit is negative")
        return items[min(max(start, 0), length) : stop]

    chosen = everything if limit is None and offset is None else slice_of
    return (lambda frame: chosen(frame)[::-1]) if backwards else chosen


def loop_of(
    names: LoopNames, items_in: Items, body: Slot, otherwise: Emit, *, title: str, meters: Meters, limits: Limits
) -> Emit:
    """The loop; a round counts as one iteration and as many steps as its body has slots, when the loop begins."""
    simple = _simple_rounds(names.item, body.emit, limits.output_chars)
    careful = _careful_rounds(names, title, body.emit, limits.output_chars)
    simple_max = 0 if names.helper_is_read or body.interrupts else _SIMPLE_ROUNDS_MAX
    meter, iterations_max = meters.iterations, limits.loop_iterations
    # Bodies of fewer steps cannot pass the limit of steps within that of iterations.
    charge_steps = _step_charger(meters.steps, limits, body.steps) if body.steps > _FREE_STEPS else None

    def emit(frame: Frame) -> str:
        items = items_in(frame)
        if not items:
            return otherwise(frame)
        rounds = len(items)
        frame[meter] += rounds
        if frame[meter] > iterations_max:
            raise RenderError(f"its loops go round more than {iterations_max} times", limit="loop_iterations")
        if charge_steps is not None:
            charge_steps(frame, rounds)
        return simple(frame, items) if rounds <= simple_max else careful(frame, items)

    return emit


_FREE_STEPS = LOOP_STEPS_MAX // LOOP_ITERATIONS_MAX
# So few rounds may be measured together when they are done.
_SIMPLE_ROUNDS_MAX = 32


def _simple_rounds(item: int, run: Emit, limit: int) -> Rounds:
    def go(frame: Frame, items: Sequence[Any]) -> str:
        texts: list[str] = []
        for value in items:
            frame[item] = value
            texts.append(run(frame))
        text = "".join(texts)
        if len(text) > limit:
            raise _too_long(limit)
        return text

    return go


def _careful_rounds(names: LoopNames, title: str, run: Emit, limit: int) -> Rounds:
    """Rounds that know their number, can be broken off, and are stopped when they print too much."""
    item = names.item
    helper_of = _helpers(names, title)

    def go(frame: Frame, items: Sequence[Any]) -> str:
        helper = helper_of(frame, len(items))
        texts: list[str] = []
        size = 0
        for value in items:
            frame[item] = value
            helper.step()
            try:
                text = run(frame)
            except Continue as interrupt:
                text = interrupt.text
            except Break as interrupt:
                texts.append(interrupt.text)
                break
            size += len(text)
            if size > limit:
                raise _too_long(limit)
            texts.append(text)
        return "".join(texts)

    return go


def _too_long(limit: int) -> RenderError:
    return RenderError(f"a loop prints more than {limit} characters", limit="output_chars")


def _helpers(names: LoopNames, title: str) -> Callable[[Frame, int], ForLoop]:
    place, outer = names.helper, names.outer_helper
    outermost = Undefined("parentloop")

    def start(frame: Frame, length: int) -> ForLoop:
        helper = ForLoop(title, iter(()), length, outermost if outer is None else frame[outer])
        frame[place] = helper
        return helper

    return start


def _step_charger(meter: int, limits: Limits, steps: int) -> Callable[[Frame, int], None]:
    def charge(frame: Frame, rounds: int) -> None:
        frame[meter] += rounds * steps
        if frame[meter] > limits.loop_steps:
            raise RenderError(f"its loops do more than {limits.loop_steps} things", limit="loop_steps")

    return charge


def _sequence(value: Any) -> Sequence[Any]:
    match value:
        case Mapping():
            return list(value.items())
        case str():
            return [value] if value else []
        case Sequence():
            return value
        case _:
            return ()


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise RenderError(f"a loop's limit or offset is no whole number but {type(value).__name__}") from error
