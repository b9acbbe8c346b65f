"""Makes docs/faults.md: which fault is proved harmless by which tests. `python tools/faults.py` writes it anew.

The rows are in tests/faults.toml; a test says of which it is a proof by `@pytest.mark.fault("F4")`, a module of all its tests by
`pytestmark`.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"
ROWS = ROOT / "tests" / "faults.toml"

_HEAD = """\
# Faults, attacks, and the tests that prove them harmless

Made from the tests by `python tools/faults.py`: a test that proves a row is marked with it. `make test` runs them; those under
`tests/prove` need more time, programs or rights, and `make prove` runs them.
"""


class Proof(NamedTuple):
    """A test, and the file it is in, from the root of the repository."""

    file: str
    test: str


class UnknownRow(Exception):
    """A test proves a row that tests/faults.toml does not have."""


def rows() -> dict[str, dict[str, str]]:
    """The rows by their number: `fault` is what happens, `holds` what must hold all the same."""
    return tomllib.loads(ROWS.read_text(encoding="utf-8"))


def proofs() -> dict[str, list[Proof]]:
    """The tests that are marked with each row, in the order of their files."""
    found: defaultdict[str, list[Proof]] = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for row, test in marks(file.read_text(encoding="utf-8")):
            found[row].append(Proof(file.relative_to(ROOT).as_posix(), test))
    return found


def marks(source: str) -> Iterator[tuple[str, str]]:
    """Of a module of tests the rows and the tests that are marked with them, by themselves or all of them by `pytestmark`."""
    module = ast.parse(source)
    of_all = list(_rows_in(_pytestmark(module)))
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for row in dict.fromkeys([*of_all, *_rows_in(node.decorator_list)]):
                yield row, node.name


def page() -> str:
    """The page's text. Raises UnknownRow for a mark that means nothing."""
    known, proved = rows(), proofs()
    if unknown := sorted(proved.keys() - known.keys()):
        raise UnknownRow(f"tests/faults.toml has no row {', '.join(unknown)}; add it, or correct the mark.")
    sections = [
        f"## {number}: {row['fault']}\n\n{row['holds']}\n\n{_listed(proved.get(number, []))}\n"
        for number, row in known.items()
    ]
    return "\n".join([_HEAD, *sections])


def _pytestmark(module: ast.Module) -> Sequence[ast.expr]:
    """The marks of all of a module's tests: one, or a list of them."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
            given = statement.value
            return given.elts if isinstance(given, ast.List | ast.Tuple) else [given]
    return []


def _rows_in(expressions: Sequence[ast.expr]) -> Iterator[str]:
    for mark in expressions:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
            yield from (ast.literal_eval(argument) for argument in mark.args)


def _listed(proved: list[Proof]) -> str:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for proof in proved:
        files[proof.file].append(proof.test)
    return "\n".join(f"- `{file}`: " + ",\n  ".join(f"`{test}`" for test in tests) for file, tests in files.items())


if __name__ == "__main__":
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except UnknownRow as problem:
        sys.exit(str(problem))
