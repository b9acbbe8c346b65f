from pathlib import Path

import pytest

from stentor.db.sql import QuerySet, Statement, parse_blocks


def translated(source: str) -> tuple[str, set[str]]:
    statement = parse_blocks(f"-- name: block\n{source}", origin="test.sql")["block"]
    return statement.text, set(statement.parameters)


def test_a_parameter_is_a_name_after_a_colon():
    assert translated("SELECT :first, f(:second_2)") == (
        "SELECT %(first)s, f(%(second_2)s)",
        {"first", "second_2"},
    )


def test_now_is_the_statements_time_moved_by_the_shift():
    assert translated("SELECT :now") == ("SELECT (statement_timestamp() + %(shift)s)", {"shift"})


@pytest.mark.parametrize(
    "source",
    ["SELECT x::text", "SELECT ':name'", "SELECT 'it''s :name'", "SELECT '-- :name'", "SELECT '{\"a\":1}'::jsonb"],
)
def test_casts_and_quoted_text_hold_no_parameters(source: str):
    assert translated(source) == (source, set())


def test_a_cast_may_follow_a_parameter():
    assert translated("SELECT :ids::uuid[]") == ("SELECT %(ids)s::uuid[]", {"ids"})


def test_comments_are_left_out_with_what_they_say():
    assert translated("SELECT 1 -- not :this, don't\n-- nor :that\nFROM t") == ("SELECT 1 \nFROM t", set())


def test_percent_signs_reach_the_server_as_they_are():
    assert translated("SELECT 5 % 2, 'a%' -- 100 %") == ("SELECT 5 %% 2, 'a%%' ", set())


def test_a_block_says_why_it_is_bound_to_no_brand():
    blocks = parse_blocks("-- name: a\n-- all brands: the keeper's\nSELECT 1\n-- name: b\nSELECT 2", origin="test.sql")

    assert blocks["a"].all_brands == "the keeper's"
    assert blocks["b"].all_brands is None


def test_a_name_used_twice_is_refused():
    with pytest.raises(TypeError, match=r"test\.sql names a twice"):
        parse_blocks("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", origin="test.sql")


def test_sql_before_the_first_name_is_refused():
    with pytest.raises(TypeError, match="before its first"):
        parse_blocks("SELECT 1\n-- name: a\nSELECT 2", origin="test.sql")


def test_a_comment_may_open_a_file():
    assert list(parse_blocks("-- About the file.\n\n-- name: a\nSELECT 1", origin="test.sql")) == ["a"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "package_with_sql"
    folder.mkdir()
    (folder / "queries.sql").write_text("-- name: first\nSELECT 1\n-- name: second\nSELECT 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_query_set_has_its_blocks_as_attributes(package: str):
    class Sql(QuerySet, file="queries.sql", package=package):
        first: Statement
        second: Statement

    assert Sql.first.text == "SELECT 1"
    assert set(Sql.statements) == {"first", "second"}


def test_a_declared_block_that_the_file_lacks_fails_the_import(package: str):
    with pytest.raises(TypeError, match=r"lacks the blocks \['third'\]"):

        class Sql(QuerySet, file="queries.sql", package=package):
            first: Statement
            second: Statement
            third: Statement


def test_a_block_that_nobody_declares_fails_the_import(package: str):
    with pytest.raises(TypeError, match=r"has the blocks \['second'\]"):

        class Sql(QuerySet, file="queries.sql", package=package):
            first: Statement


def test_a_file_may_have_each_block_once_for_each_of_some_words():
    blocks = parse_blocks(
        "-- for each KIND of: run, segment\n-- About the file.\n-- name: known\nSELECT id FROM optout_{KIND} WHERE a = :a",
        origin="test.sql",
    )

    assert {name: block.text for name, block in blocks.items()} == {
        "known:run": "SELECT id FROM optout_run WHERE a = %(a)s",
        "known:segment": "SELECT id FROM optout_segment WHERE a = %(a)s",
    }
