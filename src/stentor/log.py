"""How this process logs: events with fields, for a person at a terminal or as one JSON object per line."""

import logging
import re
import sys
from typing import Any

import structlog

_LEVELS = logging.getLevelNamesMapping()
_ADDRESS = re.compile(r"\S+@\S+")


def set_up_logging(level: str, form: str) -> None:
    """Logs to standard error from `level` on; `form` is `console`, `json`, or `auto` (console at a terminal)."""
    as_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if as_console else structlog.processors.JSONRenderer(sort_keys=True)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if as_console else [structlog.processors.format_exc_info]),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def without_addresses(text: str) -> str:
    """The text as it may stand in a log: servers like to repeat a recipient's address."""
    return _ADDRESS.sub("<address>", text)
