import csv
import io
import json
import os
import pwd
import socket
from pathlib import Path

import pytest

from command_line import Command


def test_what_commands_changed_is_written_out(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    command("brand", "create", "Fan Club")
    command("brand", "create", "Other")
    command("brand", "set", "Fan Club", "from_name=Fans")
    command("key", "create", "--brand", "Fan Club")

    whole = [json.loads(line) for line in command("audit", "export").stdout.splitlines()]
    club = [json.loads(line) for line in command("audit", "export", "--brand", "Fan Club").stdout.splitlines()]
    organisation = whole[0]["thing_id"]
    of_all = command("audit", "export", "--organisation", organisation)
    of_none = command("audit", "export", "--organisation", "9")
    of_both = command("audit", "export", "--organisation", organisation, "--brand", "Other")
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
    assert {entry["actor_label"] for entry in whole} == {f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"}
    assert {entry["actor_id"] for entry in whole} == {str(os.getuid())}
    assert [json.loads(line) for line in of_all.stdout.splitlines()] == whole
    assert (of_none.exit_code, of_none.stderr) == (
        1,
        "stentor: There is no organisation '9'. See `stentor organisation list`.\n",
    )
    assert of_both.exit_code == 2
    assert (later.exit_code, later.stdout) == (0, "")
    assert (written.exit_code, len(list(csv.reader(io.StringIO(file.read_text()))))) == (0, 4)
    assert (again.exit_code, again.stderr) == (1, f"stentor: {file} is there already. Name a new file.\n")
