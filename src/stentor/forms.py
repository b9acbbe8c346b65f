"""What all doors over HTTP share: forms that people and mail programs post, and answers that are read while they are sent."""

from collections.abc import Mapping
from typing import Any

import structlog
from litestar import Request
from litestar.exceptions import LitestarException

from stentor.errors import Problem

log = structlog.get_logger()

STREAM = "stream"
"""Under this name a handler leaves in its scope's state what its answer is streamed from, to be closed after it."""


async def posted(request: Request[Any, Any, Any]) -> Mapping[str, Any]:
    """The fields of the form that was posted; none when it cannot be read or never came whole."""
    try:
        return await request.form()
    except (LitestarException, Problem, UnicodeError, LookupError) as error:
        # Parts that are not UTF-8 and character sets that nobody knows leave the framework's parser as they are.
        log.warning("form.unreadable", problem=type(error).__name__)
        return {}
