"""Steps: what follows a campaign's own routes, when, and for whom. A list, each step after the one before.

Whoever was handed over waits; who then meets the step's condition takes it, and the others leave.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from stentor.errors import Violation, pointer_to

STEPS_MAX = 10
WAIT_S_MIN = 60
WAIT_DAYS_MAX = 90
WHEN_DEPTH_MAX = 4
WHEN_CONDITIONS_MAX = 20
ANSWER_CHARS_MAX = 200

WAIT_S_MAX = WAIT_DAYS_MAX * 86_400

StepFact: TypeAlias = Literal["delivered", "opened", "clicked", "replied", "answered"]
_SAID = frozenset({"replied", "answered"})


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"):
    """What groups and conditions have in common."""


class AllHappened(_Node, frozen=True, tag="all_of"):
    """All of these are true."""

    conditions: Annotated[tuple["When", ...], Meta(min_length=1)]


class AnyHappened(_Node, frozen=True, tag="any_of"):
    """At least one of these is true."""

    conditions: Annotated[tuple["When", ...], Meta(min_length=1)]


class NoneHappened(_Node, frozen=True, tag="none_of"):
    """None of these is true."""

    conditions: Annotated[tuple["When", ...], Meta(min_length=1)]


class StepCondition(_Node, frozen=True, kw_only=True, tag="step"):
    """What was reported of an earlier step by the time the wait is over, on any of its channels; with `has` false, that it was not."""

    what: StepFact
    step: Annotated[
        Annotated[int, Meta(ge=0, lt=STEPS_MAX)] | None,
        Meta(description="Which step: 0 is the campaign's own routes. Null: the one before this one."),
    ] = None
    answer: Annotated[
        Annotated[str, Meta(min_length=1, max_length=ANSWER_CHARS_MAX)] | None,
        Meta(description="What they replied or answered, whatever its case; null: anything."),
    ] = None
    has: bool = True


When: TypeAlias = AllHappened | AnyHappened | NoneHappened | StepCondition


class PublishedStep(msgspec.Struct, frozen=True):
    """What follows: how long people wait for it, and the publication that it runs."""

    publication_id: UUID
    wait_s: int


def when_violations(when: When, number: int, pointer: str) -> Iterator[Violation]:
    """What its types do not rule out in the condition of the step with that number."""
    nodes = list(_walk(when, pointer))
    if deep := next((place for _, place, depth in nodes if depth > WHEN_DEPTH_MAX), None):
        text = f"Groups stand in each other at most {WHEN_DEPTH_MAX} levels deep; flatten them."
        yield Violation(deep, "too-deep", text)
    if len(nodes) > WHEN_CONDITIONS_MAX:
        text = f"A step has at most {WHEN_CONDITIONS_MAX} groups and conditions; this one has {len(nodes)}."
        yield Violation(pointer, "too-many-conditions", text)
    for node, place, _ in nodes:
        if not isinstance(node, StepCondition):
            continue
        if node.step is not None and node.step >= number:
            text = f"Step {number} can ask of the steps 0 to {number - 1}, which come before it."
            yield Violation(f"{place}/step", "no-earlier-step", text)
        if node.answer is not None and node.what not in _SAID:
            text = "Only what was `replied` or `answered` has an answer; leave it out."
            yield Violation(f"{place}/answer", "no-answer", text)


def wait_violations(waits_s: Sequence[int | None], pointer: str = "/steps") -> Iterator[Violation]:
    """Which waits are none: None stands for a text that says no duration."""
    for index, wait_s in enumerate(waits_s):
        if wait_s is None or not WAIT_S_MIN <= wait_s <= WAIT_S_MAX:
            text = (
                f"A wait is {WAIT_S_MIN} seconds to {WAIT_DAYS_MAX} days, as a whole number with its unit: 30m, 2h, 2d."
            )
            yield Violation(f"{pointer}/{index}/wait", "range", text)


def _walk(node: When, pointer: str, depth: int = 1) -> Iterator[tuple[When, str, int]]:
    yield node, pointer, depth
    if not isinstance(node, StepCondition):
        for place, inner in enumerate(node.conditions):
            yield from _walk(inner, pointer + pointer_to("conditions", place), depth + 1)
