"""What a name means at a place of a template: a loop's item, a local name, one of ours, or a bare name's binding."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from liquid import BoundTemplate, Token, Undefined
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode

from stentor.render.environment import walk
from stentor.render.errors import TemplateInvalid
from stentor.render.frame import (
    AT,
    BRAND,
    CONTEXT,
    CUSTOMER,
    MISSING,
    UNSUBSCRIBE_URL,
    Expr,
    Field,
    Frame,
    Getter,
    Layout,
    Stage,
)
from stentor.render.source import line_of

ROOTS: dict[str, tuple[int, Stage]] = {
    "context": (CONTEXT, Stage.EXECUTION),
    "brand": (BRAND, Stage.EXECUTION),
    "customer": (CUSTOMER, Stage.PERSON),
    "unsubscribe_url": (UNSUBSCRIBE_URL, Stage.PERSON),
    "now": (AT, Stage.PERSON),
}
"""The names that templates share, each with its place and the stage at which it is known; `today` is made of `now`."""

_MAPPINGS = frozenset({CUSTOMER, CONTEXT, BRAND})

OTHER_PAGES: Mapping[str, str] = {"preferences_url": "/p/", "view_url": "/v/"}
"""Links that are made of `unsubscribe_url`, by the page of ours that they lead to: whoever may leave may choose, and see it again."""

RESERVED_NAMES = frozenset({*ROOTS, *OTHER_PAGES, "today"})


class Local(NamedTuple):
    place: int
    stage: Stage


@dataclass(slots=True)
class LoopNames:
    """The names of one loop: its item's and its helper's place, the bit that says "varies with it"."""

    variable: str
    bit: int
    stage: Stage
    item: int
    helper: int
    outer_helper: int | None
    helper_is_read: bool = False
    """Whether the helper is needed, for this loop or, as `parentloop`, for one inside it."""


class Scope:
    """The names of one part, followed through it in the order of its text."""

    token: Token | None = None
    """Where we are, for complaints."""

    def __init__(self, part: str, template: BoundTemplate, bindings: Mapping[str, str], layout: Layout) -> None:
        self._part = part
        self._bindings = bindings
        self._layout = layout
        self._assignments = Counter(_assigned_names(template))
        self._locals: dict[str, Local] = {}
        self._read: set[str] = set()
        self._loops: list[LoopNames] = []

    @property
    def loop_bit(self) -> int:
        """The bit of the innermost loop around this place; 0 outside loops."""
        return self._loops[-1].bit if self._loops else 0

    def refused(self, message: str) -> TemplateInvalid:
        """A complaint about this place."""
        known = self.token is not None and self.token.start_index >= 0
        line = line_of(self.token.source, self.token.start_index) if self.token and known else None
        return TemplateInvalid(self._part, message, line=line)

    @contextmanager
    def loop(self, variable: str, stage: Stage) -> Iterator["LoopNames"]:
        """Inside, `variable` is the loop's item and `forloop` its helper."""
        outer = self._loops[-1].helper if self._loops else None
        names = LoopNames(
            variable,
            1 << len(self._loops),
            max(stage, Stage.EXECUTION),
            self._layout.place(),
            self._layout.place(),
            outer,
        )
        self._loops.append(names)
        try:
            yield names
        finally:
            self._loops.pop()

    def assign(self, name: str, stage: Stage) -> Local:
        """The local name's place, and the stage at which it is assigned.

        That is per execution only for a name that is assigned once, before it is read, and not under a condition
        (which the caller knows and says with `stage`); else a person's rendering could see another's order of things.
        """
        known = self._locals.get(name)
        if known is None:
            folds = self._layout.folding and self._assignments[name] == 1 and name not in self._read
            known = Local(self._layout.place(MISSING), max(stage, Stage.EXECUTION) if folds else Stage.PERSON)
            self._locals[name] = known
        return known

    def resolve(self, name: str) -> Expr:
        """What the name means here. Raises TemplateInvalid for a bare name that is bound to nothing."""
        for loop in reversed(self._loops):
            if name == loop.variable:
                return Expr(itemgetter(loop.item), loop.stage, loop.bit, loop.item)
            if name == "forloop":
                for around in self._loops:
                    around.helper_is_read = True
                return Expr(itemgetter(loop.helper), loop.stage, loop.bit, loop.helper)
        if name not in self._assignments:
            return self._shared(name)
        self._read.add(name)
        local = self.assign(name, Stage.PERSON)
        return Expr(_local_or(local.place, self._before_assignment(name).get), local.stage)

    def _before_assignment(self, name: str) -> Expr:
        if name in RESERVED_NAMES or name in self._bindings:
            return self._shared(name)
        undefined = Undefined(name)
        return Expr(lambda _: undefined, Stage.TEMPLATE)

    def _shared(self, name: str) -> Expr:
        if name in ROOTS:
            place, stage = ROOTS[name]
            return Expr(itemgetter(place), stage, place=place)
        if name in OTHER_PAGES:
            return Expr(_other_page(OTHER_PAGES[name]), Stage.PERSON)
        if name == "today":
            return Expr(lambda frame: frame[AT].date(), Stage.PERSON)
        if name not in self._bindings:
            raise self.refused(f"{name} is bound to nothing; write context.{name} or customer.{name}.")
        place, stage = ROOTS[self._bindings[name].partition(".")[0]]
        return field_of(place, name, Undefined(name), stage)


def field_of(place: int, name: str, undefined: Undefined, stage: Stage, loops: int = 0) -> Expr:
    """A field of what stands at that place."""
    field = Field(place, name, undefined, shared=place in _MAPPINGS)
    return Expr(field.getter(), stage, loops, field=field)


def _local_or(place: int, otherwise: Getter) -> Getter:
    def get(frame: Frame) -> object:
        value = frame[place]
        return otherwise(frame) if value is MISSING else value

    return get


def other_page(unsubscribe_url: str | None, page: str) -> str:
    """The link to another page for whom the unsubscribe link is; empty where there is none."""
    before, _, token = (unsubscribe_url or "").rpartition("/u/")
    return before + page + token if token else ""


def _other_page(page: str) -> Getter:
    return lambda frame: other_page(frame[UNSUBSCRIBE_URL], page)


def _assigned_names(template: BoundTemplate) -> Iterator[str]:
    return (str(node.name) for node in walk(template) if isinstance(node, AssignNode | CaptureNode))
