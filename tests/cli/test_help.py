import json
import os
import re
import subprocess
import sys

import pytest

from stentor.cli.app import app

# What takes long to import; help and completion need none of it.
HEAVY = ["litestar", "psycopg", "numpy", "pydantic", "liquid", "uvicorn", "stentor.wiring"]


def test_help_imports_nothing_that_takes_long():
    code = (
        "import json, sys\n"
        "from stentor.cli.app import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "serve" in shown.stdout
    assert json.loads(shown.stdout.splitlines()[-1]) == []


def test_every_command_says_what_it_does_and_shows_an_example():
    commands = {
        f"{group.name or ''} {info.name or info.callback.__name__}".strip(): info.callback.__doc__ or ""
        for group, infos in [
            *(
                (group, group.typer_instance.registered_commands)
                for group in app.registered_groups
                if group.typer_instance
            ),
            *((app.info, [info]) for info in app.registered_commands),
        ]
        for info in infos
        if info.callback
    }

    assert {"stentor demo", "brand create", "customers import"} <= set(commands)
    assert [name for name, says in commands.items() if not says] == []
    assert [name for name, says in commands.items() if "Example: " not in says] == []


@pytest.mark.parametrize(
    "group",
    [
        (),
        ("organisation",),
        ("brand",),
        ("key",),
        ("user",),
        ("customers",),
        ("subscriptions",),
        ("lists",),
        ("hub", "channels"),
        ("hub", "clients"),
    ],
    ids=" ".join,
)
def test_the_list_of_commands_is_whole_in_eighty_columns(group: tuple[str, ...]):
    listed = help_of(*group).partition("Commands:\n")[2]

    assert listed
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize(
    "command", ["serve", "bench", "brand set", "key create", "customers import", "lists export", "explain"]
)
def test_an_option_names_what_it_asks_for_instead_of_a_type(command: str):
    shown = help_of(*command.split())

    assert re.findall(r"--[a-z-]+ <.*?>", shown) == []


@pytest.mark.parametrize("flag", ["--install-completion", "--show-completion"])
def test_completion_can_be_installed(flag: str):
    assert flag in help_of()


def help_of(*command: str) -> str:
    """What `--help` prints in a terminal of the usual width."""
    return subprocess.run(
        [sys.executable, "-m", "stentor", *command, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
