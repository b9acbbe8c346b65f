"""Where a compiled template keeps its values: one list per person, in which each name has a fixed place.

What depends on the execution alone (context, brand) is computed once per execution, into the list from which every
person's is copied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from liquid import Undefined

Frame: TypeAlias = list[Any]
Getter: TypeAlias = Callable[[Frame], Any]
Emit: TypeAlias = Callable[[Frame], str]

CUSTOMER, CONTEXT, BRAND, UNSUBSCRIBE_URL, AT, SEND_ID, ADDRESS, DATE, SENDER, ONE_CLICK = range(10)
_SHARED = 10

MISSING: Any = object()
"""In the place of a local name to which nothing was assigned yet."""


class Stage(IntEnum):
    """When a value is known: while compiling, once per execution, or only for one person."""

    TEMPLATE = 0
    EXECUTION = 1
    PERSON = 2


@dataclass(frozen=True, slots=True)
class Field:
    """A named value of what stands at a place."""

    place: int
    name: str
    undefined: Undefined
    shared: bool
    """Whether one of our own mappings stands there, so that it is certain to be one."""

    def getter(self) -> Getter:
        place, name, undefined = self.place, self.name, self.undefined

        def get_shared(frame: Frame) -> object:
            return frame[place].get(name, undefined)

        def get(frame: Frame) -> object:
            try:
                return frame[place][name]
            except (KeyError, IndexError, TypeError):
                return undefined

        return get_shared if self.shared else get


@dataclass(frozen=True, slots=True)
class Expr:
    """A compiled expression: how to get its value, when that is known, and with which enclosing loops it varies."""

    get: Getter
    stage: Stage
    loops: int = 0
    """One bit for each enclosing loop, 1 for the outermost."""
    place: int | None = None
    """Where its value stands, if it only has to be read there."""
    field: Field | None = None
    """What it is, if it is no more than a field of what stands at a place."""


class Layout:
    """The places of one message's frame, shared by all its parts, and what is computed once per execution.

    With `folding` off nothing is, and every person's rendering computes everything: the way out when something that
    depends on the execution alone fails, since perhaps nobody's message needs it.
    """

    def __init__(self, *, folding: bool = True) -> None:
        self.folding = folding
        self.folds: list[tuple[int, Getter]] = []
        self._initial: Frame = [None] * _SHARED
        self._meters: list[int] = []

    def place(self, initial: Any = None) -> int:
        """A new place; `initial` is what each person's frame has there at first."""
        self._initial.append(initial)
        return len(self._initial) - 1

    def meter(self) -> int:
        """A new place for a count, zero at the start of each person's rendering."""
        place = self.place(0)
        self._meters.append(place)
        return place

    def fold(self, getter: Getter) -> int:
        """The place where the value stands, computed once per execution, in the order of these calls."""
        place = self.place()
        self.folds.append((place, getter))
        return place

    def frame(self) -> Frame:
        """A frame as it is before anything was computed."""
        return self._initial.copy()

    def execute_folds(self, frame: Frame) -> None:
        """Computes what depends on the execution alone, and sets the counts back; lets through what a fold raises."""
        for place, getter in self.folds:
            frame[place] = getter(frame)
        for meter in self._meters:
            frame[meter] = 0
