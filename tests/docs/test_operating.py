"""docs/operating.md and docs/limits.md are complete and have the numbers of the code."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from documents import ROOT
from stentor.accounts.model import BrandSettings
from stentor.channels.smtp.settings import SmtpSettings
from stentor.cli.output import Exit
from stentor.domain.quiet_hours import presets
from stentor.settings import Settings, unknown_among

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
SOURCE = ROOT / "src" / "stentor"
# Of the sizes of a process and of what it asks of its machine there is nobody to be told.
NO_LIMITS_OF_INPUT = ("stentor.cli.", "stentor.testing.")
UNITS = {"GB": 10**9, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}


def test_every_setting_is_listed_with_its_default():
    rows = {row[0].strip("`"): row[1].strip("`") for row in table_rows("docs/operating.md") if "`STENTOR_" in row[0]}

    assert rows == {f"STENTOR_{name.upper()}": as_shown(each.default) for name, each in Settings.model_fields.items()}


def test_every_setting_of_a_brand_is_listed_with_its_default():
    section = text("docs/operating.md").partition("## A brand's settings")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? ?\|", section, re.MULTILINE))

    shown = {name: str(rows.get(name)) for name in BrandSettings.__struct_fields__}
    defaults = {name: as_shown(default) for name, default in msgspec.structs.asdict(BrandSettings()).items()}
    assert rows.keys() == shown.keys()
    assert shown == {**defaults, "quiet_hours": "", "policy": ""}


def test_every_setting_of_a_relay_is_listed_with_its_default():
    section = text("docs/operating.md").partition("## Real senders")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? ?\|", section, re.MULTILINE))

    fields = [field for field in msgspec.structs.fields(SmtpSettings) if field.name != "password"]
    assert rows == {field.name: "" if field.required else as_shown(field.default) for field in fields}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(document: Path):
    named = re.findall(r"\bSTENTOR_[A-Z_]*[A-Z]\b", document.read_text(encoding="utf-8"))

    assert unknown_among(named) == []


def test_every_exit_code_is_listed():
    (codes,) = re.findall(r"\*\*Exit codes\.\*\*(.*?)\n\n", text("docs/operating.md"), re.DOTALL)

    assert [int(code) for code in re.findall(r"(?:^|· )\s*(\d+) ", codes)] == [int(code) for code in Exit]


def test_every_limit_is_listed_as_it_is():
    listed = {name: row[1] for row in table_rows("docs/limits.md") for name in re.findall(r"`(\w[\w.]+\.\w+)`", row[2])}

    assert {name: number(shown) for name, shown in listed.items()} == dict(named_limits())


def test_the_api_knows_no_length_by_heart():
    bare = [
        f"{file.name}: {length}"
        for file in (SOURCE / "api").rglob("*.py")
        for length in re.findall(r"max_length=\d+|le=\d+", file.read_text())
    ]

    assert bare == []


def named_limits() -> Iterator[tuple[str, Any]]:
    for file in SOURCE.rglob("*.py"):
        module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
        if module.startswith(NO_LIMITS_OF_INPUT):
            continue
        for name in assigned_names(file):
            if re.fullmatch(r"[A-Z]\w*_MAX", name):
                yield f"{module}.{name}".removeprefix("stentor."), getattr(importlib.import_module(module), name)


def assigned_names(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def table_rows(document: str) -> list[list[str]]:
    lines = [line for line in text(document).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def number(shown: str) -> float:
    figure, _, unit = shown.replace(",", "").partition(" ")
    return float(figure) * UNITS[unit] if unit else int(figure)


def as_shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default or "")


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def test_every_preset_of_quiet_hours_is_listed_with_its_source():
    rows = {row[0].strip("`"): (row[1], row[2]) for row in table_rows("docs/operating.md") if len(row) > 2}

    assert {name: rows.get(name) for name in presets()} == {
        name: (preset.title, preset.source) for name, preset in presets().items()
    }
