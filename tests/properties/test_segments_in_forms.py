"""The console's form holds every expression, and gives back the one that it was given."""

from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from segment_strategies import expressions
from stentor.audience.segments import expressions as ex
from stentor.console.segment_form.kinds import CHECKS, GROUPS, KINDS
from stentor.console.segment_form.rows import changed, fields_of, posted_rows, read_rows, rows_of
from stentor.console.segment_form.texts import percents, read
from stentor.console.segment_form.view import view

# A NUL no form takes, and no database holds.
WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)


def written(expression: ex.Expression) -> bytes:
    """1, 1.0 and true are equal in Python, and not the same."""
    return msgspec.json.encode(expression)


@given(expressions)
def test_an_expression_comes_back_from_its_form_as_it_was(expression: ex.Expression):
    root = rows_of(expression)

    posted = posted_rows(fields_of(root))

    assert written(read_rows(posted).expression) == written(expression)
    view(posted, {})


@given(WORDS, WORDS, WORDS)
def test_texts_that_no_field_can_hold_come_back_as_well(name: str, value: str, seed: str):
    expression = ex.AllOf(
        conditions=(
            ex.Attribute(name=name, test=ex.In(values=(value, seed))),
            ex.Attribute(name=name, test=ex.StartsWith(value=value)),
            ex.Happened(name=name, where=(ex.Property(name=value, test=ex.Is(value=seed)),)),
            ex.Sample(share=0.5, seed=seed),
        )
    )

    fields = fields_of(rows_of(expression))
    # What a browser makes of them: one line in an input, and its own line ends in a text area.
    sent = {each: text.replace("\n", "\r\n") for each, text in fields.items()}

    assert written(read_rows(posted_rows(sent)).expression) == written(expression)
    assert not any("\n" in text for each, text in fields.items() if not each.endswith(("-values", "-json")))


@given(st.floats(0, 1, exclude_min=True))
def test_a_share_is_the_same_in_percents(share: float):
    assert read("share", percents(share)) == share


def test_a_form_asks_for_every_kind_of_condition_and_test():
    conditions, tests, groups = (
        {str(each.__struct_config__.tag) for each in get_args(union)}
        for union in (ex.Condition, ex.ValueTest, ex.Group)
    )

    assert set(KINDS) - {"code"} == conditions
    assert set(CHECKS) == tests
    assert set(GROUPS) == groups


@given(expressions)
def test_a_row_that_is_added_and_removed_leaves_all_others_as_they_were(expression: ex.Expression):
    root = rows_of(expression)
    before = fields_of(root)

    at = changed(root, "add r")
    added = fields_of(root)
    changed(root, f"remove {at}")

    assert {name for name in added if name not in before} == {f"{at}-kind"}
    assert fields_of(root) == before
