"""A/B tests of campaigns: arms and their shares, who is held out, and how a winner is found for the rest."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from stentor.audience.casting import ARMS_MAX, HELD_OUT, WAITING
from stentor.domain.policy import seconds_of
from stentor.errors import Violation

ARM_NAME_CHARS_MAX = 100
AFTER_DAYS_MAX = 31
AT_LEAST_MAX = 10_000_000

_RANGE = 1 << 32
# Of a share: what sums of decimal fractions may be off by.
_ROUNDING = 1e-9

Metric: TypeAlias = Literal["delivered", "opened", "clicked"]
"""What a winner is found by: of whom an arm's message was handed over to, the share of whom it was reported of."""


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of an A/B test, and the share of people that it is for."""

    name: Annotated[str, Meta(min_length=1, max_length=ARM_NAME_CHARS_MAX)]
    share: Annotated[float, Meta(gt=0, lt=1)]


class Winner(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the arm is found that the rest gets: the one with the highest share of `by`, so long `after` people were fixed.

    There is evidence when each arm's message was handed over to `at_least` so many people.
    """

    by: Metric
    after: Annotated[
        str, Meta(description="How long after people were fixed it is looked for: a number and s, m, h or d, as `4h`.")
    ]
    at_least: Annotated[
        int, Meta(ge=1, le=AT_LEAST_MAX, description="To how many people each arm's message was handed over, at least.")
    ] = 100
    otherwise: Annotated[
        Literal["ask", "first", "nobody"],
        Meta(
            description="What becomes of the rest when there is a tie or no evidence: it waits until somebody chooses, gets the first "
            "arm, or gets nothing."
        ),
    ] = "ask"

    @property
    def wait(self) -> timedelta:
        return timedelta(seconds=seconds_of(self.after) or 0)


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An A/B test: everybody is in one arm, held out, or, where there is a winner, waits for it; always the same ones."""

    arms: Annotated[tuple[Arm, ...], Meta(min_length=2, max_length=ARMS_MAX)]
    holdout: Annotated[float, Meta(ge=0, lt=1, description="The share of people who get nothing.")] = 0.0
    winner: Annotated[
        Winner | None,
        Meta(
            description="Null: the shares of arms and holdout are 1 together. Otherwise they are less, and the rest waits for the winner."
        ),
    ] = None

    @property
    def names(self) -> list[str]:
        """The arms' names, in the order of their numbers."""
        return [arm.name for arm in self.arms]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Where people are, by the point that `arm_point` gives them: each place with the point that it ends before."""
        shares = [(number, arm.share) for number, arm in enumerate(self.arms)]
        if self.holdout:
            shares.append((HELD_OUT, self.holdout))
        ends = [round(end * _RANGE) for end in accumulate(share for _, share in shares)]
        if self.winner is not None:
            shares.append((WAITING, 0.0))
            ends.append(_RANGE)
        ends[-1] = _RANGE
        return [(place, end) for (place, _), end in zip(shares, ends, strict=True)]


def experiment_violations(experiment: Experiment, pointer: str) -> Iterator[Violation]:
    """What is wrong with an experiment by itself."""
    if not 2 <= len(experiment.arms) <= ARMS_MAX:
        yield Violation(f"{pointer}/arms", "arms-count", f"An experiment has 2 to {ARMS_MAX} arms.")
    names = [arm.name.strip() for arm in experiment.arms]
    for place, name in enumerate(names):
        if not name or name in names[:place] or len(name) > ARM_NAME_CHARS_MAX:
            text = f"Each arm has a name of its own of at most {ARM_NAME_CHARS_MAX} characters."
            yield Violation(f"{pointer}/arms/{place}/name", "arm-name", text)
    total = sum(arm.share for arm in experiment.arms) + experiment.holdout
    if experiment.winner is None:
        if abs(total - 1) > _ROUNDING:
            text = f"The shares of arms and holdout are {total:g} together; without a winner they have to be 1."
            yield Violation(f"{pointer}/arms", "shares", text)
        return
    if total > 1 - _ROUNDING:
        text = f"The shares of arms and holdout are {total:g} together, which leaves nobody to wait for the winner."
        yield Violation(f"{pointer}/arms", "shares", text)
    seconds = seconds_of(experiment.winner.after)
    if seconds is None or seconds > AFTER_DAYS_MAX * 86_400:
        text = f"Say as `4h` or `2d` how long to wait before the winner is looked for, at most {AFTER_DAYS_MAX}d."
        yield Violation(f"{pointer}/winner/after", "invalid-duration", text)


def arms_of(route_arm: str | None, names: Sequence[str]) -> list[str]:
    """The arms that a route is for."""
    return list(names) if route_arm is None else [route_arm]
