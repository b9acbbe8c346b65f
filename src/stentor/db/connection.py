"""The connection that features are handed: psycopg's, with the clock's shift on it."""

from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A psycopg connection that knows how far "now" is shifted: zero, except under the test and demo roles."""

    shift: timedelta = timedelta()
