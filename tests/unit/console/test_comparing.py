"""Two texts side by side lose nothing of either, and share as many lines as they can."""

import random

from stentor.console.authoring.comparing import CONTEXT_LINES, EDITS_MAX, PartCompared, Row, Words, compared

LETTERS: list[str] = ["a", "b", "c"]


def lines_shared(old: list[str], new: list[str]) -> int:
    """The length of the longest common subsequence, by the book."""
    before = [0] * (len(new) + 1)
    for left in old:
        now = [0]
        for index, right in enumerate(new):
            now.append(before[index] + 1 if left == right else max(before[index + 1], now[-1]))
        before = now
    return before[-1]


def compare(old: list[str], new: list[str]) -> PartCompared:
    (part,) = compared({"en": {"text": "\n".join(old)}}, {"en": {"text": "\n".join(new)}})
    return part


def text(words: Words | None) -> str:
    assert words is not None
    return words.before + words.changed + words.behind


def test_random_texts_are_whole_on_both_sides_and_share_all_that_they_can():
    chance = random.Random(3)
    for _ in range(300):
        old, new = [[chance.choice(LETTERS) for _ in range(chance.randrange(1, 9))] for _ in range(2)]
        if old == new:
            continue
        part = compare(old, new)
        shown = [row for row in part.rows if row.kind != "left_out"]
        hidden = sum(row.number for row in part.rows)
        assert len(old) - part.went == len(new) - part.came == lines_shared(old, new)
        assert len([row for row in shown if row.old]) + hidden == len(old)
        assert all(text(row.old) == old[row.old_line - 1] for row in shown if row.old and row.old_line)
        assert all(text(row.new) == new[row.new_line - 1] for row in shown if row.new and row.new_line)


def test_what_stayed_is_counted_but_for_three_lines_around():
    old = [f"line {number}" for number in range(100)]
    part = compare(old, [*old[:50], "another", *old[51:]])

    assert [(row.kind, row.number) for row in part.rows if row.kind != "same"] == [
        ("left_out", 50 - CONTEXT_LINES),
        ("changed", 0),
        ("left_out", 49 - CONTEXT_LINES),
    ]
    assert next(row for row in part.rows if row.kind == "changed") == Row(
        kind="changed", old_line=51, old=Words("", "line 50", ""), new_line=51, new=Words("", "another", "")
    )


def test_within_a_line_what_differs_is_marked():
    (row,) = compare(["Hello {{ a }}, bye"], ["Hello {{ bc }}, bye"]).rows

    assert (row.old, row.new) == (Words("Hello {{ ", "a", " }}, bye"), Words("Hello {{ ", "bc", " }}, bye"))


def test_texts_that_differ_too_much_are_shown_as_replaced():
    old, new = ([f"{side} {number}" for number in range(EDITS_MAX)] for side in ("old", "new"))
    part = compare([*old, "shared"] * 2, [*new, "shared"] * 2)

    assert (part.came, part.went) == (2 * EDITS_MAX + 1, 2 * EDITS_MAX + 1)


def test_parts_and_languages_that_one_side_lacks_are_compared_with_nothing():
    found = compared({"en": {"text": "a"}, "de": {"text": "b"}}, {"en": {"text": "a", "subject": "c"}})

    assert [(one.language, one.part, one.came, one.went) for one in found] == [
        ("en", "subject", 1, 0),
        ("de", "text", 0, 1),
    ]
