"""What can be read of the lines of a CSV or NDJSON file."""

import csv
import io
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.audience.import_lines import wishes_of_objects
from stentor.audience.lines import Block
from stentor.audience.tables import RECORD_LINES_MAX, Layout, Table, read_csv, read_layout, read_ndjson
from stentor.errors import Invalid

TWO = Layout(["a", "b"], ",")
CELLS = st.text(st.sampled_from('ab," \n\r;é'), max_size=6)


def block_of(content: bytes, *, first_line: int = 1, offset: int = 1, is_last: bool = True) -> Block:
    return Block(first_line, offset, content.splitlines(keepends=True), is_last)


def refused(table: Table) -> list[int]:
    return [refusal.line for refusal in table.refused]


@given(rows=st.lists(st.tuples(CELLS, CELLS), max_size=8))
def test_what_a_writer_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)

    table = read_csv(TWO, block_of(text.getvalue().encode()))

    assert table.values == [list(row) for row in rows]
    assert table.refused == []


def test_a_row_has_the_number_of_the_line_where_it_begins():
    table = read_csv(TWO, block_of(b'1,2\n\n"3\n3\n3",4\n5,6\n', first_line=10))

    assert (table.numbers, table.consumed) == ([10, 12, 15], 6)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"subscribed": "yes"}, "The field subscribed cannot be used: it has to be true or false, not a text."),
        (
            {"channels": ["email", 5]},
            "The field channels[1] cannot be used: it has to be a text, not a whole number.",
        ),
    ],
)
def test_a_choice_of_the_wrong_type_is_refused_in_words_for_people(said: dict[str, Any], told: str):
    _, found = wishes_of_objects(Table([1], [{"external_id": "ann", "topic": "news", **said}], [], 1))

    assert [refusal.violation.message for refusal in found] == [told]


def test_a_value_that_is_too_long_is_refused_in_words_for_people():
    table = read_csv(TWO, block_of(b"1," + b"x" * 140_000 + b"\n2,3\n"))

    assert [refusal.violation.message for refusal in table.refused] == [
        "The line cannot be read: one of its values has more than 131,072 characters."
    ]
    assert table.values == [["2", "3"]]


def test_a_quote_that_is_never_closed_is_named_in_words_for_people():
    table = read_csv(TWO, block_of(b'1,2\n3,"4\n'))

    assert [refusal.violation.message for refusal in table.refused] == [
        "The line cannot be read: a quote in it is never closed."
    ]


def test_a_quote_that_is_never_closed_costs_its_own_line_only():
    content = b'1,2\n3,"4\n' + b"5,6\n" * (RECORD_LINES_MAX + 5)

    table = read_csv(TWO, block_of(content))

    assert refused(table) == [2]
    assert len(table.values) == RECORD_LINES_MAX + 6


def test_a_cell_that_is_too_large_costs_its_own_line_only():
    table = read_csv(TWO, block_of(b"1,2\n3," + b"x" * 140_000 + b"\n5,6\n"))

    assert (table.values, refused(table)) == ([["1", "2"], ["5", "6"]], [2])


def test_a_record_that_goes_on_in_the_next_block_is_left_to_it():
    content = b'1,2\n3,"4\n4\n'

    unfinished = read_csv(TWO, block_of(content, is_last=False))
    finished = read_csv(TWO, block_of(content, is_last=True))

    assert (unfinished.values, unfinished.refused, unfinished.consumed) == ([["1", "2"]], [], 1)
    assert (finished.values, refused(finished), finished.consumed) == ([["1", "2"]], [2, 3], 3)


def test_a_block_that_is_one_unfinished_record_is_passed_all_the_same():
    table = read_csv(TWO, block_of(b'1,"2\n2\n', is_last=False))

    assert (table.values, refused(table), table.consumed) == ([], [1, 2], 2)


def test_a_record_with_a_line_that_is_no_text_is_refused_once():
    table = read_csv(TWO, block_of(b'1,"2\n\xff\n2",\n3,4\n'))

    assert (table.values, refused(table)) == ([["3", "4"]], [2])


def test_quotes_that_never_match_do_not_take_for_ever():
    block = Block(1, 1, [b'c","d\n'] * 5000, is_last=False)

    begun = time.perf_counter()
    table = read_csv(TWO, block)

    assert time.perf_counter() - begun < 20
    assert len(table.refused) + len(table.values) <= 5000


@pytest.mark.parametrize(
    ("header", "columns", "delimiter"),
    [
        (b"a,b,c\n", ["a", "b", "c"], ","),
        (b"a;b;c", ["a", "b", "c"], ";"),
        (b"a\tb\r", ["a", "b"], "\t"),
        (b"\xef\xbb\xbf a , b \r\n", ["a", "b"], ","),
        (b'"a","b,c"\n', ["a", "b,c"], ","),
        (b"external_id\n", ["external_id"], ","),
    ],
)
def test_the_header_says_how_the_file_is_written(header: bytes, columns: list[str], delimiter: str):
    layout, lines = read_layout(block_of(b"\n" + header, offset=1))
    first, _ = read_layout(block_of(header, offset=0))

    assert (layout.delimiter, lines) == (delimiter, 2)
    assert first == Layout(columns, delimiter)


def test_a_file_without_a_header_is_refused():
    for content in (b"\n\n", b'"a\n', b"\x00a,b\n", b"\xff\n"):
        with pytest.raises(Invalid):
            read_layout(block_of(content, offset=0))


def test_objects_are_read_one_a_line():
    table = read_ndjson(block_of(b'{"a": 1}\n\n[1]\n{"a": 1}{"b": 2}\nnull\n{"a": "\xc3\xa4"}', first_line=5))

    assert (table.values, table.numbers) == ([{"a": 1}, {"a": "ä"}], [5, 10])
    assert refused(table) == [7, 8, 9]


@given(content=st.binary(max_size=200))
def test_no_bytes_make_reading_raise(content: bytes) -> None:
    block = block_of(content)

    if block.lines:
        table = read_csv(TWO, block)
        assert table.consumed == len(block.lines)
        read_ndjson(block)
