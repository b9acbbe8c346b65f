import csv
import io
import json
from pathlib import Path

from command_line import Command


def test_what_commands_changed_is_written_out(command: Command, tmp_path: Path):
    command("brand", "create", "Fan Club")
    command("brand", "create", "Other")
    command("brand", "set", "Fan Club", "from_name=Fans")
    command("key", "create", "--brand", "Fan Club")

    whole = [json.loads(line) for line in command("audit", "export").stdout.splitlines()]
    club = [json.loads(line) for line in command("audit", "export", "--brand", "Fan Club").stdout.splitlines()]
    later = command("audit", "export", "--since", "2999-01-01")
    file = tmp_path / "audit.csv"
    written = command("audit", "export", "--brand", "Fan Club", "--format", "spreadsheet", "--output", file)
    again = command("audit", "export", "--output", file)

    assert [entry["action"] for entry in whole] == [
        "organisation.created",
        "brand.created",
        "brand.created",
        "brand.updated",
        "key.created",
    ]
    assert [entry["action"] for entry in club] == ["brand.created", "brand.updated", "key.created"]
    assert (club[1]["before"], club[1]["after"]) == ({"from_name": ""}, {"from_name": "Fans"})
    assert {entry["actor_kind"] for entry in whole} == {"cli"}
    assert all(entry["actor_label"] for entry in whole)
    assert (later.exit_code, later.stdout) == (0, "")
    assert (written.exit_code, len(list(csv.reader(io.StringIO(file.read_text()))))) == (0, 4)
    assert (again.exit_code, again.stderr) == (1, f"stentor: {file} is there already. Name a new file.\n")
