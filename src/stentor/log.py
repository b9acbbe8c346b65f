"""How this process logs: events with fields, for a person at a terminal or as one JSON object per line."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_LEVELS = logging.getLevelNamesMapping()
# From the beginning of a word: looked for from each of its letters, a long one would take its length times its length.
_ADDRESS = re.compile(r"(?<!\S)\S+@\S+")


def set_up_logging(level: str, form: str) -> None:
    """Logs to standard error from `level` on; `form` is `console`, `json`, or `auto` (console at a terminal)."""
    as_console = form == "console" or (form == "auto" and sys.stderr.isatty())
    # Its own way to print a traceback shows local variables where rich is installed: passwords and tokens are among them.
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if as_console
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    stamped = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    rendered = [*([] if as_console else [structlog.processors.format_exc_info]), renderer]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.upper()]),
        processors=[structlog.contextvars.merge_contextvars, *stamped, *rendered],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries have to say, in the same form: the pool's complaints while the database is away have several lines.
    others = logging.StreamHandler(sys.stderr)
    others.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _on_one_line, *stamped],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[others], level=max(_LEVELS[level.upper()], logging.WARNING))


def _on_one_line(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["event"] = " ".join(str(event["event"]).split())
    return event


def without_addresses(text: str) -> str:
    """The text as it may stand in a log: servers like to repeat a recipient's address."""
    return _ADDRESS.sub("<address>", text)
