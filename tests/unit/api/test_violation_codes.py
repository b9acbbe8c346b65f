"""The codes of violations are public, so they are written in one way, which is that of the problems' codes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import stentor

SOURCE = Path(stentor.__file__).parent


def test_every_code_is_written_with_hyphens():
    codes = {code for file in SOURCE.rglob("*.py") for code in _codes(ast.parse(file.read_text()))}

    assert {"unknown-field", "template-invalid"} <= codes
    assert [code for code in sorted(codes) if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)] == []


def _codes(module: ast.Module) -> Iterator[str]:
    """The texts in the second place of `Violation(pointer, code, message)` and of `Invalid.field`, whole or the fixed part."""
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in {"Violation", "field"} and len(call.args) == 3:
            for node in ast.walk(call.args[1]):
                if isinstance(node, ast.Constant):
                    yield str(node.value).strip("-")
