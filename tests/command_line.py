"""Running `stentor` in the test's own process."""

from collections.abc import Callable
from typing import Any, TypeAlias

from typer.testing import CliRunner, Result

from stentor.cli.app import app

Command: TypeAlias = Callable[..., Result]


def run_stentor(*arguments: Any) -> Result:
    """What `stentor` answers to these arguments."""
    return CliRunner().invoke(app, [str(one) for one in arguments])
