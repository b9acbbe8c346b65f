"""Every row of what clients of the channel-integration API need has a test."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from documents import ROOT

FACTS = tomllib.loads((Path(__file__).parent / "facts.toml").read_text(encoding="utf-8"))


def test_each_row_has_a_test_and_no_test_names_a_row_that_there_is_not() -> None:
    rows, awaited = set(FACTS["rows"]), set(FACTS["awaited"])

    named = {row for file in sorted((ROOT / "tests").rglob("test_*.py")) for row in _rows_in(file)}

    assert named <= rows, "these rows are not in facts.toml"
    assert awaited <= rows, "these are awaited and no rows"
    assert rows - named <= awaited, "these rows have no test"


def _rows_in(file: Path) -> Iterator[str]:
    """What the calls of `pytest.mark.fact` name, wherever they stand: above a test, for a whole module, by parameter."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fact":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
