"""A data directory that was mistyped does not become an installation of its own."""

from pathlib import Path

import pytest

from command_line import run_stentor


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STENTOR_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["brand", "list"],
        ["brand", "create", "Fan Club"],
        ["key", "create", "--brand", "Fan Club"],
        ["explain", "exec-" + "0" * 32, "ann"],
        ["customers", "import", "people.csv"],
    ],
    ids=" ".join,
)
def test_a_command_makes_no_installation(tmp_path: Path, command: list[str]):
    tmp_path.joinpath("people.csv").write_text("external_id\nann\n")
    data = tmp_path / "mistyped"

    refused = run_stentor(*command, "--data", data)

    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"stentor: There is no installation in {data}. Name its directory with --data")
    assert [each.name for each in tmp_path.iterdir()] == ["people.csv"]


@pytest.mark.parametrize("command", ["serve", "demo", "migrate", "doctor"])
def test_an_empty_path_is_not_the_directory_one_is_in(tmp_path: Path, command: str):
    refused = run_stentor(command, "--data", "")

    assert refused.exit_code == 2
    assert "an empty path names no directory" in " ".join(refused.stderr.split())
    assert list(tmp_path.iterdir()) == []
