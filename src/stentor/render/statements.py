"""What Liquid's tags do, as closures over a frame: choose, take turns, capture and assign."""

import sys
from collections.abc import Sequence

from liquid import is_undefined
from markupsafe import Markup

from stentor.render.comparisons import equal
from stentor.render.errors import RenderError
from stentor.render.frame import MISSING, Emit, Frame, Getter
from stentor.render.pieces import Interrupt


def negated(get: Getter) -> Getter:
    return lambda frame: not get(frame)


def first_true(conditions: Sequence[Getter], emits: Sequence[Emit], otherwise: Emit) -> Emit:
    if len(conditions) == 1:
        condition, emit = conditions[0], emits[0]
        return lambda frame: emit(frame) if condition(frame) else otherwise(frame)
    branches = tuple(zip(conditions, emits, strict=True))

    def emit_first(frame: Frame) -> str:
        for condition, emit in branches:
            if condition(frame):
                return emit(frame)
        return otherwise(frame)

    return emit_first


def cases(left: Getter, blocks: Sequence[tuple[Sequence[Getter] | None, Emit]]) -> Emit:
    """Every `when` prints its block once for each of its values that match; `else` where none did so before it."""

    def emit_matching(frame: Frame) -> str:
        value = left(frame)
        texts: list[str] = []
        matched = False
        for values, emit in blocks:
            if values is None:
                if not matched:
                    texts.append(emit(frame))
                continue
            matches = sum(equal(value, candidate(frame)) for candidate in values)
            matched = matched or matches > 0
            texts.extend(emit(frame) for _ in range(matches))
        return "".join(texts)

    return emit_matching


def cycled(place: int, group: Getter | None, values: Sequence[Getter]) -> Getter:
    def get(frame: Frame) -> object:
        found = [value(frame) for value in values]
        key = _group_name(group(frame)) if group else ""
        turns: dict[str, int] | None = frame[place]
        if turns is None:
            turns = {}
            frame[place] = turns
        turn = turns.get(key or str(found), 0)
        turns[key or str(found)] = (turn + 1) % len(found)
        return found[turn] if turn < len(found) else ""

    return get


def _group_name(value: object) -> str:
    return "__UNDEFINED" if is_undefined(value) else str(value)


def captured(emit: Emit, *, autoescape: bool) -> Getter:
    def get(frame: Frame) -> str:
        try:
            text = emit(frame)
            return Markup(text) if autoescape else text  # noqa: S704  its values were escaped one by one
        except Interrupt as interrupt:
            interrupt.text = ""
            raise

    return get


def stored(place: int, get: Getter, meter: int, bytes_max: int) -> Emit:
    def store(frame: Frame) -> str:
        value = get(frame)
        before = frame[place]
        size = frame[meter] + sys.getsizeof(value) - (0 if before is MISSING else sys.getsizeof(before))
        if size > bytes_max:
            raise RenderError(f"its names hold more than {bytes_max} bytes", limit="namespace_bytes")
        frame[meter] = size
        frame[place] = value
        return ""

    return store
