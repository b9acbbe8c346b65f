"""Two texts side by side, line by line: what stayed, what went, what came."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

EDITS_MAX = 1_000
"""Lines that may differ before the rest of two texts is shown as replaced: finding the least difference grows by its square."""

CONTEXT_LINES = 3

Kind: TypeAlias = Literal["same", "changed", "gone", "come", "left_out"]


class Words(msgspec.Struct, frozen=True):
    """A line in three: what it shares with the line beside it before and behind, and between them what it does not."""

    before: str
    changed: str
    behind: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the old text, of the new one, or both side by side. Of lines that are left out, `number` tells how many."""

    kind: Kind
    old_line: int | None = None
    old: Words | None = None
    new_line: int | None = None
    new: Words | None = None
    number: int = 0


class PartCompared(msgspec.Struct, frozen=True):
    """A part of one language in which two versions differ; `came` and `went` count lines."""

    language: str
    part: str
    rows: list[Row]
    came: int
    went: int


def compared(old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> list[PartCompared]:
    """What differs between two templates' variants. Takes up to seconds for megabytes: call it in a thread."""
    return [
        _part(language, part, old.get(language, {}).get(part, ""), new.get(language, {}).get(part, ""))
        for language in dict.fromkeys([*new, *old])
        for part in dict.fromkeys([*new.get(language, {}), *old.get(language, {})])
        if old.get(language, {}).get(part, "") != new.get(language, {}).get(part, "")
    ]


def _part(language: str, part: str, old: str, new: str) -> PartCompared:
    rows = list(_rows(_lines(old), _lines(new)))
    went = sum(row.old is not None for row in rows if row.kind != "same")
    came = sum(row.new is not None for row in rows if row.kind != "same")
    return PartCompared(language, part, list(_folded(rows)), came, went)


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    """All rows, pairs of replaced lines beside each other."""
    at_old = at_new = 0
    for place_old, place_new in [*_shared(old, new), (len(old), len(new))]:
        yield from _replaced(old[at_old:place_old], new[at_new:place_new], at_old, at_new)
        if place_old < len(old) and place_new < len(new):
            words = Words(old[place_old], "", "")
            yield Row(kind="same", old_line=place_old + 1, old=words, new_line=place_new + 1, new=words)
        at_old, at_new = place_old + 1, place_new + 1


def _replaced(old: Sequence[str], new: Sequence[str], at_old: int, at_new: int) -> Iterator[Row]:
    both = min(len(old), len(new))
    for index in range(both):
        went, came = _words(old[index], new[index])
        yield Row(kind="changed", old_line=at_old + index + 1, old=went, new_line=at_new + index + 1, new=came)
    for index in range(both, len(old)):
        yield Row(kind="gone", old_line=at_old + index + 1, old=Words("", old[index], ""))
    for index in range(both, len(new)):
        yield Row(kind="come", new_line=at_new + index + 1, new=Words("", new[index], ""))


def _words(old: str, new: str) -> tuple[Words, Words]:
    most = min(len(old), len(new))
    before = next((index for index in range(most) if old[index] != new[index]), most)
    left = most - before
    behind = next((index for index in range(left) if old[-1 - index] != new[-1 - index]), left)
    return _cut(old, before, behind), _cut(new, before, behind)


def _cut(line: str, before: int, behind: int) -> Words:
    end = len(line) - behind
    return Words(line[:before], line[before:end], line[end:])


def _shared(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of lines that both texts share, in their order: as many as there are, if they differ in no more than EDITS_MAX."""
    most = min(len(old), len(new))
    head = next((index for index in range(most) if old[index] != new[index]), most)
    tail = next((index for index in range(most - head) if old[-1 - index] != new[-1 - index]), most - head)
    inner_old, inner_new = old[head : len(old) - tail], new[head : len(new) - tail]
    return [
        *((index, index) for index in range(head)),
        *((head + left, head + right) for left, right in _least_edits(inner_old, inner_new)),
        *((len(old) - tail + index, len(new) - tail + index) for index in range(tail)),
    ]


def _least_edits(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Myers' way: the furthest place that each number of edits reaches on each diagonal; [] past EDITS_MAX edits."""
    furthest, steps = {1: 0}, list[dict[int, int]]()
    for edits in range(min(len(old) + len(new), EDITS_MAX) + 1):
        steps.append(furthest.copy())
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (
                diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
            )
            left = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            right = left - diagonal
            while left < len(old) and right < len(new) and old[left] == new[right]:
                left, right = left + 1, right + 1
            furthest[diagonal] = left
            if left >= len(old) and right >= len(new):
                return _walked_back(steps, len(old), len(new))
    return []


def _walked_back(steps: Sequence[Mapping[int, int]], left: int, right: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for edits in range(len(steps) - 1, -1, -1):
        furthest, diagonal = steps[edits], left - right
        down = diagonal == -edits or (
            diagonal != edits and furthest.get(diagonal - 1, -1) < furthest.get(diagonal + 1, -1)
        )
        came_from = diagonal + 1 if down else diagonal - 1
        old_left = furthest[came_from]
        old_right = old_left - came_from
        while left > old_left and right > old_right:
            left, right = left - 1, right - 1
            found.append((left, right))
        left, right = old_left, old_right
    return found[::-1]


def _folded(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with three lines around what differs; runs of others become one row that counts them."""
    near: set[int] = set()
    for index, row in enumerate(rows):
        if row.kind != "same":
            near.update(range(index - CONTEXT_LINES, index + CONTEXT_LINES + 1))
    hidden = 0
    for index, row in enumerate(rows):
        if index in near:
            if hidden:
                yield Row(kind="left_out", number=hidden)
            hidden = 0
            yield row
        else:
            hidden += 1
    if hidden:
        yield Row(kind="left_out", number=hidden)
