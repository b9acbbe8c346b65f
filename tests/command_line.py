"""Running `stentor` in the test's own process."""

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import structlog
from structlog._config import BoundLoggerLazyProxy
from typer.testing import CliRunner, Result

from stentor.cli.app import app

Command: TypeAlias = Callable[..., Result]


def run_stentor(*arguments: Any) -> Result:
    """What `stentor` answers to these arguments."""
    try:
        return CliRunner().invoke(app, [str(one) for one in arguments])
    finally:
        _forget_logging()


def _forget_logging() -> None:
    """Where a command logs to ends with it, and loggers remember that; other tests of this process look for what is logged."""
    structlog.reset_defaults()
    for logger in [vars(module).get("log") for module in list(sys.modules.values())]:
        if isinstance(logger, BoundLoggerLazyProxy):
            vars(logger).pop("bind", None)
